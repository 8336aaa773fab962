"""An image and where its voxels lie in the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

IDENTITY_DIRECTION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
UNKNOWN = "unknown"  # in counts of orientations: the file does not say it
WORLD_AXES = (("R", "L"), ("A", "P"), ("I", "S"))  # towards smaller and larger x, y, z of DICOM's frame


@dataclass(frozen=True)
class Geometry:
    """The place of a (Z, Y, X) grid of voxels in the world.

    World coordinates are millimetres in DICOM's frame (LPS: left, posterior, superior), as in SimpleITK.

    spacing_mm: distance of neighbouring voxels along (z, y, x), mm.
    origin_mm: world position (x, y, z) of the centre of voxel (0, 0, 0), mm.
    direction: 3×3, row-major as in SimpleITK: column j is the unit vector along which array axis x, y, z (j = 0, 1, 2)
        runs in the world. Columns need not be orthogonal: a sheared NIfTI affine is kept as it is.
    has_direction: False where the file does not say how the axes run in the patient (PNG, a NIfTI without codes). Geometries
        that differ in this alone are equal.
    """

    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY_DIRECTION
    has_direction: bool = field(default=True, compare=False)

    def world_axes(self) -> tuple[tuple[int, bool], tuple[int, bool], tuple[int, bool]]:
        """Return for array axes z, y, x the world axis (0 x, 1 y, 2 z) that each is closest to, each world axis once, and whether
        it runs towards larger world coordinates (left, posterior, superior)."""
        matrix = np.reshape(self.direction, (3, 3))
        x, y, z = max(permutations(range(3)), key=lambda order: sum(abs(matrix[row, axis]) for axis, row in enumerate(order)))
        return (z, bool(matrix[z, 2] > 0)), (y, bool(matrix[y, 1] > 0)), (x, bool(matrix[x, 0] > 0))

    @property
    def orientation(self) -> str | None:
        """Return the directions of axes x, y, z: one letter each of L/R, A/P, S/I, by the world axis that each is closest to.

        The identity is "LPS". None where the file says nothing of directions.
        """
        if not self.has_direction:
            return None
        return "".join(WORLD_AXES[world][forward] for world, forward in reversed(self.world_axes()))

    def affine(self) -> np.ndarray:
        """Return the (4, 4) float64 matrix from voxel index (x, y, z, 1) to world position (x, y, z, 1), mm, LPS."""
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(self.direction, (3, 3)) * np.array(self.spacing_mm[::-1])
        affine[:3, 3] = self.origin_mm
        return affine

    def from_voxel(self, zyx: tuple[int, int, int]) -> Geometry:
        """Return the geometry of the part of the grid that begins at this voxel: every voxel keeps its place."""
        x, y, z = (self.affine() @ [*zyx[::-1], 1.0])[:3]
        return replace(self, origin_mm=(float(x), float(y), float(z)))

    def differences(self, other: Geometry, shape: tuple[int, ...], tolerance: float = 0.01) -> list[str]:
        """Return in words what differs between two grids of `shape` (Z, Y, X); empty where they coincide.

        Grids coincide where no corner voxel of one lies farther than `tolerance` of a voxel (of the finest spacing)
        from the same voxel of the other, but at least 0.001 mm is allowed: headers are written with few digits.
        """
        corners = np.array([[x, y, z, 1] for x in (0, shape[2] - 1) for y in (0, shape[1] - 1) for z in (0, shape[0] - 1)])
        apart_mm = float(np.abs(corners @ (self.affine() - other.affine()).T).max())
        if apart_mm <= max(1e-3, tolerance * min(self.spacing_mm) * max(1.0, max(shape) / 100)):
            return []
        found = []
        for name in ("spacing_mm", "origin_mm", "direction"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if not np.allclose(mine, theirs, rtol=1e-4, atol=1e-4):
                found.append(f"{name} {_rounded(mine)} against {_rounded(theirs)}")
        return found or [f"voxels up to {apart_mm:.3g} mm apart"]


class AxisOrder(NamedTuple):
    """A reordering of an array's axes, by transposition and flips alone.

    axes: stored axis (0, 1, 2 of Z, Y, X) that becomes axis 0, 1, 2. flipped: whether the new axis runs backwards along it.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)

    def of(self, array: np.ndarray) -> np.ndarray:
        """Return an array (..., Z, Y, X) with its last three axes in the new order; a view, so that writing to it writes back."""
        lead = array.ndim - 3
        turned = array.transpose(*range(lead), *(lead + axis for axis in self.axes))
        z, y, x = (slice(None, None, -1 if flip else 1) for flip in self.flipped)
        view: np.ndarray = turned[..., z, y, x]
        return view

    def then(self, transpose: tuple[int, int, int]) -> AxisOrder:
        """Return this order followed by a transposition: axis i of the result is axis `transpose[i]` of this order's."""
        first, second, third = transpose
        axes, flipped = self.axes, self.flipped
        return AxisOrder((axes[first], axes[second], axes[third]), (flipped[first], flipped[second], flipped[third]))


def axis_order(stored: str | None, wanted: str | None, shape: tuple[int, ...]) -> AxisOrder:
    """Return how an array of one orientation becomes one of another.

    stored, wanted: letters of axes x, y, z, such as "LPS" (see `Geometry.orientation`); None where that is not known: then, and
    where a single slice would no longer be a slice of axis z, axes stay as they are. shape: (Z, Y, X) of the array.
    """
    if stored is None or wanted is None:
        return AxisOrder()
    letters = [_world_axis(letter) for letter in reversed(stored)]
    z, y, x = ((letters.index(_world_axis(letter)), letter not in stored) for letter in reversed(wanted))
    if shape[0] == 1 and z[0] != 0:
        return AxisOrder()
    return AxisOrder((z[0], y[0], x[0]), (z[1], y[1], x[1]))


def most_frequent_orientation(orientations: Mapping[str, int]) -> str | None:
    """Return the orientation of most cases, of several the first by the alphabet; None where no case says its own."""
    known = {orientation: count for orientation, count in orientations.items() if orientation != UNKNOWN}
    return min(known, key=lambda orientation: (-known[orientation], orientation), default=None)


def _world_axis(letter: str) -> int:
    return next(axis for axis, ends in enumerate(WORLD_AXES) if letter in ends)


@dataclass
class Image:
    """An image. array: (C, Z, Y, X), the file's own dtype (slope applied where the file has one); 2D images have Z = 1.

    geometry: of the (Z, Y, X) grid.
    header: what the file's writer needs to give the same grid back; opaque to all but `image_io`.
    """

    array: np.ndarray
    geometry: Geometry
    header: Any = None


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(float(v), 4) for v in values)
