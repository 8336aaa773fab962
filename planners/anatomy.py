"""What the labels of one case say about anatomy: volumes, components, which labels touch or lie inside which."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from autoseg.components import label_components
from autoseg.fingerprint import LabelOfCase
from autoseg.preprocessing.crop import nonzero_box
from autoseg.voxels import count_pairs, joint_counts


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
    components, number = label_components(inner)
    if number == 0:
        return {}, 0
    voxels: dict[int, dict[int, int]] = defaultdict(dict)  # label value -> component -> voxels
    for (value, component), count in joint_counts(inner, components).items():
        if value:
            voxels[value][component] = count
    label_of = {0: 0} | {component: value for value, of_label in voxels.items() for component in of_label}
    borders = _borders(inner, components, label_of)
    touching, enclosing = _touching(borders, label_of), _enclosing(borders, label_of)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    measured = {
        str(value): LabelOfCase(
            volume_ml=_rounded(sum(of_label.values()) * voxel_ml), components=len(of_label),
            smallest_ml=_rounded(min(of_label.values()) * voxel_ml),
            largest_ml=_rounded(max(of_label.values()) * voxel_ml),
            touches={str(other): count for other, count in sorted(touching[value].items())},
            inside=tuple(str(other) for other in enclosing.get(value, ())))
        for value, of_label in sorted(voxels.items())
    }
    _, together = label_components(inner != 0)
    return measured, together


def _borders(labels: np.ndarray, components: np.ndarray, label_of: dict[int, int]) -> set[tuple[int, int]]:
    """(component, label value that one of its voxels shares a face with), background's 0 included on both sides."""
    borders: set[tuple[int, int]] = set()
    for axis in range(3):
        along, of_component = np.moveaxis(labels, axis, 0), np.moveaxis(components, axis, 0)
        differ = along[1:] != along[:-1]
        for one, other in count_pairs(of_component[1:][differ], of_component[:-1][differ]):
            borders |= {(one, label_of[other]), (other, label_of[one])}
    return borders


def _touching(borders: set[tuple[int, int]], label_of: dict[int, int]) -> dict[int, Counter[int]]:
    """Label value to: other label value to number of the former's components that border the latter."""
    touching: dict[int, Counter[int]] = defaultdict(Counter)
    for component, other in borders:
        if component and other:
            touching[label_of[component]][other] += 1
    return touching


def _enclosing(borders: set[tuple[int, int]], label_of: dict[int, int]) -> dict[int, tuple[int, ...]]:
    """Label value to the one value that all its faces border, where that one borders others besides."""
    neighbours: dict[int, set[int]] = defaultdict(set)
    for component, other in borders:
        neighbours[label_of[component]].add(other)
    return {
        value: tuple(others) for value, others in neighbours.items()
        if value and len(others) == 1 and 0 not in others and all(neighbours[other] != {value} for other in others)
    }


def _rounded(volume_ml: float) -> float:
    """Six significant digits: readable, and finer than any label is drawn."""
    return float(f"{volume_ml:.6g}")
