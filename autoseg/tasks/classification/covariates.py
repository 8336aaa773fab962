"""Covariates as numbers: the texts of a table's cells encoded for a network or a logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.tasks.classification.plan import Covariate
from autoseg.tasks.classification.sheets import number_of


def width_of(covariates: Sequence[Covariate]) -> int:
    """Return how many numbers they become."""
    return sum(_width(covariate) for covariate in covariates)


def _width(covariate: Covariate) -> int:
    return (1 if covariate.kind == "number" else len(covariate.categories)) + covariate.has_missing


def is_standardized(covariates: Sequence[Covariate]) -> np.ndarray:
    """Tell of each number whether it is standardized over the training cases: numeric covariates are, (D,) bool."""
    return np.array([covariate.kind == "number" and index == 0
                     for covariate in covariates for index in range(_width(covariate))], bool)


def encoded(covariates: Sequence[Covariate], cells: Sequence[str]) -> np.ndarray:
    """Return (D,) float32: of a number its value, nan where it is missing; of a category one 1 (Hastie et al. 2009, 2.3), none
    for one that no training case has; and behind either, where a training case lacks it, whether it is missing."""
    values: list[float] = []
    for covariate, text in zip(covariates, cells, strict=True):
        value = number_of(text) if covariate.kind == "number" else None
        if covariate.kind == "number":
            values.append(np.nan if value is None else value)
        else:
            values += [float(text == name) for name in covariate.categories]
        if covariate.has_missing:
            values.append(float(value is None if covariate.kind == "number" else not text))
    return np.array(values, np.float32)


def unusual(covariates: Sequence[Covariate], cells: Sequence[str] | None) -> tuple[str, ...]:
    """Say what of a case's covariates a classifier has not seen in training. cells: None for a case without a row."""
    if not covariates:
        return ()
    if cells is None:
        return (f"it has no covariates ({', '.join(covariate.name for covariate in covariates)}), which are taken as missing",)
    said = []
    for covariate, text in zip(covariates, cells, strict=True):
        if not text and not covariate.has_missing:
            said.append(f"{covariate.name} is missing, which no training case lacks")
        elif text and covariate.kind == "number" and number_of(text) is None:
            said.append(f'{covariate.name} is "{text}", but numbers are expected: it is taken as missing')
        elif text and covariate.kind == "category" and text not in covariate.categories:
            said.append(f'{covariate.name} is "{text}", which no training case has ({", ".join(covariate.categories)})')
    return tuple(said)


def moments(values: np.ndarray, standardized: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (D,) of encoded covariates (N, D) over training cases; 0 and 1 of those that are not
    standardized or do not vary."""
    mean, std = np.zeros(values.shape[1], np.float32), np.ones(values.shape[1], np.float32)
    for column in np.flatnonzero(standardized):
        known = values[np.isfinite(values[:, column]), column]
        if known.size:
            mean[column] = known.mean()
        if known.size and known.std() > 0:
            std[column] = known.std()
    return mean, std


def standardize(values: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return encoded covariates (N, D) less the mean, by the standard deviation; missing ones become 0, the mean."""
    scaled: np.ndarray = np.nan_to_num((values - mean) / std, nan=0.0)
    return scaled.astype(np.float32)
