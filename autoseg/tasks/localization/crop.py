"""The found slice, or a slab around it, as an image for the next tool."""

from __future__ import annotations

import math

from autoseg.image import Image
from autoseg.image_io import part_of
from autoseg.tasks.localization.placement import Placement


def cropped(image: Image, placement: Placement, slice_: float, thickness_mm: float = 0) -> Image:
    """The part of a volume (C, Z, Y, X) around a place along the placement's axis; a view, of all channels and values as read.

    slice_: as `Placement` counts them, may lie between two. thickness_mm: as many slices as come closest to it, those whose
    middle lies closest to the place; one at least, the nearest. What would lie outside of the volume is left out.
    Every voxel keeps its place in the world, so that the part, written by `image_io.write_image`, overlays on the volume.
    """
    nearest = placement.nearest_slice(slice_)
    count = max(1, math.floor(thickness_mm / placement.slice_mm + 0.5))
    first = math.floor(slice_ - (count - 1) / 2 + 0.5)
    start, stop = max(0, min(first, nearest)), min(placement.slices, max(first + count, nearest + 1))
    return part_of(image, placement.axes.rows, start, stop)
