"""The place of a projection in its volume: rows and slices, slices and millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.image import Geometry
from autoseg.preprocessing.crop import Box
from autoseg.tasks.localization.plan import WorldAxis

WORLD: dict[WorldAxis, int] = {"x": 0, "y": 1, "z": 2}
FORWARD = (True, True, False)  # rows and columns run to the left, to the back, and from head to feet

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Axes:
    """Array axes (0, 1, 2 of Z, Y, X) that become a projection's rows and columns, and the one that is projected away.

    flipped: whether rows and columns run against the array's order.
    """

    rows: int
    columns: int
    projected: int
    flipped: tuple[bool, bool]


def axes_of(geometry: Geometry, axis: WorldAxis, project: WorldAxis) -> Axes:
    """Return the axes by the header: each of the array's stands for the patient's closest to it, however it is stored.

    axis: along which something is found, the rows. project: another one, that is projected away.
    """
    of_world = {world: (array_axis, forward) for array_axis, (world, forward) in enumerate(geometry.world_axes())}
    rows, projected = WORLD[axis], WORLD[project]
    columns = 3 - rows - projected
    return Axes(of_world[rows][0], of_world[columns][0], of_world[projected][0],
                (of_world[rows][1] != FORWARD[rows], of_world[columns][1] != FORWARD[columns]))


@dataclass(frozen=True)
class ProjectionPlacement:
    """The place of a projection in its volume.

    geometry, shape (Z, Y, X): of the volume. axis: the patient's, that the rows run along. box: of the volume, that was
    projected. pixels: (rows, columns) of the projection, which cover the box.
    Slices are counted along `axes.rows` of the volume, from 0, as it is stored; whole numbers are their middles.
    """

    geometry: Geometry
    shape: tuple[int, int, int]
    axis: WorldAxis
    axes: Axes
    box: Box
    pixels: tuple[int, int]

    @property
    def slices(self) -> int:
        """Return the number of slices of the volume, along the axis."""
        return self.shape[self.axes.rows]

    @property
    def slice_mm(self) -> float:
        """Return the distance of neighbouring slices."""
        return self.geometry.spacing_mm[self.axes.rows]

    @property
    def slices_per_row(self) -> float:
        """Return how many slices a row of the projection covers."""
        start, stop = self.box[self.axes.rows]
        return (stop - start) / self.pixels[0]

    def slice_of(self, row: float) -> float:
        """Return the slice of a row of the projection."""
        return _position_of(row, self.box[self.axes.rows], self.pixels[0], self.axes.flipped[0])

    def row_of(self, slice_: float) -> float:
        """Return the row of a slice; outside of the projection where the slice is outside of the box."""
        return _pixel_of(slice_, self.box[self.axes.rows], self.pixels[0], self.axes.flipped[0])

    def column_of(self, index: float) -> float:
        """Return the column of an index along `axes.columns` of the volume."""
        return _pixel_of(index, self.box[self.axes.columns], self.pixels[1], self.axes.flipped[1])

    def world_of(self, slice_: float) -> Point:
        """Return where the middle of a slice lies, (x, y, z) mm in DICOM's frame."""
        zyx = [(size - 1) / 2 for size in self.shape]
        zyx[self.axes.rows] = slice_
        x, y, z = (self.geometry.affine() @ [*zyx[::-1], 1.0])[:3]
        return float(x), float(y), float(z)

    def mm_of(self, slice_: float) -> float:
        """Return where the middle of a slice lies along the axis, mm in DICOM's frame."""
        return self.world_of(slice_)[WORLD[self.axis]]

    def slice_at(self, mm: float) -> float:
        """Return the slice whose middle lies there along the axis; may be outside of the volume."""
        first, second = self.mm_of(0), self.mm_of(1)
        return (mm - first) / (second - first)

    def nearest_slice(self, slice_: float) -> int:
        """Return the nearest whole slice of the volume."""
        return int(np.clip(np.floor(slice_ + 0.5), 0, self.slices - 1))


def _position_of(pixel: float, span: tuple[int, int], pixels: int, is_flipped: bool) -> float:
    start, stop = span
    inside = (pixel + 0.5) * (stop - start) / pixels - 0.5
    return stop - 1 - inside if is_flipped else start + inside


def _pixel_of(position: float, span: tuple[int, int], pixels: int, is_flipped: bool) -> float:
    start, stop = span
    inside = stop - 1 - position if is_flipped else position - start
    return (inside + 0.5) * pixels / (stop - start) - 0.5
