"""ROC, AUROC, average precision and their intervals against answers worked out by hand, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from autoseg.evaluation.roc import Scored, auroc, average_precision, detection, roc_curve, weighted_auroc

# scores, highest first: 5 abnormal, 4 normal, 3 abnormal and normal (a tie), 1 normal
SCORES = np.array([3.0, 5.0, 1.0, 4.0, 3.0])
ABNORMAL = np.array([True, True, False, False, False])


def entries(normal: list[float], abnormal: list[float]) -> list[Scored]:
    """A case each."""
    return [Scored(f"n{i}", score, "normal") for i, score in enumerate(normal)] + [
        Scored(f"a{i}", score, "abnormal") for i, score in enumerate(abnormal)]


def test_a_tie_is_one_step_of_the_roc_curve() -> None:
    curve = roc_curve(SCORES, ABNORMAL)
    assert curve.fpr == pytest.approx([0, 0, 1 / 3, 2 / 3, 1])
    assert curve.tpr == pytest.approx([0, 1 / 2, 1 / 2, 1, 1])


def test_auroc_is_the_share_of_pairs_in_the_right_order_and_a_tie_is_half_a_pair() -> None:
    # 5 is above all three normal ones; 3 is above 1, equal to 3, below 4
    assert auroc(SCORES, ABNORMAL) == pytest.approx((3 + 1.5) / 6)
    assert auroc(np.ones(4), np.array([True, False, True, False])) == 0.5


def test_average_precision_is_precision_by_step_of_recall() -> None:
    # recall 1/2 at precision 1/1 (score 5), recall 1 at precision 2/4 (scores 5, 4, 3, 3)
    assert average_precision(SCORES, ABNORMAL) == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    assert average_precision(np.ones(4), np.array([True, False, False, False])) == 0.25  # the share of abnormal ones


def test_auroc_is_that_of_mann_and_whitney_and_of_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        scores, abnormal = rng.integers(0, 12, 60).astype(float), rng.random(60) < 0.3
        u = mannwhitneyu(scores[abnormal], scores[~abnormal]).statistic
        assert auroc(scores, abnormal) == pytest.approx(u / (abnormal.sum() * (~abnormal).sum()))
        assert auroc(scores, abnormal) == pytest.approx(np.trapezoid(*roc_curve(scores, abnormal)[::-1]))


def test_sensitivity_is_given_at_the_95th_percentile_of_the_normal_ones() -> None:
    found = detection(entries(list(range(21)), [18.5, 19.0, 19.5, 30.0]), "case")
    assert found.threshold == 19.0  # the twentieth of 21
    assert found.sensitivity == 0.5  # 19.5 and 30 lie above it
    assert (found.normal, found.abnormal, found.unknown, found.note) == (21, 4, 0, "")


def test_the_interval_holds_the_value_and_narrows_with_more_cases() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for count in (20, 200):
        found = detection(entries(rng.normal(0, 1, count).tolist(), rng.normal(1, 1, count).tolist()), "case")
        assert found.auroc_interval is not None and found.average_precision_interval is not None
        for value, (low, high) in ((found.auroc, found.auroc_interval),
                                   (found.average_precision, found.average_precision_interval)):
            assert low < (value or 0) < high
        widths.append(found.auroc_interval[1] - found.auroc_interval[0])
    # Hanley and McNeil (1982): standard error 0.076 with 20 cases in each group at an AUROC of 0.76, 0.024 with 200
    assert 0.2 < widths[0] < 0.4 and 0.06 < widths[1] < 0.13


def test_slices_of_one_case_are_drawn_together() -> None:
    """A thousand equal slices of a case are worth one: the interval is that of the cases."""
    few = entries([0.0, 2.0, 1.0, 3.0], [1.5, 2.5, 4.0, 0.5])
    many = [entry for entry in few for _ in range(50)]
    assert detection(many, "slice").auroc_interval == pytest.approx(detection(few, "slice").auroc_interval)


def test_a_group_that_is_missing_is_said_in_words() -> None:
    found = detection([*entries([1.0, 2.0], []), Scored("u", 3.0, None)], "slice")
    assert (found.auroc, found.average_precision, found.auroc_interval, found.sensitivity) == (None, None, None, None)
    assert found.threshold == pytest.approx(1.95)
    assert found.note == "No abnormal slice is known (2 normal slices, 1 slice of which it is not known)."
    assert detection([], "case").note == "No normal and no abnormal case is known (no case at all)."
    assert detection(entries([], [1.0]), "case").threshold is None


def test_one_case_of_a_group_bounds_nothing() -> None:
    found = detection(entries([1.0, 2.0, 3.0], [2.5]), "case")
    assert found.auroc == pytest.approx(2 / 3) and found.auroc_interval is None
    assert found.note == "No interval: only one abnormal case."
    slices = [Scored("one", score, "abnormal") for score in (3.0, 4.0)] + entries([1.0, 5.0], [])
    assert detection(slices, "slice").note == "No interval: all abnormal slices are of one case."


def test_weights_count_entries_as_often_as_they_say() -> None:
    scores, ill = np.array([0.1, 0.4, 0.35, 0.8, 0.4]), np.array([False, False, True, True, True])
    times = np.array([[1, 1, 1, 1, 1], [2, 0, 1, 3, 1], [0, 0, 1, 1, 1]])
    found = weighted_auroc(scores, ill, times.astype(float))
    assert found[:2] == pytest.approx([auroc(np.repeat(scores, row), np.repeat(ill, row)) for row in times[:2]])
    assert np.isnan(found[2])  # no normal entry
