"""The components of a segmentation that a sequence of rules leaves. Every rule takes away whole components, never parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.best import DropDetached, DropSmall, KeepLargest, Rule
from autoseg.components.graph import ComponentGraph

TOLERANCE = 1e-5  # relative; measures in rules are written with six digits, and a component just as small or far counts in


def surviving(graph: ComponentGraph, rules: Sequence[Rule], present: np.ndarray | None = None) -> np.ndarray:
    """Return (n + 1,) bool: the components that are left after the rules, one after the other.

    A rule can make an earlier one apply again (what touched a component that is gone is detached now), so after each rule, the
    earlier ones are applied again until nothing more is removed: applying all to the result changes nothing.
    present: (n + 1,) bool, components to begin with; None for all. Background, 0, is never among them.
    """
    left = graph.everything() if present is None else present
    for position in range(len(rules)):
        left = settle(graph, rules[: position + 1], left)
    return left


def settle(graph: ComponentGraph, rules: Sequence[Rule], present: np.ndarray) -> np.ndarray:
    """Return what is left when the last of `rules` joins the others, of components that the others leave as they are."""
    while len(gone := dropped(graph, rules[-1], present)):
        present = present.copy()
        present[gone] = False
        present = surviving(graph, rules[:-1], present)
    return present


def dropped(graph: ComponentGraph, rule: Rule, present: np.ndarray) -> np.ndarray:
    """Return the numbers of the components that one rule takes away from those that are `present`."""
    if isinstance(rule, KeepLargest):
        return _beside_the_largest(graph, rule, present)
    if isinstance(rule, DropSmall):
        return _small(graph, rule, present)
    return _detached(graph, rule, present)


def looked_at(rule: Rule) -> frozenset[int]:
    """Return the label values whose components decide what a rule takes away."""
    return frozenset((rule.label, *rule.anchors) if isinstance(rule, DropDetached) else rule.labels)


def _beside_the_largest(graph: ComponentGraph, rule: KeepLargest, present: np.ndarray) -> np.ndarray:
    joined = graph.join(rule.labels, present)
    order = np.argsort(-joined.voxels, kind="stable")  # of equally large components, the first in (z, y, x) order is kept
    goes = np.ones(len(order), bool)
    goes[order[: rule.count]] = False
    in_question = goes & (joined.voxels * graph.voxel_ml <= rule.spared_ml * (1 + TOLERANCE))
    if rule.spared_mm > 0 and in_question.any():
        asked = in_question[joined.of]
        away_mm = graph.surfaces.nearest_mm(
            joined.members[asked], joined.of[asked], joined.members[~goes[joined.of]], rule.spared_mm * (1 + TOLERANCE))
        goes[in_question] = np.isinf(away_mm)
    return joined.members[goes[joined.of]]


def _small(graph: ComponentGraph, rule: DropSmall, present: np.ndarray) -> np.ndarray:
    joined = graph.join(rule.labels, present)
    return joined.members[(joined.voxels * graph.voxel_ml < rule.below_ml * (1 - TOLERANCE))[joined.of]]


def _detached(graph: ComponentGraph, rule: DropDetached, present: np.ndarray) -> np.ndarray:
    of_label, is_anchor = present & (graph.values == rule.label), present & np.isin(graph.values, rule.anchors)
    one, other = graph.touching.T
    attached = np.zeros(len(graph.values), bool)
    attached[one[is_anchor[other]]] = True
    attached[other[is_anchor[one]]] = True
    return np.flatnonzero(of_label & ~attached)
