"""Bootstrap intervals against scipy's and the normal approximation, and Wilcoxon's test against its tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from autoseg.errors import AutosegError
from autoseg.evaluation.confidence import (
    bootstrap_interval,
    paired_comparison,
    percentile_intervals,
    proportion_interval,
    resampled_means,
)

VALUES = np.random.default_rng(5).beta(8, 2, 40)


def test_the_interval_is_about_scipys_percentile_bootstrap() -> None:
    theirs = bootstrap((VALUES,), np.mean, method="percentile", n_resamples=9999, rng=0).confidence_interval
    low, high = bootstrap_interval(VALUES)
    assert low == pytest.approx(theirs.low, abs=0.003) and high == pytest.approx(theirs.high, abs=0.003)


def test_the_interval_is_about_two_standard_errors_wide_on_each_side() -> None:
    error = VALUES.std() / len(VALUES) ** 0.5
    assert bootstrap_interval(VALUES) == pytest.approx((VALUES.mean() - 1.96 * error, VALUES.mean() + 1.96 * error), abs=0.005)


def test_the_same_values_give_the_same_interval_and_another_seed_another() -> None:
    assert bootstrap_interval(VALUES) == bootstrap_interval(VALUES)
    assert bootstrap_interval(VALUES, seed=1) != bootstrap_interval(VALUES, seed=2)


def test_nan_and_infinite_values_are_left_out() -> None:
    with_gaps = np.concatenate([VALUES, [math.nan] * 5, [math.inf] * 5])
    assert bootstrap_interval(with_gaps) == pytest.approx(bootstrap_interval(VALUES), abs=0.01)


def test_fewer_than_two_values_bound_nothing() -> None:
    for values in ([], [0.9], [0.9, math.nan], [math.nan, math.inf, math.nan]):
        assert all(math.isnan(bound) for bound in bootstrap_interval(values))
    assert bootstrap_interval([0.25, 0.25, math.nan]) == (0.25, 0.25)


def test_columns_are_resampled_together() -> None:
    means = resampled_means(np.stack([VALUES, VALUES + 1, np.full(40, np.nan)], axis=1))
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 1)
    found = percentile_intervals(means)
    assert found[0] == bootstrap_interval(VALUES) and math.isnan(found[2][0])


def test_many_cases_are_resampled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bootstrap_interval(VALUES)
    monkeypatch.setattr("autoseg.evaluation.confidence.DRAWS_AT_ONCE", 40 * 333)
    assert bootstrap_interval(VALUES) == whole


def test_a_paired_comparison_gives_mean_interval_and_wilcoxons_p() -> None:
    """Six differences of one sign: the exact two-sided p is 2 / 2^6."""
    best = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.4])
    found = paired_comparison(best - [0.01, 0.02, 0.03, 0.04, 0.05, 0.06], best)
    assert found.mean == pytest.approx(-0.035) and found.p_value == pytest.approx(2 / 64)
    assert -0.06 < found.low < -0.035 < found.high < -0.01


def test_pairs_with_nan_are_left_out() -> None:
    assert paired_comparison([0.5, math.nan, 0.7], [0.4, 0.1, math.nan]).mean == pytest.approx(0.1)
    nothing = paired_comparison([math.nan], [0.5])
    assert math.isnan(nothing.mean) and math.isnan(nothing.low) and nothing.p_value == 1


def test_equal_cases_differ_by_chance_only() -> None:
    found = paired_comparison([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert (found.mean, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_another_number_of_cases_is_refused() -> None:
    with pytest.raises(AutosegError, match="one side has 2, the other 1"):
        paired_comparison([0.5, 0.6], [0.5])


@pytest.mark.parametrize("count, of", [(0, 1), (1, 1), (3, 10), (24, 25), (25, 25), (0, 25)])
def test_the_interval_of_a_share_is_scipys_of_wilson(count: int, of: int) -> None:
    theirs = binomtest(count, of).proportion_ci(method="wilson")
    assert proportion_interval(count, of) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
