"""Truth of slices: which are normal, which are not, and which may be trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.roc import Truth
from autoseg.tasks.anomaly.plan import NormalBy


def slice_truths(
    label: np.ndarray | None, case_label: Truth | None, array_axis: int, count: int, normal_by: NormalBy,
    ignore: int | None = None,
) -> list[Truth | None]:
    """Return what is known of each of the `count` slices along `array_axis` of a case; None where nothing is.

    label: (Z, Y, X) integers, or None. case_label: what the dataset calls the whole case. ignore: the label value that is not to
    be learned from.
    normal_by "case_labels": slices of a normal case are normal. Of an abnormal one, those with foreground are abnormal, and of
    the others nothing is known; a picture, which is its one slice, is abnormal.
    "foreground": slices with foreground are abnormal, those without are normal; of slices without, but with ignored voxels,
    nothing is known.
    "all": as "case_labels" where the dataset calls the case something, else normal, whatever the label file marks: a gate is
    trained on the organ that is to be segmented, too.
    """
    if normal_by == "case_labels" or (normal_by == "all" and case_label is not None):
        return _by_case(label, case_label, array_axis, count, ignore)
    if normal_by == "all":
        return ["normal"] * count
    if label is None:
        return [None] * count
    foreground, ignored = foreground_of_slices(label, array_axis, ignore)
    return ["abnormal" if has else None if unsure else "normal" for has, unsure in zip(foreground, ignored, strict=True)]


def _by_case(
    label: np.ndarray | None, case_label: Truth | None, array_axis: int, count: int, ignore: int | None
) -> list[Truth | None]:
    if case_label != "abnormal" or count == 1:
        return [case_label] * count
    if label is None:
        return [None] * count
    return ["abnormal" if has else None for has in foreground_of_slices(label, array_axis, ignore)[0]]


def truths_of(dataset: Dataset) -> dict[str, Truth]:
    """Return what the dataset calls its cases. Raises AutosegError where it calls one anything but normal or abnormal."""
    known: dict[str, Truth] = {"normal": "normal", "abnormal": "abnormal"}
    if wrong := [f"{case}: {word}" for case, word in dataset.case_labels.items() if word not in known]:
        raise AutosegError(f'{dataset.name} gives {many(len(wrong), "case")} another class than normal or abnormal '
                           f"({some(wrong)}), but a detector learns what is normal. Call each case normal or abnormal.")
    return {case: known[word] for case, word in dataset.case_labels.items()}


def foreground_of_slices(label: np.ndarray, array_axis: int, ignore: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Tell whether each slice along `array_axis` of a label (Z, Y, X) holds foreground, and ignored voxels: (N,) bool each."""
    others = tuple(axis for axis in range(3) if axis != array_axis)
    if ignore is None:
        return (label != 0).any(others), np.zeros(label.shape[array_axis], bool)
    ignored = label == ignore
    return ((label != 0) & ~ignored).any(others), ignored.any(others)


def truth_of_case(truths: Sequence[Truth | None], case_label: Truth | None) -> Truth | None:
    """Return the truth of a case: as the dataset calls it; else abnormal with one abnormal slice, normal where every slice is."""
    if case_label is not None or not truths:
        return case_label
    if "abnormal" in truths:
        return "abnormal"
    return "normal" if all(truth == "normal" for truth in truths) else None


def may_be_trained_on(truths: Sequence[Truth | None], blank: Sequence[bool], case_label: Truth | None) -> list[bool]:
    """Tell of each slice whether it is normal and not blank. No slice of a case that is called abnormal is ever trained on."""
    return [truth == "normal" and not empty and case_label != "abnormal" for truth, empty in zip(truths, blank, strict=True)]
