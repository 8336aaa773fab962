"""The rules: applied to labels, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autoseg.best import DropSmall, KeepLargest, Rule
from autoseg.components.graph import component_graph
from autoseg.dataset import Labels
from autoseg.postprocessing.components import surviving
from autoseg.voxels import slabs

NAMES_IN_A_RULE = 6  # a union of more labels is named by some of them


def apply_rules(labels: np.ndarray, spacing_mm: tuple[float, float, float], rules: Sequence[Rule]) -> np.ndarray:
    """Return a copy of `labels` without the components that the rules, one after the other, take away.

    labels: (Z, Y, X) non-negative integers; the result has their dtype. spacing_mm: (z, y, x). A removed voxel becomes
    background; no other voxel changes. Applying the rules again changes nothing. Without foreground, or where a rule's
    labels are absent, nothing happens. Memory: the copy, and two to three arrays of the foreground's bounding box.
    """
    cleaned = labels.copy()
    if not rules:
        return cleaned
    graph = component_graph(labels, spacing_mm)
    stays = surviving(graph, rules)
    stays[0] = True  # background is no component; it stays
    if stays.all():
        return cleaned
    inner = cleaned[graph.box]
    for part in slabs(inner.shape):
        inner[part] *= stays[graph.components[part]]
    return cleaned


def label_names(labels: Labels) -> dict[int, str]:
    """Return the name of each label value; "label 2" for a value that is only named as a part of regions."""
    alone = {values[0]: name for name, values in labels.foreground.items() if len(values) == 1}
    return {value: alone.get(value, f"label {value}") for value in sorted({v for vs in labels.foreground.values() for v in vs})}


def region_names(labels: Labels) -> dict[frozenset[int], str]:
    """Return the name of each region by the label values that make it up."""
    return {frozenset(values): name for name, values in labels.foreground.items() if len(values) > 1}


def describe(rule: Rule, names: Mapping[int, str], regions: Mapping[frozenset[int], str] | None = None) -> str:
    """Return a rule in words: "keep the 2 largest components of kidney ∪ tumour". names: by label value. regions: by values."""
    if isinstance(rule, KeepLargest):
        which = "the largest component" if rule.count == 1 else f"the {rule.count} largest components"
        kept = f"keep {which} of {_union(rule.labels, names, regions)}"
        if not (rule.spared_ml and rule.spared_mm):
            return kept
        return f"{kept}, but spare specks of at most {rule.spared_ml:.6g} ml within {rule.spared_mm:.6g} mm of " + (
            "it" if rule.count == 1 else "them")
    if isinstance(rule, DropSmall):
        return f"drop {_union(rule.labels, names, regions)} components below {rule.below_ml:.6g} ml (the smallest in training)"
    return f"drop {_union((rule.label,), names, regions)} components that touch no {_union(rule.anchors, names, regions)}"


def _union(labels: Sequence[int], names: Mapping[int, str], regions: Mapping[frozenset[int], str] | None) -> str:
    if frozenset(labels) in (regions or {}):
        return (regions or {})[frozenset(labels)]
    listed = [names.get(value, f"label {value}") for value in labels]
    if len(listed) <= NAMES_IN_A_RULE:
        return " ∪ ".join(listed)
    if set(labels) >= {value for value in names if value != 0}:
        return "all foreground"
    return f"{' ∪ '.join(listed[:3])} ∪ {len(listed) - 3} others"
