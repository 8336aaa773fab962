"""Intensities drawn from one case, as all planners need them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.preprocessing.crop import Box, crop
from autoseg.voxels import slabs

SAMPLES_PER_CASE = 10_000
SEED = 1234


def sample_intensities(
    array: np.ndarray, labels: np.ndarray | None, box: Box, ignore: int | None, count: int = SAMPLES_PER_CASE
) -> tuple[np.ndarray, bool]:
    """Draw intensities of `count` foreground voxels per channel, with replacement, always by the same seed.

    array: (C, Z, Y, X). labels: (Z, Y, X), or None. box: only voxels inside it are drawn. Returns (C, count) float32,
    and whether they come from foreground; without foreground, they come from the non-zero voxels, or from all.
    With the same count, the draws are nnU-Net's (`RandomState(1234).choice`); ignored voxels are not foreground here.
    """
    image = crop(array, box)
    if labels is not None:
        inner = crop(labels, box)
        wanted = [(inner[part] > 0) & (inner[part] != (0 if ignore is None else ignore)) for part in slabs(inner.shape)]
        if any(mask.any() for mask in wanted):
            return _drawn(image, wanted, count), True
    wanted = [image[:, part].any(axis=0) for part in slabs(image.shape[1:])]
    if not any(mask.any() for mask in wanted):
        wanted = [~mask for mask in wanted]
    return _drawn(image, wanted, count), False


def _drawn(image: np.ndarray, wanted: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Draw intensities of masked voxels. image: (C, Z, Y, X). wanted: a mask (z, Y, X) for each slab of it."""
    random = np.random.RandomState(SEED)
    ends = np.cumsum([np.count_nonzero(mask) for mask in wanted])
    ranks = np.stack([random.randint(0, ends[-1], count) for _ in image])  # the r-th wanted voxel in C order
    samples = np.empty(ranks.shape, np.float32)
    for part, mask, end in zip(slabs(image.shape[1:]), wanted, ends, strict=True):
        start = end - np.count_nonzero(mask)
        positions = np.flatnonzero(mask)
        for channel, of_channel in enumerate(ranks):
            here = (of_channel >= start) & (of_channel < end)
            at = np.unravel_index(positions[of_channel[here] - start], mask.shape)
            samples[channel, here] = image[channel, part][at]
    return samples
