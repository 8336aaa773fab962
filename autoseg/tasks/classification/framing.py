"""An image as a classifier sees it: its foreground, on the planned grid, cut and padded to the planned size.

    image (C, Z, Y, X)  ->  planned axis order  ->  box of the foreground  ->  scaled to [0, 1]  ->  resampled  ->  size
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.errors import AutosegError, many
from autoseg.image import AxisOrder, Image, axis_order
from autoseg.intensities import own_window, require_usable_values
from autoseg.pictures import is_colour, is_picture
from autoseg.preprocessing.crop import Box, crop, nonzero_box
from autoseg.preprocessing.resample import area_matrix
from autoseg.tasks.classification.plan import ClassPlans
from autoseg.voxels import slabs

MARGIN = 0.1  # of a labelled region's edges, on either side


@dataclass(frozen=True)
class Frame:
    """The place of what a classifier sees in an image; it leads back, too.

    order: from the image's axes to those of the plans. All that follows is in that order: shape: (Z, Y, X) of the image. box:
    that is looked at, half open, voxels. resampled: (z, y, x) voxels of the box on the planned grid. size: of what is seen.
    """

    order: AxisOrder
    shape: tuple[int, int, int]
    box: Box
    resampled: tuple[int, int, int]
    size: tuple[int, int, int]

    @property
    def parts(self) -> tuple[tuple[slice, slice], ...]:
        """Return for each axis the part of what is seen, and the part of the resampled box that lies there."""
        return tuple(_middle(has, shows) for has, shows in zip(self.resampled, self.size, strict=True))

    def back(self, values: np.ndarray) -> np.ndarray:
        """Return values (z, y, x) of what is seen on the image's own grid and in its own axis order, (Z, Y, X) float32; 0 where
        nothing was seen."""
        grid = np.zeros(self.resampled, np.float32)
        seen, held = zip(*self.parts, strict=True)
        grid[held] = values[seen]
        extent = tuple(stop - start for start, stop in self.box)
        whole = np.zeros(self.shape, np.float32)
        crop(whole, self.box)[...] = _resampled(grid, extent)
        axes = np.argsort(self.order.axes)
        stored = np.empty(tuple(self.shape[axis] for axis in axes), np.float32)
        self.order.of(stored)[...] = whole
        return stored


def _middle(has: int, shows: int) -> tuple[slice, slice]:
    common = min(has, shows)
    return slice((shows - common) // 2, (shows - common) // 2 + common), slice((has - common) // 2, (has - common) // 2 + common)


@dataclass(frozen=True)
class Framed:
    """array: (C, z, y, x) float32 in [0, 1], 0 where nothing is. mean: of the foreground's intensities, in the image's unit."""

    array: np.ndarray
    frame: Frame
    mean: float


def frame_image(image: Image, case: str, plans: ClassPlans, label: np.ndarray | None = None) -> Framed:
    """Return what a classifier sees of an image (C, Z, Y, X) as read; it is left as it is.

    label: (Z, Y, X) whose values other than 0 are the region to look at, where that was planned. Intensities become [0, 1] by the
    planned window of the channel, or between the planned percentiles of its own non-zero voxels; colours share one. Colour
    pictures are seen in gray where that was planned, and gray ones as if in colour.
    Raises AutosegError, naming the case, where the channels do not fit the plans, for a volume where pictures were planned and
    the other way round, for NaN or infinite values, where the image has one value everywhere, and where the label holds no
    region.
    """
    array = _planned_channels(image, case, plans)
    _require_planned_kind(array, case, plans)
    require_usable_values(array, case, [window is not None for window in plans.windows])
    order = AxisOrder() if plans.view == "picture" else axis_order(
        image.geometry.orientation, plans.orientation, array.shape[1:])
    turned = order.of(array)
    box = nonzero_box(turned) if label is None else region_box(order.of(label), case)
    spacing_mm = tuple(image.geometry.spacing_mm[axis] for axis in order.axes)
    frame = Frame(order, turned.shape[1:], box, _grid(box, spacing_mm, plans), plans.size)
    seen = np.zeros((len(turned), *plans.size), np.float32)
    shown, held = zip(*frame.parts, strict=True)
    for into, channel, (low, high) in zip(seen, turned, _windows(array, plans), strict=True):
        if high > low:
            into[shown] = _resampled(np.clip((crop(channel, box).astype(np.float32) - low) / (high - low), 0, 1),
                                     frame.resampled)[held]
    return Framed(seen, frame, mean_intensity(array))


def mean_intensity(array: np.ndarray) -> float:
    """Return the mean of an image's non-zero values, over all channels."""
    total, count = 0.0, 0
    for channel in array:
        for part in slabs(channel.shape):
            total += float(channel[part].sum(dtype=np.float64))
            count += int(np.count_nonzero(channel[part]))
    return total / max(count, 1)


