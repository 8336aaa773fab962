"""From the mask of a plane to closed contours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

INWARDS = 1e-3  # voxels
Point = tuple[int, int]  # (x, y) in half voxels, so that all are whole


def closed_contours(mask: np.ndarray) -> list[np.ndarray]:
    """Return contours around a mask (Y, X), bool: each (N, 2) float64, (x, y) in voxels, the centre of voxel (0, 0) at (0, 0),
    its first point not repeated at the end.

    Lines run halfway between the centres of neighbouring voxels inside and outside (corners are cut), less a thousandth of a
    voxel, so that programs that round points to whole voxels round to the voxels inside. Where a region has holes, its outline
    goes along a row of voxels inside the region to each hole, around it, and back ("keyholes"). So no two contours of a plane
    touch or overlap, and union, exclusive or and even-odd rule of them give the same voxels: those of the mask.
    """
    from contourpy import FillType, contour_generator

    if not mask.any():
        return []
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    (top, bottom), (left, right) = rows[[0, -1]], columns[[0, -1]]
    part = mask[top:bottom + 1, left:right + 1]
    generator: Any = contour_generator(z=np.pad(part, 1).astype(np.float64), fill_type=FillType.OuterOffset)
    regions, offsets = generator.filled(0.5, 2.0)
    halves = [np.rint(2 * points).astype(int) + (2 * left - 2, 2 * top - 2) for points in regions]
    outlines = [[points[start:stop - 1] for start, stop in pairwise(its)] for points, its in zip(halves, offsets, strict=True)]
    doors = _doors(part, [hole for _, *holes in outlines for hole in holes], int(left), int(top))
    return [_inwards(_without_straight(_joined(outer, doors) if holes else outer), mask) for outer, *holes in outlines]


def _doors(part: np.ndarray, holes: Sequence[np.ndarray], left: int, top: int) -> dict[Point, np.ndarray]:
    """Return each hole, beginning at its leftmost point, by the point of another outline from which it is reached along a row.

    part: of the mask, whose first voxel is (left, top) of the plane.
    """
    doors = {}
    for hole in holes:
        hole = np.roll(hole, -np.lexsort((hole[:, 1], hole[:, 0]))[0], axis=0)
        x, y = (int(value) for value in hole[0])  # between the voxels x // 2, inside, and x // 2 + 1; y // 2 is their row
        outside = np.flatnonzero(~part[y // 2 - top, :x // 2 - left])
        last_outside = left - 1 if outside.size == 0 else left + int(outside[-1])
        doors[2 * last_outside + 1, y] = hole
    return doors


def _joined(outer: np.ndarray, doors: dict[Point, np.ndarray]) -> np.ndarray:
    """Return an outline that also goes around the holes that are reached from it or from one another."""
    joined: list[Point] = []
    waiting: list[Point] = [(x, y) for x, y in outer[::-1].tolist()]
    while waiting:
        point = waiting.pop()
        joined.append(point)
        if (hole := doors.pop(point, None)) is not None:
            around = [(x, y) for x, y in hole[::-1].tolist()]
            waiting += [point, around[-1], *around]
    return np.array(joined)


def _without_straight(points: np.ndarray) -> np.ndarray:
    """Return a closed outline without the points at which it goes straight on."""
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    goes_back = (before * after).sum(axis=1) < 0
    kept: np.ndarray = points[turns | goes_back]
    return kept


def _inwards(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return points, (N, 2) in half voxels, in voxels, a little nearer to the inner of the two that each lies between."""
    lower, between = points // 2, points % 2
    inside = np.zeros(len(points), bool)
    in_plane = (lower >= 0).all(axis=1)
    inside[in_plane] = mask[lower[in_plane, 1], lower[in_plane, 0]]
    moved: np.ndarray = points / 2 + INWARDS * between * np.where(inside, -1, 1)[:, None]
    return moved
