"""One model at work: its preprocessing, its sliding window, its mean over folds and mirrored tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, combinations, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from autoseg.bounds import Precision
from autoseg.device import autocast, memory_format, resolve_precision
from autoseg.errors import AutosegError
from autoseg.image import Image, axis_order
from autoseg.inference.empty import PartOfImage, background_logits, levels_of, part_with_objects
from autoseg.inference.export import Row, resized_rows
from autoseg.inference.shared_tiles import RunNetwork, alone
from autoseg.inference.sliding_window import Slab, Voxels, band_depth, count_patches, count_tiles, stream_logits
from autoseg.preprocessing.crop import crop
from autoseg.preprocessing.pipeline import preprocess_image, target_spacing_mm
from autoseg.preprocessing.resample import resampled_shape
from autoseg.preprocessing.store import CaseProperties, StoredCase
from autoseg.sides import Mirroring, swapped_channels, swapped_values, swaps
from autoseg.tasks.segmentation.cascade import LabelsLater, PreviousStage, TileDone, WithPrevious, on_grid, values_seen
from autoseg.tasks.segmentation.model import LoadedModel
from autoseg.tasks.segmentation.store import open_volume, plans_digest
from autoseg.topology.shapes import reshaped
from autoseg.topology.values import values_put_out
from autoseg.ways import FULL, Axes, Way

SHARE_OF_DEVICE_MEMORY = 0.3  # that the bands of gathered logits of all members may take; the networks need the rest


class EnsembleMember:
    """A model on its device. An ensemble asks each of its members for the same row at the same time."""

    def __init__(
        self, model: LoadedModel, device: torch.device, precision: Precision = "auto", way: Way = FULL,
        members: int = 1, previous: PreviousStage | None = None, run: RunNetwork = alone,
    ) -> None:
        """model: its networks lie on `device`. members: how many models share the device's memory, this one included. run: gives
        a network's output for tiles.

        way: how far tiles lie apart, along which axes they are mirrored, and whether over all of an image, with left and right
        swapped back where the training swapped them. previous: what segments images first, where this model goes on from that;
        None where it does not, or all predictions of the first stage will be given.
        """
        self.model = model
        self.stage, self.previous = model.description.configuration.previous_stage, previous
        self.values = values_seen(model.description.configuration, model.description.labels)
        self.device = device
        self.dtype = resolve_precision(precision, device)
        axes, its = self.mirrored(way.axes), model.description.mirroring
        self.mirroring = its._replace(axes=axes) if axes or axes == its.axes else Mirroring()
        self.swapped = swapped_channels(model.description.labels, self.mirroring.swapped)
        self.swapped_before = swapped_values(model.description.labels, self.mirroring.swapped) or {}
        self.members, self.step, self.run = members, way.step, run
        self.levels = levels_of(model.description.plans, model.description.configuration)
        self.skips_empty = way.skip_empty and bool(self.levels)

    def mirrored(self, axes: Axes | None) -> Axes:
        """Return those axes of the patch that training mirrored and that are among `axes` of the volume; None for all."""
        return self.model.description.mirrored(axes)

    @property
    def mirrored_in_training(self) -> Axes:
        """Return the axes of the volume that training mirrored."""
        return tuple(axis + self.model.description.first_axis for axis in self.model.description.mirroring.axes)

    def preprocess(self, image: Image, name: str) -> tuple[np.ndarray, CaseProperties]:
        """Return (C, Z, Y, X) float32 on this model's grid, and what was done. Raises AutosegError as `preprocess_image`."""
        description = self.model.description
        return preprocess_image(image, name, description.plans, description.configuration)

    def with_previous(self, data: np.ndarray, properties: CaseProperties, image: Image, name: str) -> Voxels:
        """Return what the network sees: `data` of `preprocess`, with the previous stage's channels where there are any.

        That stage's network runs when voxels are first read. Raises AutosegError where it is not there.
        """
        if self.stage is None:
            return data
        if self.previous is None:
            raise AutosegError(f"case {name}: the model {self.model.in_words} goes on from the segmentation by {self.stage}, and "
                               "none is given.")
        later = self.previous.labels_later(image, name)
        return WithPrevious(
            data, LabelsLater(lambda tile_done: on_grid(later.make(tile_done), properties), later.tiles), self.values)

    def read_preprocessed(
        self, folder: Path, case: str, previous: StoredCase[Any] | None = None
    ) -> tuple[Voxels, CaseProperties]:
        """Return the same as `preprocess` from what planning stored in `folder`, where images and plans may have
        changed since training.

        previous: the previous stage's stored prediction, where the model goes on from that.
        Raises AutosegError where the case is not stored whole, or was stored by other plans than those of this model.
        """
        stored, description = open_volume(folder, case), self.model.description
        if stored.description.plans != plans_digest(description.labels, description.plans, description.configuration):
            name = f"{description.configuration_name}, {description.called}"
            raise AutosegError(
                f"case {case}: {folder} holds it preprocessed by other plans than those that the model {name} was trained "
                "with: the dataset was planned anew since. Train the model anew with --restart, or plan the dataset as it was.")
        if previous is None:
            return stored.read_data(), stored.properties
        labels = LabelsLater(lambda tile_done: previous.array()[:][0])
        return WithPrevious(stored.read_data(), labels, self.values), stored.properties

    def narrowed(self, data: Voxels, properties: CaseProperties) -> Voxels:
        """Return the part of an image, as `with_previous` gives it, that may hold objects; all of it where this model does not
        skip what is empty."""
        if not self.skips_empty or (empty := self.model.description.plans.empty) is None:
            return data
        image = data.image if isinstance(data, WithPrevious) else data[:]
        box = part_with_objects(image, self.levels, properties.spacing_resampled_mm, empty.near_mm,
                                self.model.description.configuration.patch_size)
        if all(stop - start == size for (start, stop), size in zip(box, data.shape[1:], strict=True)):
            return data
        inner = data.part(box) if isinstance(data, WithPrevious) else crop(image, box)
        return PartOfImage(inner, box, properties.shape_resampled)

    @property
    def preprocessing(self) -> tuple[object, ...]:
        """Return all that `preprocess` depends on: equal where two members see the same array of an image."""
        plans, configuration = self.model.description.plans, self.model.description.configuration
        return (plans.orientation, plans.transpose, plans.foreground_intensities, configuration.spacing_mm,
                configuration.normalization, configuration.normalize_inside_mask)

    def rows(
        self, data: Voxels, properties: CaseProperties, tile_done: TileDone | None = None,
        shape: Sequence[int] | None = None,
    ) -> Iterator[Row]:
        """Yield (row, logits (K, Y, X) float32) along axis 0 of `properties.shape_cropped`, or of another grid.

        data: (C, Z, Y, X) float32, as `with_previous` gives it. The arrays are to be read only. shape: of the other grid (see
        `resized_rows`).
        """
        return self.rows_of_each(data, properties, [self.mirroring.axes], tile_done, shape)[0]

    def rows_of_each(
        self, data: Voxels, properties: CaseProperties, mirrored: Sequence[Axes], tile_done: TileDone | None = None,
        shape: Sequence[int] | None = None,
    ) -> list[Iterator[Row]]:
        """Return what `rows` does for several sets of mirrored axes of the patch, in one pass: a tile that is mirrored one way is
        computed once for all sets. The iterators must be taken in lock-step."""
        classes = self.model.description.labels.output_channels
        stacked = self._stacked_rows(data, properties, mirrored, tile_done, shape)
        return [stacked] if len(mirrored) == 1 else split_rows(stacked, classes, len(mirrored))

    def _stacked_rows(
        self, data: Voxels, properties: CaseProperties, mirrored: Sequence[Axes], tile_done: TileDone | None,
        shape: Sequence[int] | None,
    ) -> Iterator[Row]:
        """Yield (row, logits (sets × K, Y, X) float32); the logits of the sets of axes one behind the other."""
        seen = data.inner if isinstance(data, PartOfImage) else data
        if isinstance(seen, WithPrevious):
            seen.tile_done = tile_done
        patch_size = self.model.description.configuration.patch_size
        classes = len(mirrored) * self.model.description.labels.output_channels
        band_bytes = 4 * classes * band_depth(patch_size) * data.shape[2] * data.shape[3]
        streams = [
            stream_logits(partial(self._predict_tile, networks=networks, mirrored=mirrored), seen, patch_size, classes, self.step,
                          band_device=self._band_device(band_bytes), tile_done=tile_done, in_float16=self.sums_in_float16)
            for networks in self._together]
        if isinstance(data, PartOfImage):
            labels = self.model.description.labels
            nothing = np.tile(background_logits(labels.output_channels, labels.has_regions), len(mirrored))
            streams = [data.in_whole(stream, nothing) for stream in streams]
        if not self.sums_in_float16:
            return resized_rows(streams[0], properties, shape)
        rows = resized_rows(_means_in_float16(streams), properties, shape)
        return ((row, logits.astype(np.float16).astype(np.float32)) for row, logits in rows)

    def evaluations(self, shape: Sequence[int], mirrored: Sequence[Axes]) -> int:
        """Return how often one fold's network runs for an image of a preprocessed shape (..., Z, Y, X), in one pass for sets of
        mirrored axes of the patch; in 2D, once for each slice."""
        return len(self._flips(mirrored)) * count_patches(shape, self.model.description.configuration.patch_size, self.step)

    @property
    def cost(self) -> int:
        """Return the cost of one evaluation: the values that the network's convolutions put out."""
        its = self.model.description.configuration
        return values_put_out(its.patch_size, its.network, self.model.description.labels.output_channels)

    @property
    def sums_in_float16(self) -> bool:
        """Tell whether tiles and folds are averaged in float16."""
        return self.model.description.tile_sums == "float16"

    @property
    def _together(self) -> list[list[nn.Module]]:
        """Return the networks that see a tile together: all folds, or each alone, where the mean of each is rounded."""
        networks = self.model.networks
        return [[network] for network in networks] if self.sums_in_float16 else [networks]

    def count_tiles(self, data: Voxels) -> int:
        """Return how often `rows` will call `tile_done`, the previous stage's tiles included."""
        seen = data.inner if isinstance(data, PartOfImage) else data
        before = seen.tiles if isinstance(seen, WithPrevious) else 0
        configuration = self.model.description.configuration
        return before + len(self._together) * count_tiles(data.shape, configuration.patch_size, self.step)

    def expected_tiles(self, image: Image) -> int:
        """Return how many tiles an image takes at most, before it is cropped."""
        configuration, plans = self.model.description.configuration, self.model.description.plans
        axes = axis_order(image.geometry.orientation, plans.orientation, image.array.shape[1:]).then(plans.transpose).axes
        shape, spacing_mm = ([of[axis] for axis in axes] for of in (image.array.shape[1:], image.geometry.spacing_mm))
        before = 0 if self.previous is None else self.previous.expected_tiles(image)
        return before + len(self._together) * count_tiles(
            resampled_shape(shape, spacing_mm, target_spacing_mm(spacing_mm, configuration)), configuration.patch_size, self.step)

    def _band_device(self, band_bytes: int) -> torch.device:
        """Return the CUDA device where the gathered logits fit into this member's share of it, else the CPU."""
        if self.device.type != "cuda":
            return torch.device("cpu")
        free, _ = torch.cuda.mem_get_info(self.device)
        return self.device if band_bytes < SHARE_OF_DEVICE_MEMORY / self.members * free else torch.device("cpu")

    def tiles_at_once(self, tiles: int) -> int:
        """Return how many of the tiles (slices in 2D, one in 3D) the network sees at a time, by its cost beside a U-Net's."""
        configuration, classes = self.model.description.configuration, self.model.description.labels.output_channels
        plain = values_put_out(configuration.patch_size, reshaped(configuration.network, "unet"), classes)
        ratio = values_put_out(configuration.patch_size, configuration.network, classes) / plain
        return max(1, int(tiles / max(1.0, ratio)))

    def _swap_before(self, tile: torch.Tensor) -> torch.Tensor:
        """Return a tile (B, C + K, *patch) in which the previous stage's labels of each pair have changed places."""
        first = tile.shape[1] - len(self.values)
        becomes = [self.swapped_before.get(value, value) for value in self.values]
        sources = [[first + index for index, then in enumerate(becomes) if then == value] for value in self.values]
        return torch.cat((tile[:, :first], *(tile[:, its].sum(1, keepdim=True) for its in sources)), dim=1)

    @torch.inference_mode()
    def _predict_tile(self, tile: torch.Tensor, networks: Sequence[nn.Module], mirrored: Sequence[Axes]) -> torch.Tensor:
        """Turn (B, C, *patch) float32 into (B, sets × K, *patch) float32 on the device: the mean over networks and mirrored tiles
        for each set of mirrored axes."""
        spatial = tile.dim() - 2
        tile = tile.to(self.device, memory_format=memory_format(self.device, spatial))
        totals: list[torch.Tensor | None] = [None] * len(mirrored)
        at_once = self.tiles_at_once(len(tile))
        for axes in self._flips(mirrored):
            dims = [axis + 2 for axis in axes]
            flipped = tile.flip(dims) if dims else tile
            if self.values and swaps(self.mirroring.swap_axes, axes):
                flipped = self._swap_before(flipped)
            for network in networks:
                with autocast(self.device, self.dtype):
                    parts = flipped.split(at_once)
                    done = [self.run(network, part) for part in parts]
                logits = done[0] if len(done) == 1 else torch.cat(done)
                logits = logits.flip(dims) if dims else logits
                logits = logits[:, self.swapped] if swaps(self.mirroring.swap_axes, axes) else logits
                for index, its in enumerate(mirrored):
                    if {*axes} <= {*its}:
                        total = totals[index]
                        totals[index] = logits.to(torch.float32, copy=True) if total is None else total.add_(logits)
        means = [total.div_(2 ** len(its) * len(networks))
                 for total, its in zip(totals, mirrored, strict=True) if total is not None]
        return means[0] if len(means) == 1 else torch.cat(means, dim=1)

    def _flips(self, mirrored: Sequence[Axes]) -> list[Axes]:
        """Return the axes of each flip that any of the sets of mirrored axes needs, the tile as it is first."""
        every = self.model.description.mirroring.axes
        flips = chain.from_iterable(combinations(every, n) for n in range(len(every) + 1))
        return [axes for axes in flips if any({*axes} <= {*its} for its in mirrored)]


def split_rows(stacked: Iterator[Row], classes: int, parts: int) -> list[Iterator[Row]]:
    """Return iterators over the rows of each part of the channels, `classes` each; no row is kept longer than it is needed.

    Raises ValueError where they are not taken in lock-step. (`itertools.tee` would keep up to 57 rows.)
    """
    current: Row | None = None
    taken = 0

    def part(channels: slice) -> Iterator[Row]:
        nonlocal current, taken
        for position in count():
            if position == taken:
                current = None
                current = next(stacked, None)
                taken += 1
            if position + 1 != taken:
                raise ValueError("the parts of rows were not taken in lock-step")
            if current is None:
                return
            yield current[0], current[1][channels]

    return [part(slice(index * classes, (index + 1) * classes)) for index in range(parts)]


def _means_in_float16(streams: Sequence[Iterator[Slab]]) -> Iterator[Slab]:
    """Yield the mean of several streams of slabs, rounded after each addition as nnU-Net rounds the mean of folds."""
    for (first, total), *others in zip(*streams, strict=True):
        for _, slab in others:
            total += slab
        total /= np.float16(len(streams))
        yield first, total.astype(np.float32)