def region_box(label: np.ndarray, case: str) -> Box:
    """Return the box of a labelled region (Z, Y, X), a tenth larger on each side. Raises AutosegError where there is none."""
    if not (label != 0).any():
        raise AutosegError(f"case {case}: its label file holds no region to look at, but only 0. Label it, or plan without "
                           "--roi.")
    grown = []
    for (start, stop), size in zip(nonzero_box(label[None] != 0), label.shape, strict=True):
        margin = max(1, round(MARGIN * (stop - start))) if size > 1 else 0
        grown.append((max(0, start - margin), min(size, stop + margin)))
    return grown[0], grown[1], grown[2]


def _grid(box: Box, spacing_mm: tuple[float, ...], plans: ClassPlans) -> tuple[int, int, int]:
    """Return the voxels of the box on the planned grid: a picture fills what is seen as far as its aspect allows."""
    extent = [stop - start for start, stop in box]
    if plans.spacing_mm is None:
        scale = min(plans.size[axis] / (extent[axis] * spacing_mm[axis]) for axis in (1, 2))
        rows, columns = (min(plans.size[axis], max(1, round(scale * extent[axis] * spacing_mm[axis]))) for axis in (1, 2))
        return 1, rows, columns
    z, y, x = (max(1, round(voxels * old / new)) for voxels, old, new in zip(extent, spacing_mm, plans.spacing_mm, strict=True))
    return z, y, x


def _resampled(volume: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a volume (Z, Y, X) float32 on another grid of the same extent: means over area where it shrinks, else linear."""
    for axis, size in enumerate(shape):
        if volume.shape[axis] != size:
            matrix = area_matrix(volume.shape[axis], size)
            volume = np.moveaxis(np.tensordot(matrix, volume, axes=(1, axis)), 0, axis)
    return volume


def _planned_channels(image: Image, case: str, plans: ClassPlans) -> np.ndarray:
    found, planned = len(image.array), len(plans.channel_names)
    if found == planned:
        return image.array
    if plans.view == "picture" and (found, planned) == (3, 1):
        return image.array.mean(0, dtype=np.float32, keepdims=True)
    if plans.view == "picture" and is_colour(plans.channel_names) and found == 1:
        return np.repeat(image.array, 3, axis=0)
    raise AutosegError(f"case {case}: {many(found, 'channel')} found, but {planned} expected ({', '.join(plans.channel_names)}), "
                       "as in the training dataset. Give these channels, in this order.")


def _require_planned_kind(array: np.ndarray, case: str, plans: ClassPlans) -> None:
    if plans.view == "picture" and not is_picture(array):
        raise AutosegError(f"case {case}: it is a volume of shape {array.shape[1:]} (z, y, x), but pictures of one slice are "
                           "expected, as in the training dataset. Give pictures, or train on volumes.")
    if plans.view != "picture" and is_picture(array):
        raise AutosegError(f"case {case}: it is a picture of one slice, but volumes are expected, as in the training dataset. "
                           "Give volumes, or train on pictures.")


def _windows(array: np.ndarray, plans: ClassPlans) -> list[tuple[float, float]]:
    if is_colour(plans.channel_names) and not any(plans.windows):
        return [own_window(array, plans.percentiles)] * len(array)
    return [(planned.low, planned.high) if planned else own_window(channel, plans.percentiles)
            for planned, channel in zip(plans.windows, array, strict=True)]
