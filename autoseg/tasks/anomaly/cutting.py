"""An image as square slices, and values of its slices back on the image's own grid. The same for training and prediction.

    volume (C, Z, Y, X)  ->  slices along one axis, as a radiologist holds them  ->  scaled to [-1, 1]  ->  fitted into squares
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.errors import AutosegError, many
from autoseg.image import Geometry, Image
from autoseg.intensities import own_window, require_usable_values
from autoseg.pictures import is_colour, is_gray, is_picture
from autoseg.preprocessing.resample import area_matrix
from autoseg.tasks.anomaly.plan import Axis, SlicePlans
from autoseg.voxels import slabs

WORLD_AXIS: dict[Axis, int] = {"sagittal": 0, "coronal": 1, "axial": 2}  # to which slices are perpendicular
# World axes that the rows (downwards) and columns (rightwards) of a slice run along, and whether towards larger coordinates:
# the head up, in axial slices the front; the front at the left, in coronal and axial slices the patient's right.
ROWS_AND_COLUMNS = {0: ((2, False), (1, True)), 1: ((2, False), (0, True)), 2: ((1, True), (0, True))}
PADDING = -1.0

Span = tuple[int, int]


@dataclass(frozen=True)
class SlicePlacement:
    """The place of an image's slices in it.

    shape: (Z, Y, X) of the image, voxels. array_axis: 0, 1 or 2 of (Z, Y, X): slice i holds the voxels with index i along it.
    rows_axis, columns_axis: array axes along which a slice's rows and columns are counted; flipped: whether backwards.
    rows, columns: pixels of the square that the image covers, half open; what lies outside is padding.
    image_size: edge of the square, pixels.
    """

    shape: tuple[int, int, int]
    array_axis: int
    rows_axis: int
    columns_axis: int
    flipped: tuple[bool, bool]
    rows: Span
    columns: Span
    image_size: int

    @property
    def count(self) -> int:
        """Return the number of slices of the image."""
        return self.shape[self.array_axis]

    def view(self, volume: np.ndarray) -> np.ndarray:
        """Return the slices (N, H, W) of a volume (Z, Y, X), at its own resolution, turned as they are cut; a view of it."""
        slices = volume.transpose(self.array_axis, self.rows_axis, self.columns_axis)
        flip_rows, flip_columns = self.flipped
        return slices[:, ::-1 if flip_rows else 1, ::-1 if flip_columns else 1]

    @property
    def content(self) -> tuple[slice, slice]:
        """Return the part of a square that the image covers."""
        return slice(*self.rows), slice(*self.columns)


@dataclass
class Cut:
    """slices: (N, C, S, S) float32 in [-1, 1], padded with -1; slice i has index i along `placement.array_axis` of the image.

    blank: (N,) bool: the slice has one value everywhere. placement: for the way back.
    """

    slices: np.ndarray
    blank: np.ndarray
    placement: SlicePlacement


def cut_image(image: Image, case: str, plans: SlicePlans) -> Cut:
    """Return all slices of an image along the planned axis; a picture is one slice.

    image: (C, Z, Y, X) as read; it is left as it is. Each slice is fitted into the square as a whole, its aspect in mm kept:
    shrunk by averaging over area, or grown linearly. Intensities become [-1, 1] by the planned window of the channel, or by the
    image's own (0.5 to 99.5 percentile of its non-zero voxels; colours share one). A colour picture that is gray in truth is
    made gray where gray was planned.
    Raises AutosegError, naming the case, where the channels do not fit the plans, for a volume where pictures were planned and
    the other way round, for NaN or infinite values, and where every slice has one value everywhere.
    """
    array = _with_planned_channels(image, case, plans)
    _require_planned_kind(array, case, plans)
    require_usable_values(array, case, [window is not None for window in plans.windows])
    placement = place(image.geometry, (array.shape[1], array.shape[2], array.shape[3]), plans.axis, plans.image_size)
    shape = (placement.count, plans.channels, plans.image_size, plans.image_size)
    cut = Cut(np.full(shape, PADDING, np.float32), np.ones(placement.count, bool), placement)
    for channel, (low, high) in enumerate(_windows(array, plans)):
        _cut_channel(cut, channel, placement.view(array[channel]), low, high)
    np.clip(cut.slices, -1, 1, out=cut.slices)
    if cut.blank.all():
        raise AutosegError(
            f"case {case}: each of its slices has one value everywhere after scaling. Look whether its intensities have the unit "
            "of the training dataset's, or leave the case out.")
    return cut


def place_back(values: np.ndarray, placement: SlicePlacement) -> np.ndarray:
    """Return values of slices on the grid of the image that they were cut from.

    values: (N, S, S) float32. Returns (1, Z, Y, X) float32; padding is left out, growing is linear.
    """
    if values.shape != (placement.count, placement.image_size, placement.image_size):
        raise ValueError(f"values of shape {values.shape} do not fit {placement.count} slices of {placement.image_size} pixels")
    volume = np.empty((1, *placement.shape), np.float32)
    target = placement.view(volume[0])
    (top, bottom), (left, right) = placement.rows, placement.columns
    down, across = area_matrix(bottom - top, target.shape[1]), area_matrix(right - left, target.shape[2])
    for part in slabs(target.shape):
        content = values[part][(slice(None), *placement.content)].astype(np.float32, copy=False)
        target[part] = np.matmul(np.matmul(down, content), across.T)
    return volume


def place(geometry: Geometry, shape: tuple[int, int, int], axis: Axis | None, image_size: int) -> SlicePlacement:
    """Return where slices lie and how they are turned. shape: (Z, Y, X). axis: None for pictures, which stay as they are."""
    array_axis, (rows_axis, rows_flipped), (columns_axis, columns_flipped) = _turned(geometry, axis)
    extents_mm = [shape[a] * geometry.spacing_mm[a] for a in (rows_axis, columns_axis)]
    pixels = [min(image_size, max(1, round(image_size * extent / max(extents_mm)))) for extent in extents_mm]
    starts = [(image_size - n) // 2 for n in pixels]
    return SlicePlacement(
        shape=shape, array_axis=array_axis, rows_axis=rows_axis, columns_axis=columns_axis,
        flipped=(rows_flipped, columns_flipped), rows=(starts[0], starts[0] + pixels[0]),
        columns=(starts[1], starts[1] + pixels[1]), image_size=image_size)


def cut_along(geometry: Geometry, axis: Axis | None) -> int:
    """Return the array axis, 0, 1 or 2 of (Z, Y, X), that slices follow each other along."""
    return _turned(geometry, axis)[0]


def _turned(geometry: Geometry, axis: Axis | None) -> tuple[int, tuple[int, bool], tuple[int, bool]]:
    """Return the array axis that is cut along, and those of rows and columns with whether they are flipped."""
    if axis is None:
        return 0, (1, False), (2, False)
    array_axis_of = {world: (a, forward) for a, (world, forward) in enumerate(geometry.world_axes())}
    rows, columns = (
        (array_axis_of[world][0], array_axis_of[world][1] != forward) for world, forward in ROWS_AND_COLUMNS[WORLD_AXIS[axis]])
    return array_axis_of[WORLD_AXIS[axis]][0], rows, columns


def _with_planned_channels(image: Image, case: str, plans: SlicePlans) -> np.ndarray:
    """Return (C, Z, Y, X) with as many channels as planned, or AutosegError."""
    found, planned = len(image.array), plans.channels
    if found == planned:
        return image.array
    if plans.axis is None and (found, planned) == (3, 1):
        if is_picture(image.array) and is_gray(image.array):
            return image.array.mean(0, dtype=np.float32, keepdims=True)
        raise AutosegError(f"case {case}: it is a colour picture (RGB), but gray pictures are expected, as in the training "
                           "dataset. Convert it to gray where colour means nothing, or leave it out.")
    if plans.axis is None and (found, planned) == (1, 3):
        raise AutosegError(f"case {case}: it is a gray picture, but colour pictures (RGB) are expected, as in the training "
                           "dataset. Give the picture in colour, or leave it out.")
    raise AutosegError(f"case {case}: {many(found, 'channel')} found, but {planned} expected ({', '.join(plans.channel_names)}), "
                       "as in the training dataset. Give these channels, in this order.")


def _require_planned_kind(array: np.ndarray, case: str, plans: SlicePlans) -> None:
    if plans.axis is None and not is_picture(array):
        raise AutosegError(
            f"case {case}: it is a volume of shape {array.shape[1:]} (z, y, x), but pictures of one slice are expected, as in "
            "the training dataset. Give pictures, or train on volumes.")
    if plans.axis is not None and is_picture(array):
        raise AutosegError(
            f"case {case}: it is a picture of one slice, but volumes are expected, which are cut into {plans.axis} slices, as in "
            "the training dataset. Give volumes, or train on pictures.")


def _windows(array: np.ndarray, plans: SlicePlans) -> list[tuple[float, float]]:
    """Return for each channel the values that become -1 and 1."""
    if is_colour(plans.channel_names) and not any(plans.windows):
        return [own_window(array)] * len(array)
    return [(planned.low, planned.high) if planned else own_window(channel)
            for planned, channel in zip(plans.windows, array, strict=True)]


def _cut_channel(cut: Cut, channel: int, view: np.ndarray, low: float, high: float) -> None:
    """Fill one channel of all slices. view: (N, H, W) at the image's resolution; it stays padding where low equals high."""
    if not high > low:
        return
    down, across = (
        area_matrix(size, stop - start)
        for size, (start, stop) in zip(view.shape[1:], (cut.placement.rows, cut.placement.columns), strict=True))
    for part in slabs(view.shape):
        scaled = np.clip(view[part].astype(np.float32), low, high)
        scaled -= low
        scaled *= 2 / (high - low)
        scaled -= 1
        cut.blank[part] &= scaled.min((1, 2)) == scaled.max((1, 2))
        cut.slices[(part, channel, *cut.placement.content)] = np.matmul(np.matmul(down, scaled), across.T)
