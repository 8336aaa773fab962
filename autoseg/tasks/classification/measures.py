"""Measures of how good probabilities of classes are, each with weights of cases, so that bootstrap intervals come for free.

weights: (R, N), how often each case counts in each of R resamples; (1, N) of ones for the cases as they are. NumPy and SciPy
only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm, rankdata

BINS = 10  # of the reliability curve


def confusion(truth: np.ndarray, told: np.ndarray, classes: int, weights: np.ndarray) -> np.ndarray:
    """Return (R, true class, told class). truth, told: (N,) classes."""
    pairs = np.zeros((len(truth), classes * classes))
    pairs[np.arange(len(truth)), truth * classes + told] = 1
    counted: np.ndarray = (weights @ pairs).reshape(-1, classes, classes)
    return counted


def recalls(counts: np.ndarray) -> np.ndarray:
    """Return the share of each true class that is told right, (R, K); nan for a class without cases."""
    return _quotient(np.diagonal(counts, axis1=1, axis2=2), counts.sum(2))


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Return the mean of the recalls of the classes that there are, (R,)."""
    return mean_of_known(recalls(counts))


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Return the share of cases that are told right, (R,)."""
    return _quotient(np.trace(counts, axis1=1, axis2=2), counts.sum((1, 2)))


def f1(counts: np.ndarray) -> np.ndarray:
    """Return 2 TP / (2 TP + FP + FN) of each class, (R, K); nan for a class that is neither there nor told."""
    return _quotient(2 * np.diagonal(counts, axis1=1, axis2=2), counts.sum(1) + counts.sum(2))


def brier(found: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean squared distance of probabilities (N, K) from the truth (N,), summed over classes (Brier 1950), (R,): 0 is
    best, 2 worst; of two classes twice what is often given."""
    target = np.eye(found.shape[1])[truth]
    return _quotient(weights @ ((found - target) ** 2).sum(1), weights.sum(1))


class Reliability(NamedTuple):
    """The bins of a reliability curve that hold cases: mean probability and share that is true, (B,), and number of cases."""

    probability: np.ndarray
    share: np.ndarray
    cases: np.ndarray


def reliability(probability: np.ndarray, is_true: np.ndarray) -> Reliability:
    """Return the curve over ten bins of equal width. probability: (N,) of what is told or of one class; is_true: (N,) bool."""
    probabilities, shares, cases = (of[0] for of in _binned(probability, is_true, np.ones((1, len(probability)))))
    there = cases > 0
    return Reliability(probabilities[there] / cases[there], shares[there] / cases[there], cases[there].astype(int))


def calibration_error(probability: np.ndarray, is_true: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the expected calibration error over ten bins of equal width (Naeini et al. 2015), (R,): the mean distance of
    probability and share that is true, weighted by the cases of each bin."""
    probabilities, shares, cases = _binned(probability, is_true, weights)
    return _quotient(np.abs(probabilities - shares).sum(1), cases.sum(1))


def _binned(probability: np.ndarray, is_true: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    bin_of = np.minimum((probability * BINS).astype(int), BINS - 1)
    member = np.eye(BINS)[bin_of]
    return weights @ (member * probability[:, None]), weights @ (member * is_true[:, None]), weights @ member


def _quotient(of: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return of / by; nan where both are 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = of / by
    return found


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the mean of the values (R, K) that are not nan, (R,); nan where none is."""
    known = ~np.isnan(values)
    return _quotient(np.where(known, values, 0).sum(1), known.sum(1))


def youden_threshold(probability: np.ndarray, is_true: np.ndarray) -> float:
    """Return the threshold with the highest sensitivity + specificity (Youden 1950), in the middle of the gap below the case that
    it separates; of equal ones the middle one; one half where a group is missing."""
    if is_true.all() or not is_true.any():
        return 0.5
    values = np.unique(probability)
    thresholds = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2])
    told = probability[None] >= thresholds[:, None]
    gains = told[:, is_true].mean(1) + (~told[:, ~is_true]).mean(1)
    best = np.flatnonzero(gains >= gains.max() - 1e-12)
    return float(thresholds[best[len(best) // 2]])


class DeLong(NamedTuple):
    """The difference of two AUROCs of the same cases, its standard error, and the two-sided p-value."""

    difference: float
    error: float
    p_value: float


def delong(first: np.ndarray, second: np.ndarray, is_true: np.ndarray) -> DeLong:
    """Compare the AUROCs of two scores (N,) of the same cases (DeLong et al. 1988, by the ranks of Sun and Xu 2014).

    p is 1 where the scores do not differ in any pair of cases. nan where a group has fewer than two cases.
    """
    scores = np.stack([first, second])
    cases, controls = scores[:, is_true], scores[:, ~is_true]
    m, n = cases.shape[1], controls.shape[1]
    if min(m, n) < 2:
        return DeLong(float("nan"), float("nan"), float("nan"))
    joined = np.concatenate([cases, controls], axis=1)
    all_ranks, case_ranks, control_ranks = (np.stack([rankdata(row) for row in of]) for of in (joined, cases, controls))
    areas = (all_ranks[:, :m].sum(1) - m * (m + 1) / 2) / (m * n)
    of_cases, of_controls = (all_ranks[:, :m] - case_ranks) / n, 1 - (all_ranks[:, m:] - control_ranks) / m
    covariance = np.cov(of_cases) / m + np.cov(of_controls) / n
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = float(np.sqrt(max(variance, 0)))
    if error < 1e-12:
        return DeLong(difference, 0.0, 1.0 if abs(difference) < 1e-12 else 0.0)
    return DeLong(difference, error, float(2 * norm.sf(abs(difference) / error)))
