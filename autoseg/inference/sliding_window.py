"""A network's logits over a whole image, tile by tile, given away in slabs as soon as they are final.

Tiles are visited by their start along axis 0. A band of one patch's depth gathers their weighted logits; once the next
start is known, the rows below it can change no more and leave:

    axis 0 →   0 ........ 31 ........ 63 ........ 95
    tiles      [────────────────────────]
                          [────────────────────────]
    final      ├──────────┤ leaves before the second row of tiles is computed

So no array of (classes × whole image) ever exists.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any, Protocol

import numpy as np
import torch

from autoseg.ways import TILE_STEP

SIGMA_OF_PATCH = 1 / 8
PEAK = 10  # of the weights in float16
SLAB_BYTES = 32 * 2**20
VOXELS_OF_A_2D_BATCH = 2**20

Slab = tuple[int, np.ndarray]
PredictTile = Callable[[torch.Tensor], torch.Tensor]


class Voxels(Protocol):
    """An array (C, Z, Y, X) float32 that is read box by box: numpy's, or one whose channels are made as they are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (C, Z, Y, X)."""

    def __getitem__(self, where: Any, /) -> Any:
        """Return the voxels of a box; where: a slice along each axis."""


@dataclass(frozen=True)
class Span:
    """The place of one tile along one axis of the image.

    image, tile: the same voxels, in the image's and in the tile's own index; they are fewer than the patch where it
        reaches beyond the image. weights: float32, of these voxels; over all spans of an axis, the weights of each
        voxel sum to one.
    """

    image: slice
    tile: slice
    weights: np.ndarray


