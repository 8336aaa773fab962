"""The part of an image that may hold objects: tiles cover that part alone, and all around it is background.

A voxel may lie in an object where, within `near_mm` of it, there is what every labelled voxel of the training has so near
(see `autoseg.plan.Emptiness`). The part is the smallest box with all such voxels, and a quarter of a patch more on each side, so
that each of them lies as far inside a tile as where tiles cover the whole image:

    image    [....................................]
    part     [      ┌─ 1/4 patch ─┬ may hold ┬ 1/4 patch ─┐   ]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.inference.sliding_window import SLAB_BYTES, Slab, Voxels
from autoseg.plan import Configuration, Plans
from autoseg.preprocessing.crop import Box, nonzero_box
from autoseg.preprocessing.pipeline import SMALLEST_STD

FLAT = 0.001  # of a normalized channel: differences below that are those of rounding and of resampling
SURE = 10.0  # logit of background where nothing is; in regions, minus that of each
AROUND = 4  # parts of a patch, of which one is added on each side


@dataclass(frozen=True)
class PartOfImage:
    """A part of an image, read like an array (C, Z, Y, X). inner: its voxels. box: where it lies. shape_whole: (Z, Y, X)."""

    inner: Voxels
    box: Box
    shape_whole: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (C, Z, Y, X)."""
        return self.inner.shape

    def __getitem__(self, where: Any) -> Any:
        return self.inner[where]

    def in_whole(self, slabs: Iterator[Slab], nothing: np.ndarray) -> Iterator[Slab]:
        """Yield the slabs of the part as slabs of the whole image. nothing: (classes,) logits of the voxels around it."""
        (top, bottom), y, x = self.box
        yield from self._around(0, top, nothing)
        for first, slab in slabs:
            wide = self._filled(slab.shape[1], nothing.astype(slab.dtype))
            wide[:, :, slice(*y), slice(*x)] = slab
            yield top + first, wide
        yield from self._around(bottom, self.shape_whole[0], nothing)

    def _around(self, start: int, stop: int, nothing: np.ndarray) -> Iterator[Slab]:
        at_once = max(1, SLAB_BYTES // (4 * len(nothing) * math.prod(self.shape_whole[1:])))
        for first in range(start, stop, at_once):
            yield first, self._filled(min(at_once, stop - first), nothing)

    def _filled(self, rows: int, nothing: np.ndarray) -> np.ndarray:
        shape = (len(nothing), rows, *self.shape_whole[1:])
        return np.broadcast_to(nothing.reshape(-1, 1, 1, 1), shape).copy()


def levels_of(plans: Plans, configuration: Configuration) -> list[float | None]:
    """Return of each channel the normalized value that something near an object reaches; None where it varies. Nothing at all
    where the plans do not know it."""
    levels: list[float | None] = []
    if plans.empty is None or len(plans.empty.levels) != len(configuration.normalization):
        return levels
    for channel, (level, scheme) in enumerate(zip(plans.empty.levels, configuration.normalization, strict=True)):
        its = plans.foreground_intensities.get(str(channel))
        if (level is None) == (scheme == "ct") or its is None:
            return []
        levels.append(None if level is None else (level - its.mean) / max(its.std, SMALLEST_STD))
    return levels


def background_logits(classes: int, has_regions: bool) -> np.ndarray:
    """Return the logits (classes,) float32 of a voxel in which nothing is. classes: of the network's output."""
    return np.array([-SURE] * classes if has_regions else [SURE, *[0.0] * (classes - 1)], np.float32)


def part_with_objects(
    image: np.ndarray, levels: Sequence[float | None], spacing_mm: Sequence[float], near_mm: float, patch_size: Sequence[int]
) -> Box:
    """Return the box of an image that may hold objects; all of it where no voxel may.

    image: (C, Z, Y, X) float32, preprocessed. levels: as of `levels_of`. spacing_mm: (z, y, x). patch_size: (z, y, x), or
    (y, x). The box is at least as large as the patch, as far as the image is.
    """
    shape = image.shape[1:]
    telling = np.zeros(shape, bool)
    for channel, level in zip(image, levels, strict=True):
        if level is None:
            _mark_changes(telling, channel)
        else:
            telling |= channel >= level
    patch = (*(1,) * (3 - len(patch_size)), *patch_size)
    z, y, x = (
        _wider(span, math.ceil(near_mm / mm) + (edge // AROUND if edge > 1 else 0), edge, size)
        for span, mm, edge, size in zip(nonzero_box(telling[np.newaxis]), spacing_mm, patch, shape, strict=True))
    return z, y, x


def _mark_changes(telling: np.ndarray, channel: np.ndarray) -> None:
    """Mark voxels (Z, Y, X) that differ from the next one along an axis, and that one."""
    for axis in range(3):
        along, values = np.moveaxis(telling, axis, 0), np.moveaxis(channel, axis, 0)
        for index in range(len(values) - 1):
            changes = np.abs(values[index + 1] - values[index]) > FLAT
            along[index] |= changes
            along[index + 1] |= changes


def _wider(span: tuple[int, int], by: int, at_least: int, size: int) -> tuple[int, int]:
    """Return the span with so much more on each side, and at least so long, within 0 to `size`."""
    start, stop = max(0, span[0] - by), min(size, span[1] + by)
    lacking = max(0, min(at_least, size) - (stop - start))
    start = max(0, min(start - lacking // 2, size - min(at_least, size)))
    return start, min(size, max(stop, start + min(at_least, size)))
