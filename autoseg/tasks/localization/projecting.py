"""A volume as a projection. The same for training and prediction.

    volume (C, Z, Y, X)  ->  its non-zero box  ->  a slab in the middle of one axis  ->  maximum and mean along that axis
                         ->  rows from head to feet, as the header says  ->  scaled to [-1, 1]  ->  square pixels
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.errors import AutosegError, many
from autoseg.image import Geometry, Image
from autoseg.intensities import own_window, require_usable_values
from autoseg.preprocessing.crop import Box, crop, nonzero_box
from autoseg.preprocessing.resample import area_matrix
from autoseg.tasks.localization.placement import Axes, ProjectionPlacement, axes_of
from autoseg.tasks.localization.plan import ProjectionPlans, Seen, WorldAxis

PADDING = -1.0  # what lies outside of a projection


@dataclass
class Projection:
    """channels: (n·C, rows, columns) float32 in [-1, 1], for each of the image's those that were planned (`plans.seen`)."""

    channels: np.ndarray
    placement: ProjectionPlacement


def project_image(image: Image, case: str, plans: ProjectionPlans) -> Projection:
    """Project a volume (C, Z, Y, X) as read; it is left as it is.

    Intensities become [-1, 1] by the planned window of the channel, or between the planned percentiles of its own non-zero
    voxels. Pixels become square by averaging over area, or linearly where they are finer than voxels.
    Raises AutosegError, naming the case, where the channels do not fit the plans, for a picture, for NaN or infinite values, and
    where the image has one value everywhere.
    """
    array = image.array
    if len(array) != len(plans.channel_names):
        raise AutosegError(
            f"case {case}: {many(len(array), 'channel')} found, but {len(plans.channel_names)} expected "
            f"({', '.join(plans.channel_names)}), as in the training dataset. Give these channels, in this order.")
    if problem := no_volume(image, plans.axis, plans.project):
        raise AutosegError(f"case {case}: {problem}. Give volumes, or plan a projection along another axis.")
    require_usable_values(array, case)
    placement = place(image, plans.axis, plans.project, plans.pixel_mm)
    found = np.empty((plans.channels, *placement.pixels), np.float32)
    parts = found.reshape(len(array), len(plans.seen), *placement.pixels)
    for part, channel, planned in zip(parts, array, plans.windows, strict=True):
        low, high = (planned.low, planned.high) if planned else own_window(channel, plans.percentiles)
        part[:] = _project(crop(channel, placement.box), placement, plans, low, high)
    return Projection(found, placement)


def position_of(rows: int) -> np.ndarray:
    """Return (rows,) float32: how far each row of what is shown is from its ends, from -1 to 1; 0 for a single row."""
    return np.linspace(-1, 1, rows, dtype=np.float32) if rows > 1 else np.zeros(1, np.float32)


def place(image: Image, axis: WorldAxis, project: WorldAxis, pixel_mm: float) -> ProjectionPlacement:
    """Return where the projection of a volume lies in it: in the box that holds its non-zero voxels."""
    geometry, box, axes = image.geometry, nonzero_box(image.array), axes_of(image.geometry, axis, project)
    rows, columns = (pixels_of(geometry, box, each, pixel_mm) for each in (axes.rows, axes.columns))
    _, z, y, x = image.array.shape
    return ProjectionPlacement(geometry, (z, y, x), axis, axes, box, (rows, columns))


def pixels_of(geometry: Geometry, box: Box, array_axis: int, pixel_mm: float) -> int:
    """Return how many pixels of that edge a box covers along an array axis; 1 at least."""
    start, stop = box[array_axis]
    return max(1, round((stop - start) * geometry.spacing_mm[array_axis] / pixel_mm))


def no_volume(image: Image, axis: WorldAxis, project: WorldAxis) -> str:
    """Say why a picture, or a volume of one slice along either axis of the projection, cannot be projected; "" where it can."""
    axes, shape = axes_of(image.geometry, axis, project), image.array.shape[1:]
    if min(shape[axes.rows], shape[axes.columns]) > 1:
        return ""
    return (f"it has shape {shape} (z, y, x), but a volume of several slices is expected, in which a level is found along {axis} "
            f"in its projection along {project}")


def central_slab(size: int, share: float) -> tuple[int, int]:
    """Return the middle `share` of so many voxels, half open: as many are left out on either side, and one is left at least."""
    outside = min(round(size * (1 - share) / 2), (size - 1) // 2)
    return outside, size - outside


def _project(volume: np.ndarray, placement: ProjectionPlacement, plans: ProjectionPlans, low: float, high: float) -> np.ndarray:
    """Return (channels seen, rows, columns) of the box (Z, Y, X) of one channel; values from `low` to `high` become -1 to 1."""
    axes = placement.axes
    start, stop = central_slab(volume.shape[axes.projected], plans.slab)
    seen = _turned(volume, axes)[:, :, start:stop]
    maximum, mean = seen.max(2).astype(np.float64), seen.mean(2, dtype=np.float64)
    of: dict[Seen, np.ndarray] = {"both": (maximum + mean) / 2, "maximum": maximum, "mean": mean}
    stacked = np.stack([of[name] for name in plans.seen])
    scaled = (np.clip((stacked - low) / (high - low), 0, 1) * 2 - 1 if high > low else np.full_like(stacked, PADDING))
    down, across = (area_matrix(size, pixels) for size, pixels in zip(seen.shape[:2], placement.pixels, strict=True))
    return np.clip(down @ scaled.astype(np.float32) @ across.T, -1, 1)


def _turned(volume: np.ndarray, axes: Axes) -> np.ndarray:
    """Return (Z, Y, X) as (rows, columns, projected); a view."""
    flip_rows, flip_columns = axes.flipped
    return volume.transpose(axes.rows, axes.columns, axes.projected)[::-1 if flip_rows else 1, ::-1 if flip_columns else 1]
