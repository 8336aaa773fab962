"""One model at work: its preprocessing, its sliding window, its mean over folds and mirrored tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import torch
from torch import nn

from autoseg.bounds import Precision
from autoseg.device import autocast, memory_format, resolve_precision
from autoseg.errors import AutosegError
from autoseg.image import Image, axis_order
from autoseg.inference.export import Row, resized_rows
from autoseg.inference.sliding_window import TILE_STEP, Slab, band_depth, count_tiles, stream_logits
from autoseg.preprocessing.pipeline import preprocess_image, target_spacing_mm
from autoseg.preprocessing.resample import resampled_shape
from autoseg.preprocessing.store import CaseProperties
from autoseg.sides import Mirroring, swapped_channels, swaps
from autoseg.tasks.segmentation.model import LoadedModel
from autoseg.tasks.segmentation.store import open_volume, plans_digest
from autoseg.topology.shapes import reshaped
from autoseg.topology.values import values_put_out

SHARE_OF_DEVICE_MEMORY = 0.3  # that the bands of gathered logits of all members may take; the networks need the rest


class EnsembleMember:
    """A model on its device. An ensemble asks each of its members for the same row at the same time."""

    def __init__(
        self, model: LoadedModel, device: torch.device, precision: Precision = "auto", mirroring: bool = True,
        members: int = 1, step: float = TILE_STEP,
    ) -> None:
        """model: its networks lie on `device`. members: how many models share the device's memory, this one included.

        mirroring: average over all flips that the training used, too, with left and right swapped back where it swapped them.
        step: of neighbouring tiles, as a share of the patch.
        """
        self.model = model
        self.device = device
        self.dtype = resolve_precision(precision, device)
        self.mirroring = model.description.mirroring if mirroring else Mirroring()
        self.swapped = swapped_channels(model.description.labels, self.mirroring.swapped)
        self.members, self.step = members, step

    def preprocess(self, image: Image, name: str) -> tuple[np.ndarray, CaseProperties]:
        """Return (C, Z, Y, X) float32 on this model's grid, and what was done. Raises AutosegError as `preprocess_image`."""
        description = self.model.description
        return preprocess_image(image, name, description.plans, description.configuration)

    def read_preprocessed(self, folder: Path, case: str) -> tuple[np.ndarray, CaseProperties]:
        """Return the same as `preprocess` from what planning stored in `folder`, where images and plans may have
        changed since training.

        Raises AutosegError where the case is not stored whole, or was stored by other plans than those of this model.
        """
        stored, description = open_volume(folder, case), self.model.description
        if stored.description.plans != plans_digest(description.labels, description.plans, description.configuration):
            name = f"{description.configuration_name}, {description.called}"
            raise AutosegError(
                f"case {case}: {folder} holds it preprocessed by other plans than those that the model {name} was trained "
                "with: the dataset was planned anew since. Train the model anew with --restart, or plan the dataset as it was.")
        return stored.read_data(), stored.properties

    @property
    def preprocessing(self) -> tuple[object, ...]:
        """Return all that `preprocess` depends on: equal where two members see the same array of an image."""
        plans, configuration = self.model.description.plans, self.model.description.configuration
        return (plans.orientation, plans.transpose, plans.foreground_intensities, configuration.spacing_mm,
                configuration.normalization, configuration.normalize_inside_mask)

    def rows(
        self, data: np.ndarray, properties: CaseProperties, tile_done: Callable[[], None] | None = None
    ) -> Iterator[Row]:
        """Yield (row, logits (K, Y, X) float32) along axis 0 of `properties.shape_cropped`.

        data: (C, Z, Y, X) float32, as `preprocess` gives it. The arrays are to be read only.
        """
        patch_size = self.model.description.configuration.patch_size
        classes = self.model.description.labels.output_channels
        band_bytes = 4 * classes * band_depth(patch_size) * data.shape[2] * data.shape[3]
        streams = [
            stream_logits(partial(self._predict_tile, networks=networks), data, patch_size, classes, self.step,
                          band_device=self._band_device(band_bytes), tile_done=tile_done, in_float16=self.sums_in_float16)
            for networks in self._together]
        if not self.sums_in_float16:
            return resized_rows(streams[0], properties)
        rows = resized_rows(_means_in_float16(streams), properties)
        return ((row, logits.astype(np.float16).astype(np.float32)) for row, logits in rows)

    @property
    def sums_in_float16(self) -> bool:
        """Tell whether tiles and folds are averaged in float16."""
        return self.model.description.tile_sums == "float16"

    @property
    def _together(self) -> list[list[nn.Module]]:
        """Return the networks that see a tile together: all folds, or each alone, where the mean of each is rounded."""
        networks = self.model.networks
        return [[network] for network in networks] if self.sums_in_float16 else [networks]

    def count_tiles(self, data: np.ndarray) -> int:
        """Return how often `rows` will call `tile_done`."""
        return len(self._together) * count_tiles(data.shape, self.model.description.configuration.patch_size, self.step)

    def expected_tiles(self, image: Image) -> int:
        """Return how many tiles an image takes at most, before it is cropped."""
        configuration, plans = self.model.description.configuration, self.model.description.plans
        axes = axis_order(image.geometry.orientation, plans.orientation, image.array.shape[1:]).then(plans.transpose).axes
        shape, spacing_mm = ([of[axis] for axis in axes] for of in (image.array.shape[1:], image.geometry.spacing_mm))
        return len(self._together) * count_tiles(
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

    @torch.inference_mode()
    def _predict_tile(self, tile: torch.Tensor, networks: Sequence[nn.Module]) -> torch.Tensor:
        """Turn (B, C, *patch) float32 into (B, K, *patch) float32 on the device: mean over networks and mirrored tiles."""
        spatial = tile.dim() - 2
        tile = tile.to(self.device, memory_format=memory_format(self.device, spatial))
        every = self.mirroring.axes
        flips = list(chain.from_iterable(combinations(every, n) for n in range(len(every) + 1)))
        total: torch.Tensor | None = None
        at_once = self.tiles_at_once(len(tile))
        for axes in flips:
            dims = [axis + 2 for axis in axes]
            for network in networks:
                with autocast(self.device, self.dtype):
                    parts = (tile.flip(dims) if dims else tile).split(at_once)
                    done = [network(part)[0] for part in parts]
                logits = done[0] if len(done) == 1 else torch.cat(done)
                logits = logits.flip(dims) if dims else logits
                logits = logits[:, self.swapped] if swaps(self.mirroring.swap_axes, axes) else logits
                total = logits.float() if total is None else total.add_(logits)
        assert total is not None, "a model has at least one network"
        return total.div_(len(flips) * len(networks))


def _means_in_float16(streams: Sequence[Iterator[Slab]]) -> Iterator[Slab]:
    """Yield the mean of several streams of slabs, rounded after each addition as nnU-Net rounds the mean of folds."""
    for (first, total), *others in zip(*streams, strict=True):
        for _, slab in others:
            total += slab
        total /= np.float16(len(streams))
        yield first, total.astype(np.float32)
