"""What the labels of one case say about anatomy: volumes, components, which labels touch or lie inside which."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Literal

import cc3d
import numpy as np

from autoseg.plan import Frozen
from autoseg.preprocessing.crop import nonzero_box
from autoseg.voxels import count_pairs, joint_counts

CONNECTIVITY: Literal[26] = 26  # voxels that share a corner belong together, as in post-processing


class LabelOfCase(Frozen):
    """One label value in one case.

    volume_ml, components: of the whole label; smallest and largest component besides. touches: for each other label
    value, how many of this label's components touch it (share at least a corner of a voxel). inside: the label values
    that enclose it on all sides.
    """

    volume_ml: float
    components: int
    smallest_component_ml: float
    largest_component_ml: float
    touches: dict[str, int] = {}
    inside: tuple[str, ...] = ()


def measure_labels(
    labels: np.ndarray, spacing_mm: tuple[float, float, float], ignore: int | None
) -> tuple[dict[str, LabelOfCase], int]:
    """Each label value's anatomy, by the value as a string, and the number of components of all foreground together.

    labels: (Z, Y, X) non-negative integers. spacing_mm: (z, y, x). ignore: a value that counts as background.
    Without foreground: an empty dict and 0. Works inside the foreground's bounding box.
    """
    box = nonzero_box(labels[None])
    around = tuple(slice(max(0, start - 1), stop + 1) for start, stop in box)  # a rim, so that background is a neighbour
    inner = np.ascontiguousarray(labels[around])
    if ignore is not None:
        inner[inner == ignore] = 0
    components, number = cc3d.connected_components(inner, connectivity=CONNECTIVITY, return_N=True)
    if number == 0:
        return {}, 0
    voxels: dict[int, dict[int, int]] = defaultdict(dict)  # label value -> component -> voxels
    for (value, component), count in joint_counts(inner, components).items():
        if value:
            voxels[value][component] = count
    edges = cc3d.region_graph(components, connectivity=CONNECTIVITY)
    label_of = {component: value for value, of_label in voxels.items() for component in of_label}
    touching = _touching(edges, label_of)
    enclosing = _enclosing(inner)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    measured = {
        str(value): LabelOfCase(
            volume_ml=_rounded(sum(of_label.values()) * voxel_ml), components=len(of_label),
            smallest_component_ml=_rounded(min(of_label.values()) * voxel_ml),
            largest_component_ml=_rounded(max(of_label.values()) * voxel_ml),
            touches={str(other): count for other, count in sorted(touching[value].items())},
            inside=tuple(map(str, enclosing.get(value, ()))))
        for value, of_label in sorted(voxels.items())
    }
    return measured, _joined(label_of, edges)


def _touching(edges: Iterable[tuple[int, int]], label_of: dict[int, int]) -> dict[int, Counter[int]]:
    """Label value to: other label value to number of the former's components with a neighbour in the latter."""
    neighbours: set[tuple[int, int]] = set()  # (component, label value that it touches)
    for one, other in edges:
        neighbours |= {(one, label_of[other]), (other, label_of[one])}
    touching: dict[int, Counter[int]] = defaultdict(Counter)
    for component, value in neighbours:
        touching[label_of[component]][value] += 1
    return touching


def _enclosing(labels: np.ndarray) -> dict[int, tuple[int, ...]]:
    """Label value to the one value that all its faces border, where that one borders others besides."""
    borders: dict[int, set[int]] = defaultdict(set)
    for axis in range(3):
        along = np.moveaxis(labels, axis, 0)
        differ = along[1:] != along[:-1]
        for one, other in count_pairs(along[1:][differ], along[:-1][differ]):
            borders[one].add(other)
            borders[other].add(one)
    return {
        value: tuple(others) for value, others in borders.items()
        if value and len(others) == 1 and 0 not in others and all(borders[other] != {value} for other in others)
    }


def _joined(label_of: dict[int, int], edges: Iterable[tuple[int, int]]) -> int:
    """Number of components when components that touch count as one (union by the smaller root)."""
    root = {component: component for component in label_of}

    def find(component: int) -> int:
        while root[component] != component:
            root[component] = root[root[component]]
            component = root[component]
        return component

    for one, other in edges:
        first, second = find(one), find(other)
        root[max(first, second)] = min(first, second)
    return sum(component == parent for component, parent in root.items())


def _rounded(volume_ml: float) -> float:
    """Six significant digits: readable, and finer than any label is drawn."""
    return float(f"{volume_ml:.6g}")
