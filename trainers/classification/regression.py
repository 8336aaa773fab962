"""Logistic regression, the baseline of what covariates or the mean intensity tell alone. NumPy and SciPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from autoseg.tasks.classification.plan import UNKNOWN, Target

PENALTY = 1.0  # of the squared weights, half of it, as scikit-learn's C = 1


@dataclass(frozen=True)
class Regression:
    """A fitted regression. weights: (features + 1, outputs), the last row without penalty. kind: of the target."""

    weights: np.ndarray
    are_labels: bool

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each class or label, (N, K). features: (N, D)."""
        logits = _with_one(features) @ self.weights
        found: np.ndarray = expit(logits) if self.are_labels else softmax(logits, axis=1)
        return found


def fit(features: np.ndarray, truth: np.ndarray, target: Target) -> Regression:
    """Return the multinomial logistic regression of classes, or one of each label. features: (N, D) standardized. truth: (N, 1)
    or (N, L); labels that are not known count for nothing."""
    given, outputs = _with_one(features), len(target.classes)
    are_labels = target.kind == "labels"

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(given.shape[1], outputs)
        logits = given @ weights
        if are_labels:
            known = (truth != UNKNOWN).astype(float)
            yes = (truth == 1).astype(float)
            each, error = np.logaddexp(0, logits) - yes * logits, (expit(logits) - yes) * known
            value = float((each * known).sum())
        else:
            right = np.eye(outputs)[truth[:, 0]]
            value, error = float(-(right * log_softmax(logits, axis=1)).sum()), softmax(logits, axis=1) - right
        penalized = weights[:-1]
        gradient = given.T @ error
        gradient[:-1] += PENALTY * penalized
        return value + PENALTY / 2 * float((penalized**2).sum()), gradient.ravel()

    found = minimize(loss, np.zeros(given.shape[1] * outputs), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    return Regression(found.x.reshape(given.shape[1], outputs), are_labels)


def _with_one(features: np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(features, np.float64), np.ones((len(features), 1))], axis=1)
