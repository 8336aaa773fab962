"""Distances between components, from the voxels on their surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from autoseg.voxels import slabs


class Surfaces:
    """The surfaces of a volume's components; what distances need is made when the first one is asked for.

    components: (Z, Y, X) unsigned integers, 0 is background. spacing_mm: (z, y, x).
    """

    def __init__(self, components: np.ndarray, spacing_mm: tuple[float, float, float]) -> None:
        self._components, self._spacing_mm = components, np.array(spacing_mm)
        self._trees: dict[int, cKDTree] = {}

    def nearest_mm(
        self, groups: Sequence[np.ndarray], others: np.ndarray, limit_mm: float = float("inf")
    ) -> np.ndarray:
        """(groups,) mm from each group of components to the nearest of `others`: between the centres of voxels.

        groups: component numbers of each, none empty. others: component numbers. inf where it is not less than
        `limit_mm`, or where there are no others.
        """
        if not groups:
            return np.empty(0)
        points = [np.concatenate([self._points_mm(number) for number in group]) for group in groups]
        of_all = np.concatenate(points)
        nearest = np.full(len(of_all), limit_mm)
        for other in others:
            tree = self._tree(int(other))
            apart = np.maximum(0, np.maximum(tree.mins - of_all, of_all - tree.maxes))
            may_be_nearer = np.flatnonzero(np.sqrt((apart**2).sum(axis=1)) < nearest)
            if len(may_be_nearer):
                found, _ = tree.query(of_all[may_be_nearer], distance_upper_bound=float(nearest[may_be_nearer].max()))
                nearest[may_be_nearer] = np.minimum(nearest[may_be_nearer], found)
        nearest[nearest >= limit_mm] = np.inf
        starts = np.cumsum([0, *map(len, points[:-1])])
        return np.asarray(np.minimum.reduceat(nearest, starts))

    def _tree(self, number: int) -> cKDTree:
        if number not in self._trees:
            self._trees[number] = cKDTree(self._points_mm(number))
        return self._trees[number]

    def _points_mm(self, number: int) -> np.ndarray:
        """(p, 3) positions (z, y, x) of a component's surface voxels."""
        numbers, voxels = self._voxels
        first, last = np.searchsorted(numbers, (number, number + 1))
        indices = np.unravel_index(voxels[first:last], self._components.shape)
        return np.stack(indices, axis=1) * self._spacing_mm

    @cached_property
    def _voxels(self) -> tuple[np.ndarray, np.ndarray]:
        """Component number, and index in the flat volume, of every surface voxel; by component number."""
        layer = int(np.prod(self._components.shape[1:]))
        numbers, voxels = [], []
        for part in slabs(self._components.shape):
            low, high = max(0, part.start - 1), min(len(self._components), part.stop + 1)
            surface = _surface(self._components[low:high])[part.start - low:part.stop - low]
            flat = np.flatnonzero(surface)
            numbers.append(self._components[part].reshape(-1)[flat])
            voxels.append(flat + part.start * layer)
        order = np.argsort(np.concatenate(numbers), kind="stable")
        return np.concatenate(numbers)[order], np.concatenate(voxels)[order]


def _surface(components: np.ndarray) -> np.ndarray:
    """(z, y, x) bool: voxels of components with a face towards anything else, or on the array's border."""
    enclosed = np.ones(components.shape, bool)
    for axis, size in enumerate(components.shape):
        if size == 1:
            continue
        along, mark = np.moveaxis(components, axis, 0), np.moveaxis(enclosed, axis, 0)
        same = along[1:] == along[:-1]
        mark[1:] &= same
        mark[:-1] &= same
        mark[0] = mark[-1] = False
    return ~enclosed & (components != 0)
