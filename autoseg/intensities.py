"""Windows that scale the intensities of images for networks that take slices or projections, not patches of volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import model_validator

from autoseg.bounds import Finite
from autoseg.errors import AutosegError
from autoseg.plan import Frozen
from autoseg.voxels import slabs

WINDOW_PERCENTILES = (0.5, 99.5)
EXTREME = 1e15  # beyond any image's own values: fill values such as 1e20 or -3.4e38; mean and std drown in them


class IntensityWindow(Frozen):
    """The values of one channel that become the lowest and the highest, in the images' own unit (HU in CT)."""

    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _low_below_high(self) -> IntensityWindow:
        if not self.low < self.high:
            raise ValueError("low must be less than high")
        return self


def is_ct(channel_name: str) -> bool:
    """Tell whether a channel's intensities have an absolute unit (HU)."""
    return channel_name.lower() == "ct"


def own_window(values: np.ndarray, percentiles: tuple[float, float] = WINDOW_PERCENTILES) -> tuple[float, float]:
    """Return two percentiles of the non-zero values as a window; of all values, or their range, where that is no window."""
    for chosen in (values[values != 0], values):
        low, high = np.percentile(chosen, percentiles) if chosen.size else (0.0, 0.0)
        if high > low:
            return float(low), float(high)
    return float(values.min()), float(values.max())


def common_windows(
    channel_names: tuple[str, ...], samples: Mapping[str, np.ndarray], percentiles: tuple[float, float] = WINDOW_PERCENTILES
) -> tuple[IntensityWindow | None, ...]:
    """Return a window for each CT channel from the one to the other percentile over all cases; other channels have none.

    samples: (C, N) intensities of each case, by its name.
    """
    windows: list[IntensityWindow | None] = []
    for channel, name in enumerate(channel_names):
        values = np.concatenate([of_case[channel] for of_case in samples.values()]) if is_ct(name) and samples else np.zeros(1)
        low, high = np.percentile(values, percentiles)
        windows.append(IntensityWindow(low=float(low), high=float(high)) if high > low else None)
    return tuple(windows)


def window_in_words(name: str, window: IntensityWindow | None, percentiles: tuple[float, float] = WINDOW_PERCENTILES) -> str:
    """Return in words how a channel is scaled, and where that comes from."""
    low, high = percentiles
    if window is None:
        return f"{name}: each image from its own {low:g} to its {high:g} percentile"
    return f"{name}: {window.low:g} to {window.high:g}, the {low:g} and {high:g} percentiles over the cases"


REPLACE_EXTREMES = "Replace them by the background's value, or leave the case out"


def extreme_values(values: np.ndarray) -> str:
    """Say how many voxels of a channel hold values of 1e15 and more, or -1e15 and less, and which; "" where none does.

    values: (Z, Y, X), without NaN.
    """
    if values.dtype.kind != "f":
        return ""
    lowest, highest = float(values.min()), float(values.max())
    if max(-lowest, highest) < EXTREME:
        return ""
    count = sum(int(np.count_nonzero(np.abs(values[part]) >= EXTREME)) for part in slabs(values.shape))
    found = " and ".join(f"{value:.4g}" for value in sorted({lowest, highest}) if abs(value) >= EXTREME)
    return f"{count} voxel(s) hold values up to {found}, which are fill values or damage"


def require_usable_values(array: np.ndarray, case: str, clipped: Sequence[bool] = ()) -> None:
    """Raise AutosegError, naming the case, for NaN, infinite or extreme values (`extreme_values`), and where an image
    (C, Z, Y, X) has one value alone. clipped: of each channel, whether extreme values are clipped before all else."""
    ranges = [(channel.min(), channel.max()) for channel in array]
    if not np.isfinite(ranges).all():
        raise AutosegError(
            f"case {case}: it holds NaN or infinite values, but numbers are expected. Correct the image or leave it out.")
    for number, channel in enumerate(array):
        if not (clipped and clipped[number]) and (extreme := extreme_values(channel)):
            raise AutosegError(f"case {case}: channel {number}: {extreme}. {REPLACE_EXTREMES}.")
    if all(low == high for low, high in ranges):
        raise AutosegError(
            f"case {case}: it has the same value everywhere ({ranges[0][0]:g}), so there is nothing to see. Look whether it was "
            "exported correctly, or leave it out.")
