"""Confidence intervals of means over cases, and tests of whether two models' cases differ by more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from autoseg.errors import AutosegError
from autoseg.ways import Difference

RESAMPLES = 2000
LEVEL = 0.95
Z = 1.959963984540054  # the middle 95 % of a normal distribution lie within ± Z
SEED = 12345
DRAWS_AT_ONCE = 2**22

Interval = tuple[float, float]


def bootstrap_interval(values: Sequence[float] | np.ndarray, seed: int = SEED) -> Interval:
    """Return the 95 % percentile bootstrap interval of the mean of values per case (Efron 1979), from 2000 resamples of cases.

    Values that are nan or infinite are left out. (nan, nan) where fewer than two are left: a single case gives no interval.
    """
    return percentile_intervals(resampled_means(np.reshape(np.asarray(values, float), (-1, 1)), seed))[0]


def proportion_interval(count: int, of: int) -> Interval:
    """Return the 95 % interval of a share of cases (Wilson 1927), which is also useful where all of them, or none, are counted.

    count: the cases that are counted. of: all cases, at least one.
    """
    share, weight = count / of, Z**2 / of
    middle = (share + weight / 2) / (1 + weight)
    half = Z / (1 + weight) * float(np.sqrt(share * (1 - share) / of + weight / of / 4))
    return max(0.0, middle - half), min(1.0, middle + half)


def resampled_means(values: np.ndarray, seed: int = SEED) -> np.ndarray:
    """Return the means of the columns of `values` (cases, columns) in each resample of the cases: (resamples, columns), float64.

    Values that are nan or infinite are left out. nan where a resample holds none of them, and throughout a column that
    holds fewer than two.
    """
    cases = len(values)
    means = np.full((RESAMPLES, values.shape[1]), np.nan)
    if cases < 2:
        return means
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    start = 0
    for times in resampled_cases(cases, seed):
        with np.errstate(invalid="ignore"):
            means[start:start + len(times)] = (times @ filled) / (times @ known.astype(float))
        start += len(times)
    means[:, known.sum(axis=0) < 2] = np.nan
    return means


def resampled_cases(cases: int, seed: int = SEED, width: int = 0) -> Iterator[np.ndarray]:
    """Yield how often each case is drawn in each of the 2000 resamples, some resamples at a time: (resamples, cases), float64.

    width: the values per resample that the caller holds at once, if they are more than the cases; it bounds the memory.
    """
    rng = np.random.default_rng(seed)
    step = max(1, DRAWS_AT_ONCE // max(cases, width))
    for start in range(0, RESAMPLES, step):
        yield rng.multinomial(cases, np.full(cases, 1 / cases), min(step, RESAMPLES - start)).astype(float)


def percentile_intervals(means: np.ndarray) -> list[Interval]:
    """Return the middle 95 % of each column of `means` (resamples, columns); (nan, nan) where all are nan."""
    tails = 100 * (1 - LEVEL) / 2
    found = []
    for column in means.T:
        known = column[~np.isnan(column)]
        low, high = np.percentile(known, [tails, 100 - tails]) if known.size else (np.nan, np.nan)
        found.append((float(low), float(high)))
    return found


def paired_comparison(candidate: Sequence[float], best: Sequence[float]) -> Difference:
    """Return the mean of (candidate − best) over the cases, its bootstrap interval and a two-sided Wilcoxon signed-rank test.

    candidate, best: one value per case (mean Dice), in the same order. Pairs of which one is nan are left out; where
    none is left, mean and interval are nan and p is 1. Raises AutosegError where the numbers of values differ.
    """
    from scipy.stats import wilcoxon  # takes longer to import than an evaluation to run

    if len(candidate) != len(best):
        raise AutosegError(f"A paired comparison needs the same cases: one side has {len(candidate)}, the other {len(best)}.")
    differences = np.asarray(candidate, float) - np.asarray(best, float)
    differences = differences[np.isfinite(differences)]
    low, high = bootstrap_interval(differences)
    return Difference(
        mean=float(differences.mean()) if differences.size else float("nan"), low=low, high=high,
        p_value=float(wilcoxon(differences).pvalue) if differences.any() else 1.0)