def gaussian_weights(patch_size: int) -> np.ndarray:
    """Return (patch_size,) float64: a Gaussian with its peak of 1 at patch_size // 2 and a sigma of patch_size / 8.

    The weight of a voxel in a tile is the product of its axes' weights. This is scipy's `gaussian_filter` of a single
    one (which cuts at 4 sigma, so never inside the patch), hence no weight is zero. Rule of Isensee et al. 2021.
    """
    distances = (np.arange(patch_size) - patch_size // 2) / (patch_size * SIGMA_OF_PATCH)
    weights: np.ndarray = np.exp(-0.5 * distances**2)
    return weights


def tile_starts(size: int, patch_size: int, step: float = TILE_STEP) -> list[int]:
    """Return the first voxel of each tile along an axis of `size` voxels: as few as `step` (of a patch) allows, evenly spread.

    An axis shorter than the patch has one tile, that reaches as far beyond one end as beyond the other (one voxel
    farther at the upper end where the difference is odd): its start is negative.
    """
    if size <= patch_size:
        return [-((patch_size - size) // 2)]
    intervals = math.ceil((size - patch_size) / (patch_size * step))
    return [round((size - patch_size) / intervals * i) for i in range(intervals + 1)]


def axis_spans(size: int, patch_size: int, step: float = TILE_STEP) -> list[Span]:
    """Return all tiles along an axis of `size` voxels, with weights that sum to one at each voxel."""
    gaussian = gaussian_weights(patch_size)
    places = []
    total = np.zeros(size)
    for start in tile_starts(size, patch_size, step):
        image = slice(max(start, 0), min(start + patch_size, size))
        tile = slice(image.start - start, image.stop - start)
        total[image] += gaussian[tile]
        places.append((image, tile))
    return [Span(image, tile, (gaussian[tile] / total[image]).astype(np.float32)) for image, tile in places]


def slice_groups(slices: int, at_once: int) -> list[Span]:
    """Return groups of neighbouring slices that a 2D network sees as one batch; they do not overlap, the last may be smaller."""
    groups = []
    for start in range(0, slices, at_once):
        rows = min(at_once, slices - start)
        groups.append(Span(slice(start, start + rows), slice(0, rows), np.ones(rows, np.float32)))
    return groups


def stream_logits(
    predict: PredictTile,
    data: Voxels,
    patch_size: Sequence[int],
    classes: int,
    step: float = TILE_STEP,
    band_device: torch.device | None = None,
    tile_done: Callable[[], None] | None = None,
    in_float16: bool = False,
) -> Iterator[Slab]:
    """Yield (first row, logits (classes, rows, Y, X) float32) along axis 0 of `data`, in order and without gaps.

    predict: tile (B, C, *patch_size) float32 on the CPU -> logits (B, classes, *patch_size), on any device.
    data: (C, Z, Y, X) float32, preprocessed. Beyond its ends, tiles see zeros.
    patch_size: (z, y, x); or (y, x) for a 2D network, which sees neighbouring slices along axis 0 as a batch.
    band_device: where logits are gathered; the CPU by default. It takes
        classes × `band_depth` × Y × X × 4 bytes.
    tile_done: called after each tile; `count_tiles` says how often.
    in_float16: weigh and sum tiles in float16, as nnU-Net does, with its roundings; the slabs are float16, too.
    """
    *_, rows_in_all, height, width = data.shape
    spans_z, predict = _along_axis_0(predict, rows_in_all, patch_size, step)
    spans_y, spans_x = axis_spans(height, patch_size[-2], step), axis_spans(width, patch_size[-1], step)
    depth = max(len(span.weights) for span in spans_z)
    shape = (classes, depth, height, width)
    band = Float16Band(shape, patch_size, band_device) if in_float16 else Band(shape, band_device)
    for span_z, following in zip(spans_z, [*spans_z[1:], None], strict=True):
        tile_depth = patch_size[0] if len(patch_size) == 3 else len(span_z.weights)
        for span_y, span_x in product(spans_y, spans_x):
            spans = (span_z, span_y, span_x)
            band.gather(predict(_tile(data, spans, (tile_depth, *patch_size[-2:]))), spans)
            if tile_done is not None:
                tile_done()
        first = span_z.image.start
        final = (following.image.start if following else rows_in_all) - first
        yield from band.slabs(first, final)
        band.shift(final)


def count_tiles(shape: Sequence[int], patch_size: Sequence[int], step: float = TILE_STEP) -> int:
    """Return the number of tiles that `stream_logits` visits. shape: of its data (..., Z, Y, X)."""
    *_, rows, height, width = shape
    in_plane = (len(tile_starts(size, patch, step)) for size, patch in zip((height, width), patch_size[-2:], strict=True))
    along_z = len(tile_starts(rows, patch_size[0], step)) if len(patch_size) == 3 else math.ceil(rows / band_depth(patch_size))
    return along_z * math.prod(in_plane)


def count_patches(shape: Sequence[int], patch_size: Sequence[int], step: float = TILE_STEP) -> int:
    """Return how many patches the network sees without mirroring: the tiles; in 2D, those of every slice. shape: as above."""
    places = [len(starts) for starts in starts_of(shape, patch_size, step)]
    return math.prod(places) if len(patch_size) == 3 else shape[-3] * math.prod(places)


def starts_of(shape: Sequence[int], patch_size: Sequence[int], step: float) -> list[list[int]]:
    """Return the first voxels of the tiles along each axis of the patch. shape: (..., Z, Y, X)."""
    return [tile_starts(size, patch, step) for size, patch in zip(shape[-len(patch_size):], patch_size, strict=True)]


def band_depth(patch_size: Sequence[int]) -> int:
    """Return the rows of logits that are gathered at once: the patch's depth; in 2D, the slices of a batch."""
    return patch_size[0] if len(patch_size) == 3 else max(1, VOXELS_OF_A_2D_BATCH // math.prod(patch_size))


def _along_axis_0(
    predict: PredictTile, rows: int, patch_size: Sequence[int], step: float
) -> tuple[list[Span], PredictTile]:
    """Return overlapping tiles for a 3D network; for a 2D network groups of slices, which it sees as a batch."""
    if len(patch_size) == 3:
        return axis_spans(rows, patch_size[0], step), predict
    return slice_groups(rows, band_depth(patch_size)), _slices_as_batch(predict)


def _slices_as_batch(predict: PredictTile) -> PredictTile:
    """Return a function that gives a 2D network the rows of tiles (1, C, rows, y, x) as its batch."""

    def predict_rows(tile: torch.Tensor) -> torch.Tensor:
        return predict(tile[0].transpose(0, 1).contiguous()).transpose(0, 1)[None]

    return predict_rows


def _tile(data: Voxels, spans: tuple[Span, Span, Span], patch_size: tuple[int, ...]) -> torch.Tensor:
    """Return a tile (1, C, *patch_size) float32 of the image, with zeros beyond the image's ends."""
    tile = np.zeros((1, data.shape[0], *patch_size), np.float32)
    z, y, x = spans
    tile[0, :, z.tile, y.tile, x.tile] = data[:, z.image, y.image, x.image]
    return torch.from_numpy(tile)


class Band:
    """The logits (classes, rows, Y, X) of rows that tiles may still change: the weighted sum of what tiles say, in float32."""

    dtype = torch.float32

    def __init__(self, shape: tuple[int, int, int, int], device: torch.device | None) -> None:
        self.logits = torch.zeros(shape, dtype=self.dtype, device=device)

    @torch.inference_mode()
    def gather(self, logits: torch.Tensor, spans: tuple[Span, Span, Span]) -> None:
        """Add a tile's logits (1, classes, *patch_size); the band's first row is the tile's.

        A few rows at a time: with many classes, a weighted copy of the whole tile would be as large as the network's output.
        """
        z, y, x = spans
        inside = logits[0, :, z.tile, y.tile, x.tile]
        for rows in _pieces(inside):
            weighted = inside[:, rows].to(device=self.logits.device, dtype=torch.float32, copy=True)
            for weights in self.weights(spans, rows):
                weighted *= weights
            self.logits[:, rows, y.image, x.image] += weighted

    def weights(self, spans: tuple[Span, Span, Span], rows: slice) -> list[torch.Tensor]:
        """Return the factors of the weights of some of a tile's rows, which broadcast to (rows, Y, X)."""
        z, y, x = (torch.from_numpy(span.weights).to(self.logits.device) for span in spans)
        return [z.view(-1, 1, 1)[rows], y.view(-1, 1), x]

    def slabs(self, first: int, rows: int) -> Iterator[Slab]:
        """Yield copies of the first `rows` rows, a few at a time. first: row of the image that is the band's first."""
        for piece in _pieces(self.logits[:, :rows]):
            yield first + piece.start, self.mean(piece).to("cpu", copy=True).numpy()

    def mean(self, rows: slice) -> torch.Tensor:
        """Return the weighted mean of all tiles: weights sum to one."""
        return self.logits[:, rows]

    def shift(self, rows: int) -> None:
        """Drop the first `rows` rows; the others move to the beginning, zeros follow them."""
        _shift(self.logits, rows)


class Float16Band(Band):
    """The same in float16, with the roundings of nnU-Net: tiles are weighted by up to 10, summed, and divided by their weights.

    Where logits of two classes are close, float16 makes them equal, and the first class wins; at the corners of an image, where
    weights are smallest, the mean is off by some percent.
    """

    dtype = torch.float16

    def __init__(
        self, shape: tuple[int, int, int, int], patch_size: Sequence[int], device: torch.device | None
    ) -> None:
        super().__init__(shape, device)
        product = reduce(np.multiply.outer, [gaussian_weights(size) for size in patch_size])
        weights = torch.from_numpy(product * (PEAK / product.max())).to(device=device, dtype=torch.float16)
        weights[weights == 0] = weights[weights > 0].min()
        self.of_patch = weights if len(patch_size) == 3 else weights[None]
        self.sums = torch.zeros((1, *shape[1:]), dtype=torch.float16, device=device)

    @torch.inference_mode()
    def gather(self, logits: torch.Tensor, spans: tuple[Span, Span, Span]) -> None:
        super().gather(logits, spans)
        z, y, x = spans
        self.sums[0, : len(z.weights), y.image, x.image] += self.weights(spans, slice(None))[0]

    def weights(self, spans: tuple[Span, Span, Span], rows: slice) -> list[torch.Tensor]:
        z, y, x = spans
        return [self.of_patch[z.tile if len(self.of_patch) > 1 else slice(None), y.tile, x.tile]
                [rows if len(self.of_patch) > 1 else slice(None)]]

    def mean(self, rows: slice) -> torch.Tensor:
        return self.logits[:, rows] / self.sums[:, rows]

    def shift(self, rows: int) -> None:
        super().shift(rows)
        _shift(self.sums, rows)


def _pieces(rows: torch.Tensor) -> Iterator[slice]:
    """Yield slices of axis 1 of (classes, rows, Y, X), each of about `SLAB_BYTES` in float32."""
    at_once = max(1, SLAB_BYTES // (4 * rows[:, 0].numel()))
    for start in range(0, rows.shape[1], at_once):
        yield slice(start, min(start + at_once, rows.shape[1]))


def _shift(band: torch.Tensor, rows: int) -> None:
    """Drop the first `rows` rows of (classes, depth, Y, X); the others move to the beginning, zeros follow them."""
    depth = band.shape[1]
    for start in range(0, depth - rows, rows):  # pieces of at most `rows` rows, whose source and target are disjoint
        stop = min(start + rows, depth - rows)
        band[:, start:stop] = band[:, start + rows : stop + rows]
    band[:, depth - rows :] = 0
