"""Agreement of a predicted segmentation with its reference, from voxel counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.voxels import joint_counts

NAN = float("nan")


@dataclass(frozen=True)
class ConfusionCounts:
    """The numbers of voxels of one class or region: true positives, false positives, false negatives, true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n_pred(self) -> int:
        """Return the number of predicted voxels."""
        return self.tp + self.fp

    @property
    def n_ref(self) -> int:
        """Return the number of reference voxels."""
        return self.tp + self.fn

    @property
    def dice(self) -> float:
        """Return 2·TP / (2·TP + FP + FN), 0 to 1; nan where prediction and reference are both empty (Dice 1945)."""
        found = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / found if found else NAN

    @property
    def iou(self) -> float:
        """Return TP / (TP + FP + FN), 0 to 1; nan where prediction and reference are both empty (Jaccard 1912)."""
        union = self.tp + self.fp + self.fn
        return self.tp / union if union else NAN


def confusion_counts(reference: np.ndarray, prediction: np.ndarray, labels: Labels) -> dict[str, ConfusionCounts]:
    """Count the voxels of each class or region other than background; keys are those of nnU-Net's summary ("1", "(1, 2)").

    reference, prediction: (Z, Y, X) non-negative integers on one grid. Voxels whose reference is the ignore value do
    not count at all. Memory: a few slabs. Raises AutosegError where the shapes differ.
    """
    if reference.shape != prediction.shape:
        raise AutosegError(f"The prediction has shape (z, y, x) {prediction.shape}, its reference {reference.shape}.")
    return counts_by_class(joint_counts(reference, prediction), labels)


def counts_by_class(joint: Mapping[tuple[int, int], int], labels: Labels) -> dict[str, ConfusionCounts]:
    """Return what `confusion_counts` does, from the number of voxels of each (reference value, predicted value)."""
    pairs = {pair: number for pair, number in joint.items() if labels.ignore is None or pair[0] != labels.ignore}
    total = sum(pairs.values())
    counts = {}
    for key, values in class_keys(labels).items():
        tp = sum(number for (ref, pred), number in pairs.items() if ref in values and pred in values)
        n_ref = sum(number for (ref, _), number in pairs.items() if ref in values)
        n_pred = sum(number for (_, pred), number in pairs.items() if pred in values)
        counts[key] = ConfusionCounts(tp=tp, fp=n_pred - tp, fn=n_ref - tp, tn=total - n_ref - n_pred + tp)
    return counts


def class_keys(labels: Labels) -> dict[str, frozenset[int]]:
    """Return the label values by key in nnU-Net's summary: "1" for a class, "(1, 2)" for a region."""
    return {_key(labels, name): frozenset(values) for name, values in labels.foreground.items()}


def class_names(labels: Labels) -> dict[str, str]:
    """Return the names in dataset.json, by the key in nnU-Net's summary."""
    return {_key(labels, name): name for name in labels.foreground}


def _key(labels: Labels, name: str) -> str:
    written_as_region = labels.has_regions and isinstance(labels.values[name], tuple)
    return str(labels.foreground[name] if written_as_region else labels.foreground[name][0])


def mean_without_nan(values: list[float]) -> float:
    """Return the mean of the values that are not nan; nan where there is none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else NAN


def mean_of_finite(values: list[float]) -> float:
    """Return the mean of the values that are neither nan nor infinite; nan where there is none."""
    return mean_without_nan([value for value in values if not np.isinf(value)])
