"""Logits as probabilities of classes, and back; the temperature that makes them honest. NumPy only."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax

from autoseg.tasks.classification.plan import UNKNOWN, Kind

SMALLEST = 1e-12  # probability, before its logarithm is taken
COLDEST, HOTTEST = 0.05, 20.0  # temperatures that are looked at


def probabilities(logits: np.ndarray, kind: Kind, temperature: float = 1.0) -> np.ndarray:
    """Return the probability of each class or label, (N, K) float64, from logits (N, outputs).

    classes: softmax. labels: the logistic function of each. ordered: logit k is that of a class above k, so that a class has what
    lies between two of them (McCullagh 1980). temperature: that logits are divided by (Guo et al. 2017).
    """
    cooled = np.asarray(logits, np.float64) / temperature
    if kind == "classes":
        return softmax(cooled, axis=1)
    if kind == "labels":
        return expit(cooled)
    above = np.pad(expit(cooled), ((0, 0), (1, 1)), constant_values=0)
    above[:, 0] = 1
    between = np.clip(above[:, :-1] - above[:, 1:], SMALLEST, 1)
    return between / between.sum(1, keepdims=True)


def log_loss(found: np.ndarray, truth: np.ndarray, kind: Kind) -> float:
    """Return the mean negative logarithm of the probability of what is true. found (N, K), truth (N, 1) classes or (N, L) labels;
    labels that are not known count for nothing."""
    if kind == "labels":
        known = truth != UNKNOWN
        right = np.where(truth == 1, found, 1 - found)[known]
        return float(-np.log(np.clip(right, SMALLEST, 1)).mean()) if right.size else float("nan")
    return float(-np.log(np.clip(np.take_along_axis(found, truth[:, :1], 1), SMALLEST, 1)).mean())


def fitted_temperature(logits: np.ndarray, truth: np.ndarray, kind: Kind) -> float:
    """Return the temperature with the least log loss (Guo et al. 2017), 0.05 to 20; 1 without cases.

    logits (N, outputs), truth (N, 1) or (N, L), of cases that the networks were not trained on.
    """
    if not len(logits):
        return 1.0

    def loss(logarithm: float) -> float:
        return log_loss(probabilities(logits, kind, float(np.exp(logarithm))), truth, kind)

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return round(float(np.exp(found.x)), 4)


