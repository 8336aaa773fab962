"""Intensity normalization of one channel, in place."""

from __future__ import annotations

import numpy as np

from autoseg.errors import AutosegError
from autoseg.plan import IntensityStatistics, Normalization

SMALLEST_STD = 1e-8


def normalize(
    volume: np.ndarray, scheme: Normalization, statistics: IntensityStatistics | None, mask: np.ndarray | None = None
) -> None:
    """Normalize one channel in place, before it is resampled.

    volume: (Z, Y, X) float32. statistics: the dataset's foreground intensities of this channel ("ct" needs them).
    mask: (Z, Y, X) bool, or None for all voxels; "zscore" takes mean and std inside it and leaves the rest as it is.
    A constant image becomes all zeros ("zscore", "rescale_0_1"), never NaN. Raises AutosegError where statistics are
    missing or an "rgb" image is not within 0..255.

    - ct: clip to the 0.5 and 99.5 percentiles, subtract the mean, divide by the std (all of the dataset's foreground).
    - zscore: subtract the image's mean, divide by its std. - rescale_0_1: the image's range becomes 0..1.
    - rgb: divide by 255. - none: nothing.
    Rules: nnU-Net's (Isensee et al. 2021); std is that of the population, not below 1e-8.
    """
    if scheme == "ct":
        _normalize_ct(volume, statistics)
    elif scheme == "zscore":
        _normalize_zscore(volume, mask)
    elif scheme == "rescale_0_1":
        volume -= volume.min()
        volume /= max(float(volume.max()), SMALLEST_STD)
    elif scheme == "rgb":
        lowest, highest = float(volume.min()), float(volume.max())
        if lowest < 0 or highest > 255:
            raise AutosegError(
                f"An RGB channel holds values from {lowest:g} to {highest:g}, but 0 to 255 are expected. "
                'Give the channel another name in dataset.json, such as "zscore" or "rescale_to_0_1".'
            )
        volume /= 255


def _normalize_ct(volume: np.ndarray, statistics: IntensityStatistics | None) -> None:
    if statistics is None:
        raise AutosegError(
            "The plans hold no foreground intensities for a channel that is normalized as CT. Run the planning again."
        )
    np.clip(volume, statistics.percentile_00_5, statistics.percentile_99_5, out=volume)
    volume -= statistics.mean
    volume /= max(statistics.std, SMALLEST_STD)


def _normalize_zscore(volume: np.ndarray, mask: np.ndarray | None) -> None:
    """Slice by slice, so that no second volume is needed, with sums in float64."""
    count = volume.size if mask is None else int(mask.sum())
    if count == 0:
        return
    where = np.broadcast_to(np.True_, volume.shape) if mask is None else mask
    mean = sum(float(s.sum(dtype=np.float64, where=w)) for s, w in zip(volume, where, strict=True)) / count
    squares = 0.0
    for s, w in zip(volume, where, strict=True):
        centred = s - np.float32(mean)
        squares += float(np.square(centred, out=centred).sum(dtype=np.float64, where=w))
    std = max(np.sqrt(squares / count), SMALLEST_STD)
    np.subtract(volume, np.float32(mean), out=volume, where=where)
    np.divide(volume, np.float32(std), out=volume, where=where)
