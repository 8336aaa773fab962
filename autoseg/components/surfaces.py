"""Contacts of components: which ones touch, and how far apart they are, from the voxels on their surfaces."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import product

import numpy as np
from scipy.spatial import cKDTree

from autoseg.voxels import count_pairs, slabs

HALF_OF_THE_NEIGHBOURS = [steps for steps in product((-1, 0, 1), repeat=3) if steps > (0, 0, 0)]  # the rest by symmetry
LARGE = 1000  # surface voxels of a component from which a tree of its own is worth keeping


class Surfaces:
    """The surfaces of a volume's components; found when they are first asked for.

    components: (Z, Y, X) unsigned integers, 0 is background. spacing_mm: (z, y, x).
    """

    def __init__(self, components: np.ndarray, spacing_mm: tuple[float, float, float]) -> None:
        self._components, self._spacing_mm = components, np.array(spacing_mm)
        self._trees: dict[int, cKDTree] = {}

    def nearest_mm(
        self, members: np.ndarray, group: np.ndarray, others: np.ndarray, limit_mm: float = float("inf")
    ) -> np.ndarray:
        """Return the distance in mm from each group of components to the nearest of `others`, between the centres of voxels.

        members: component numbers. group: of each member, the group that it belongs to; the result is in the order of
        their numbers. others: component numbers. inf where it is not less than `limit_mm`, or where there are no others.
        """
        groups, which = np.unique(group, return_inverse=True)
        points, sizes = self._points_mm(members)
        nearest = np.full(len(points), limit_mm)
        for tree in self._trees_of(others):
            apart = np.maximum(0, np.maximum(tree.mins - points, points - tree.maxes))
            may_be_nearer = np.flatnonzero(np.sqrt((apart**2).sum(axis=1)) < nearest)
            if len(may_be_nearer):
                limit = float(nearest[may_be_nearer].max())
                found, _ = tree.query(points[may_be_nearer], distance_upper_bound=limit)
                nearest[may_be_nearer] = np.minimum(nearest[may_be_nearer], found)
        nearest[nearest >= limit_mm] = np.inf
        of_groups = np.full(len(groups), np.inf)
        np.minimum.at(of_groups, np.repeat(which, sizes), nearest)
        return of_groups

    def touching(self) -> np.ndarray:
        """Return (m, 2) numbers of components that share a face, an edge or a corner, each pair once, ascending.

        Where two components touch, two of their surface voxels touch: one that shares but a corner with the other component
        either has a face towards something else itself, or lies beside a voxel of its own component that touches, too.
        """
        (voxels, _), flat = self._voxels, self._components.reshape(-1)
        shape = self._components.shape
        at = np.unravel_index(voxels, shape)
        may_step = [{-1: along > 0, 0: None, 1: along < size - 1} for along, size in zip(at, shape, strict=True)]
        pairs: set[tuple[int, int]] = set()
        for steps in HALF_OF_THE_NEIGHBOURS:
            inside = np.ones(len(voxels), bool)
            for step, allowed in zip(steps, may_step, strict=True):
                if step:
                    inside &= allowed[step]
            here = voxels[inside]
            one, other = flat[here], flat[here + np.dot(steps, (shape[1] * shape[2], shape[2], 1))]
            differ = (one != other) & (other != 0)
            pairs.update(count_pairs(one[differ], other[differ]))
        return np.array(sorted({(min(pair), max(pair)) for pair in pairs}), np.int64).reshape(-1, 2)

    def _trees_of(self, numbers: np.ndarray) -> Iterator[cKDTree]:
        """Yield trees that hold the surfaces of components: large ones have their own, which is kept; small ones share one."""
        _, starts = self._voxels
        is_large = starts[numbers + 1] - starts[numbers] >= LARGE
        for number in numbers[is_large].tolist():
            if number not in self._trees:
                self._trees[number] = cKDTree(self._points_mm(np.array([number]))[0])
            yield self._trees[number]
        if not is_large.all():
            yield cKDTree(self._points_mm(numbers[~is_large])[0])

    def _points_mm(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (p, 3) mm positions (z, y, x) of the components' surface voxels, one after the other, and how many each has."""
        voxels, starts = self._voxels
        sizes = starts[numbers + 1] - starts[numbers]
        ends = np.cumsum(sizes)
        taken = np.arange(sizes.sum()) + np.repeat(starts[numbers] - ends + sizes, sizes)
        return np.stack(np.unravel_index(voxels[taken], self._components.shape), axis=1) * self._spacing_mm, sizes

    @cached_property
    def _voxels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the index in the flat volume of every surface voxel, ordered by component, and where each component begins."""
        layer = int(np.prod(self._components.shape[1:]))
        found = []
        for part in slabs(self._components.shape):
            low, high = max(0, part.start - 1), min(len(self._components), part.stop + 1)
            surface = _surface(self._components[low:high])[part.start - low:part.stop - low]
            found.append(np.flatnonzero(surface) + part.start * layer)
        voxels = np.concatenate(found)
        numbers = self._components.reshape(-1)[voxels]
        starts = np.cumsum([0, *np.bincount(numbers)])
        return voxels[np.argsort(numbers, kind="stable")], starts


def _surface(components: np.ndarray) -> np.ndarray:
    """Return (z, y, x) bool: voxels of components with a face towards anything else, or on the array's border."""
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
