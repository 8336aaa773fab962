"""Measurements of anatomy in the labels of one case: volumes, components, which labels touch or lie inside which."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from autoseg.components.graph import ComponentGraph, component_graph
from autoseg.fingerprint import LabelOfCase, Range
from autoseg.voxels import count_pairs


def measure_labels(
    labels: np.ndarray, spacing_mm: tuple[float, float, float], ignore: int | None
) -> tuple[dict[str, LabelOfCase], int]:
    """Measure each label value's anatomy, by the value as a string, and the number of components of all foreground together.

    labels: (Z, Y, X) non-negative integers. spacing_mm: (z, y, x). ignore: a value that counts as background.
    Returns an empty dict and 0 without foreground. Works inside the foreground's bounding box.
    """
    graph = component_graph(labels, spacing_mm, ignore)
    touching, enclosing = _touching(graph), _enclosing(_borders(graph), graph.values)
    measured = {}
    for value in np.unique(graph.values[1:]):
        voxels = graph.voxels[graph.values == value]
        measured[str(value)] = LabelOfCase(
            volume_ml=rounded(voxels.sum() * graph.voxel_ml), components=len(voxels),
            smallest_ml=rounded(voxels.min() * graph.voxel_ml), largest_ml=rounded(voxels.max() * graph.voxel_ml),
            touches={str(other): count for other, count in sorted(touching[value].items())},
            inside=tuple(str(other) for other in enclosing.get(value, ())))
    together = graph.join(np.unique(graph.values[1:]).tolist(), graph.everything())
    return measured, len(together.voxels)


def _touching(graph: ComponentGraph) -> dict[int, Counter[int]]:
    """Return for each label value how many of its components touch each other label value."""
    pairs = {(one, int(graph.values[other])) for edge in graph.touching.tolist() for one, other in (edge, edge[::-1])}
    touching: dict[int, Counter[int]] = defaultdict(Counter)
    for component, other in pairs:
        touching[int(graph.values[component])][other] += 1
    return touching


def _borders(graph: ComponentGraph) -> set[tuple[int, int]]:
    """Return (component, label value that one of its voxels shares a face with), background's 0 included on both sides."""
    borders: set[tuple[int, int]] = set()
    for axis in range(3):
        along = np.moveaxis(graph.components, axis, 0)
        differ = along[1:] != along[:-1]
        for one, other in count_pairs(along[1:][differ], along[:-1][differ]):
            borders |= {(one, int(graph.values[other])), (other, int(graph.values[one]))}
    return borders


def _enclosing(borders: set[tuple[int, int]], values: np.ndarray) -> dict[int, tuple[int, ...]]:
    """Return, for each label value whose faces all border one value that borders others besides, that one value."""
    neighbours: dict[int, set[int]] = defaultdict(set)
    for component, other in borders:
        neighbours[int(values[component])].add(other)
    return {
        value: tuple(others) for value, others in neighbours.items()
        if value and len(others) == 1 and 0 not in others and all(neighbours[other] != {value} for other in others)
    }


def rounded(measure: float) -> float:
    """Round to six significant digits: readable, and finer than any label is drawn."""
    return float(f"{measure:.6g}")


def range_over(values: Sequence[float]) -> Range | None:
    """Return the range of values; None where there are none."""
    if not values:
        return None
    return Range(minimum=float(min(values)), median=round(float(np.median(values)), 6), maximum=float(max(values)))
