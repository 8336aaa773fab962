"""Lesions found, missed and invented: connected components of a class counted as a reader of images counts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.components.graph import label_components
from autoseg.errors import AutosegError
from autoseg.voxels import slabs

NAN = float("nan")


@dataclass(frozen=True)
class LesionCounts:
    """The numbers of components (26-connectivity) of one class.

    tp: components of the reference with at least one predicted voxel. fn: those without. fp: components of the prediction without
    a voxel of the reference.
    """

    tp: int
    fp: int
    fn: int

    @property
    def f1(self) -> float:
        """Return 2·TP / (2·TP + FP + FN), 0 to 1; nan where neither reference nor prediction has a component."""
        found = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / found if found else NAN


def lesion_counts(reference: np.ndarray, prediction: np.ndarray) -> LesionCounts:
    """Count the components of two masks (Z, Y, X), bool, on one grid. Raises AutosegError where the shapes differ."""
    if reference.shape != prediction.shape:
        raise AutosegError(f"The prediction has shape (z, y, x) {prediction.shape}, its reference {reference.shape}.")
    counts = lesion_counts_by_value(reference != 0, prediction != 0)
    return counts.get(1, LesionCounts(tp=0, fp=0, fn=0))


def lesion_counts_by_value(reference: np.ndarray, prediction: np.ndarray) -> dict[int, LesionCounts]:
    """Count the components of each value but 0 in one of two label volumes (Z, Y, X), integers or bool, of one shape.

    Memory: the numbered components of one volume at a time.
    """
    in_reference = _components_by_value(reference, prediction)
    in_prediction = _components_by_value(prediction, reference)
    return {
        value: LesionCounts(
            tp=in_reference.get(value, (0, 0))[0], fp=in_prediction.get(value, (0, 0))[1],
            fn=in_reference.get(value, (0, 0))[1])
        for value in sorted(in_reference.keys() | in_prediction)
    }


def _components_by_value(labels: np.ndarray, other: np.ndarray) -> dict[int, tuple[int, int]]:
    """Return for each value how many of its components in `labels` overlap with that value in `other`, and how many do not."""
    components, number = label_components(labels)
    value_of = np.zeros(number + 1, labels.dtype)
    overlapped = np.zeros(number + 1, bool)
    for part in slabs(labels.shape):
        inside = components[part] != 0
        numbers, values = components[part][inside], labels[part][inside]
        value_of[numbers] = values
        overlapped[numbers[values == other[part][inside]]] = True
    found, index = np.unique(value_of[1:], return_inverse=True)
    with_overlap = np.bincount(index, weights=overlapped[1:], minlength=len(found)).astype(int)
    total = np.bincount(index, minlength=len(found))
    return {
        int(value): (int(yes), int(all_) - int(yes))
        for value, yes, all_ in zip(found, with_overlap, total, strict=True)
    }
