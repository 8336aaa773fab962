"""Counts, Dice and IoU against answers worked out by hand, and nnU-Net's conventions for empty classes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.metrics import ConfusionCounts, class_names, confusion_counts, mean_without_nan
from autoseg.voxels import count_values, joint_counts

LABELS = Labels(values={"background": 0, "organ": 1, "lesion": 2})
REFERENCE = np.array([[[0, 1, 1, 2], [0, 1, 2, 2]]], np.uint8)
PREDICTION = np.array([[[0, 1, 2, 2], [1, 1, 0, 2]]], np.uint8)


def test_each_class_is_counted_as_by_hand() -> None:
    counts = confusion_counts(REFERENCE, PREDICTION, LABELS)
    assert counts == {"1": ConfusionCounts(tp=2, fp=1, fn=1, tn=4), "2": ConfusionCounts(tp=2, fp=1, fn=1, tn=4)}
    assert counts["1"].dice == pytest.approx(2 / 3) and counts["1"].iou == 0.5
    assert (counts["1"].n_pred, counts["1"].n_ref) == (3, 3)


def test_a_class_that_is_nowhere_has_nan_and_one_that_is_missed_has_zero() -> None:
    empty = np.zeros((1, 2, 2), np.uint8)
    counts = confusion_counts(empty, empty, LABELS)
    assert math.isnan(counts["1"].dice) and math.isnan(counts["1"].iou) and counts["1"].tn == 4
    missed = confusion_counts(empty + 1, empty, LABELS)["1"]
    assert (missed.dice, missed.iou, missed.fn) == (0, 0, 4)


def test_regions_are_unions_and_keyed_as_in_nnunets_summary() -> None:
    labels = Labels(values={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
    counts = confusion_counts(REFERENCE, PREDICTION, labels)
    assert counts == {"(1, 2)": ConfusionCounts(tp=5, fp=1, fn=1, tn=1), "2": ConfusionCounts(tp=2, fp=1, fn=1, tn=4)}
    assert class_names(labels) == {"(1, 2)": "whole", "2": "core"}


def test_voxels_whose_reference_is_ignored_do_not_count() -> None:
    labels = Labels(values={"background": 0, "organ": 1, "ignore": 2}, ignore=2)
    assert confusion_counts(REFERENCE, PREDICTION, labels) == {"1": ConfusionCounts(tp=2, fp=1, fn=1, tn=1)}


def test_other_shapes_are_refused_with_both_shapes() -> None:
    with pytest.raises(AutosegError, match=r"\(1, 2, 3\), its reference \(1, 2, 4\)"):
        confusion_counts(REFERENCE, PREDICTION[..., :3], LABELS)


@pytest.mark.parametrize("highest", [3, 60_000])
def test_counting_in_slabs_equals_numpys_unique(highest: int) -> None:
    rng = np.random.default_rng(1)
    shape = (2, 18, 500, 500)  # two slabs
    mine, theirs = rng.integers(0, highest, shape, dtype=np.uint16) * (rng.random(shape, np.float32) < 0.02)
    values, numbers = np.unique(mine, return_counts=True)
    assert count_values(mine) == dict(zip(values.tolist(), numbers.tolist(), strict=True))
    codes, numbers = np.unique(mine.astype(np.int64) * highest + theirs, return_counts=True)
    expected = {divmod(code, highest): number for code, number in zip(codes.tolist(), numbers.tolist(), strict=True)}
    assert joint_counts(mine, theirs) == expected


def test_negative_values_are_counted_too() -> None:
    assert count_values(np.array([[[-1, 0, 5, 5]]], np.int32)) == {-1: 1, 0: 1, 5: 2}


def test_the_mean_leaves_nan_out_and_is_nan_of_nothing() -> None:
    assert mean_without_nan([1.0, math.nan, 2.0]) == 1.5
    assert math.isnan(mean_without_nan([math.nan])) and math.isnan(mean_without_nan([]))
