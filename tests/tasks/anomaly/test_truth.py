"""What is known of slices, case by case."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.evaluation.roc import Truth
from autoseg.tasks.anomaly.plan import NormalBy
from autoseg.tasks.anomaly.truth import may_be_trained_on, slice_truths, truth_of_case

N: Truth = "normal"
A: Truth = "abnormal"


def label() -> np.ndarray:
    """(3, 4, 5): foreground at (1, 2, 3), ignored (9) at (2, 2, 4)."""
    values = np.zeros((3, 4, 5), np.uint8)
    values[1, 2, 3], values[2, 2, 4] = 1, 9
    return values


@pytest.mark.parametrize(("normal_by", "case_label", "has_label", "expected"), [
    ("case_labels", "normal", False, [N, N, N]),
    ("case_labels", "normal", True, [N, N, N]),
    ("case_labels", "abnormal", False, [None, None, None]),
    ("case_labels", "abnormal", True, [None, A, None]),
    ("case_labels", None, True, [None, None, None]),
    ("foreground", None, True, [N, A, None]),
    ("foreground", "normal", True, [N, A, None]),
    ("foreground", None, False, [None, None, None]),
    ("all", None, False, [N, N, N]),
    ("all", None, True, [N, N, N]),
    ("all", "abnormal", True, [None, A, None]),
    ("all", "normal", True, [N, N, N]),
])
def test_truth_of_slices(normal_by: NormalBy, case_label: Truth | None, has_label: bool, expected: list[Truth | None]) -> None:
    assert slice_truths(label() if has_label else None, case_label, 0, 3, normal_by, ignore=9) == expected


def test_slices_follow_the_axis_that_was_cut() -> None:
    assert slice_truths(label(), None, 1, 4, "foreground", 9) == [N, N, A, N]
    assert slice_truths(label(), None, 2, 5, "foreground", 9) == [N, N, N, A, None]
    assert slice_truths(label(), None, 2, 5, "foreground") == [N, N, N, A, A]


def test_an_abnormal_picture_is_abnormal_with_and_without_a_label() -> None:
    assert slice_truths(None, A, 0, 1, "case_labels") == slice_truths(label()[:1], A, 0, 1, "case_labels") == [A]


def test_a_case_is_abnormal_with_one_abnormal_slice_and_normal_where_all_slices_are() -> None:
    assert truth_of_case([N, A, None], None) == A and truth_of_case([N, N], None) == N
    assert truth_of_case([N, None], None) is None and truth_of_case([], None) is None
    assert truth_of_case([N, A], N) == N and truth_of_case([None, None], A) == A


def test_normal_slices_that_are_not_blank_are_trained_on_and_those_of_abnormal_cases_never() -> None:
    truths: list[Truth | None] = [N, A, None, N]
    blank = [False, False, False, True]
    assert may_be_trained_on(truths, blank, None) == may_be_trained_on(truths, blank, N) == [True, False, False, False]
    assert not any(may_be_trained_on([N, N, N, N], blank, A))
