"""Windows that scale the intensities of images for networks that take slices or projections, not patches of volumes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from autoseg.errors import AutosegError
from autoseg.plan import Frozen

WINDOW_PERCENTILES = (0.5, 99.5)


class IntensityWindow(Frozen):
    """The values of one channel that become the lowest and the highest, in the images' own unit (HU in CT)."""

    low: float
    high: float


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


def require_usable_values(array: np.ndarray, case: str) -> None:
    """Raise AutosegError, naming the case, for NaN or infinite values, and where an image (C, Z, Y, X) has one value alone."""
    ranges = [(channel.min(), channel.max()) for channel in array]
    if not np.isfinite(ranges).all():
        raise AutosegError(
            f"case {case}: it holds NaN or infinite values, but numbers are expected. Correct the image or leave it out.")
    if all(low == high for low, high in ranges):
        raise AutosegError(
            f"case {case}: it has the same value everywhere ({ranges[0][0]:g}), so there is nothing to see. Look whether it was "
            "exported correctly, or leave it out.")
