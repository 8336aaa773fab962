"""Measures of probabilities, against values worked out by hand and DeLong's own definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from autoseg.evaluation.roc import auroc
from autoseg.tasks.classification import measures

ONES = np.ones((1, 4))
TRUTH, TOLD = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])


def test_confusion_recalls_and_f1_by_hand() -> None:
    counts = measures.confusion(TRUTH, TOLD, 3, ONES)
    assert counts.tolist() == [[[1, 1, 0], [0, 1, 0], [0, 1, 0]]]
    assert measures.recalls(counts).tolist() == [[0.5, 1, 0]]
    assert measures.balanced_accuracy(counts) == pytest.approx([0.5]) and measures.accuracy(counts) == pytest.approx([0.5])
    assert measures.f1(counts)[0] == pytest.approx([2 / 3, 2 / 4, 0])


def test_a_resample_without_a_class_has_the_mean_of_the_others() -> None:
    counts = measures.confusion(TRUTH, TOLD, 3, np.array([[2.0, 0, 2, 0], [0, 1, 1, 2]]))
    assert measures.balanced_accuracy(counts) == pytest.approx([1.0, (0 + 1 + 0) / 3])


def test_brier_score_by_hand() -> None:
    found = np.array([[0.8, 0.2], [0.4, 0.6]])
    assert measures.brier(found, np.array([0, 0]), np.ones((1, 2))) == pytest.approx([(0.08 + 0.72) / 2])
    assert measures.brier(np.eye(2), np.array([1, 0]), np.ones((1, 2))) == pytest.approx([2.0])


def test_calibration_error_and_curve_by_hand() -> None:
    probability, is_true = np.array([0.95, 0.95, 0.15, 0.15]), np.array([True, False, False, False])
    assert measures.calibration_error(probability, is_true, ONES) == pytest.approx([0.5 * 0.45 + 0.5 * 0.15])
    curve = measures.reliability(probability, is_true)
    assert curve.probability == pytest.approx([0.15, 0.95])
    assert curve.share.tolist() == [0, 0.5] and curve.cases.tolist() == [2, 2]
    assert measures.calibration_error(np.array([0.0, 1.0]), np.array([False, True]), np.ones((1, 2))) == pytest.approx([0.0])


def test_the_threshold_is_that_of_the_highest_sensitivity_and_specificity() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.8, 0.9])
    assert measures.youden_threshold(scores, scores > 0.5) == pytest.approx(0.55)
    assert measures.youden_threshold(scores, np.zeros(5, bool)) == 0.5
    assert measures.youden_threshold(scores, np.array([False, True, True, True, True])) == pytest.approx(0.15)


def by_definition(first: np.ndarray, second: np.ndarray, is_true: np.ndarray) -> tuple[float, float]:
    """Difference and p of DeLong et al. 1988, from all pairs of a case and a control."""
    parts = []
    for scores in (first, second):
        pairs = np.array([[1.0 if case > control else 0.5 if case == control else 0.0 for control in scores[~is_true]]
                          for case in scores[is_true]])
        parts.append((pairs.mean(), pairs.mean(1), pairs.mean(0)))
    cases, controls = (np.cov(parts[0][index], parts[1][index]) / len(parts[0][index]) for index in (1, 2))
    total = cases + controls
    error = np.sqrt(total[0, 0] + total[1, 1] - 2 * total[0, 1])
    difference = parts[0][0] - parts[1][0]
    return float(difference), float(2 * norm.sf(abs(difference) / error))


def test_delong_by_ranks_is_delong_by_pairs_ties_included() -> None:
    random = np.random.default_rng(0)
    is_true = random.random(40) < 0.4
    first = np.round(random.normal(size=40) + is_true, 1)
    second = np.round(random.normal(size=40) + 0.5 * is_true, 1)
    found = measures.delong(first, second, is_true)
    assert (found.difference, found.p_value) == pytest.approx(by_definition(first, second, is_true))
    assert found.difference == pytest.approx(auroc(first, is_true) - auroc(second, is_true))


def test_delong_of_equal_scores_is_no_difference_and_of_single_cases_not_known() -> None:
    scores, is_true = np.array([0.1, 0.4, 0.3, 0.9]), np.array([False, True, False, True])
    assert measures.delong(scores, scores, is_true)[::2] == (0.0, 1.0)
    assert np.isnan(measures.delong(scores, scores, np.array([False, False, False, True])).p_value)
