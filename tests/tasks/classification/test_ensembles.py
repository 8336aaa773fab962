"""Classifiers and the means of two of them compared: values by scipy's Mann-Whitney statistic, p by DeLong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from autoseg.best import Member
from autoseg.errors import AutosegError
from autoseg.evaluation.comparison import choose
from autoseg.tasks.classification import measures
from autoseg.tasks.classification.ensembles import MEASURE, Answers, _require_same, candidates, mean_answers
from autoseg.tasks.classification.plan import Target

YES_NO = Target(kind="classes", name="class", classes=("no", "yes"))
GRADES = Target(kind="classes", name="grade", classes=("a", "b", "c"))
CASES = 200


def member(name: str) -> Member:
    return Member(configuration="classes", recipe=name, weights={"0": name})


A, B = member("classifier"), member("other")


def answers(seed: int, noise: float, target: Target = YES_NO, threshold: float = 0.5) -> Answers:
    """Probabilities of the truth with noise of their own."""
    truth = np.random.default_rng(0).integers(0, len(target.classes), CASES)
    scores = np.eye(len(target.classes))[truth] + np.random.default_rng(seed).normal(0, noise, (CASES, len(target.classes)))
    found = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return Answers(target, tuple(f"c{i:03}" for i in range(CASES)), np.arange(CASES) % 5, np.arange(CASES), truth[:, None], found,
                   np.full((CASES, int(target.is_binary)), threshold))


def area(its: Answers, index: int) -> float:
    truth, scores = its.truth[:, 0] == index, its.found[:, index]
    return float(mannwhitneyu(scores[truth], scores[~truth]).statistic / (truth.sum() * (~truth).sum()))


def test_the_mean_of_two_that_err_differently_is_chosen_over_each() -> None:
    one, other = answers(1, 1.5), answers(2, 1.5)
    both = mean_answers([one, other])
    assert np.allclose(both.found, (one.found + other.found) / 2)
    found = candidates({(A,): one, (B,): other, (A, B): both})
    assert found[0].members == (A, B) and found[0].value == pytest.approx(area(both, 1)) and found[0].cases == CASES
    alone = next(candidate for candidate in found if candidate.members == (A,))
    assert alone.is_worse and alone.difference is not None and alone.value == pytest.approx(area(one, 1))
    expected = measures.delong(one.found[:, 1], both.found[:, 1], one.truth[:, 0] == 1)
    assert alone.difference.p_value == pytest.approx(expected.p_value)
    assert alone.difference.mean == pytest.approx(area(one, 1) - area(both, 1))
    assert alone.difference.low < alone.difference.mean < alone.difference.high < 0
    half = 1.96 * expected.error
    assert alone.difference.low == pytest.approx(alone.difference.mean - half, abs=0.35 * half)
    assert choose(found, MEASURE)[1].startswith("classes/classifier + classes/other has the highest AUROC, ")


def test_a_pair_that_gains_nothing_is_not_chosen() -> None:
    good, chance = answers(1, 0.5), answers(2, 50.0)
    found = candidates({(A,): good, (B,): chance, (A, B): mean_answers([good, chance])})
    assert choose(found, MEASURE)[0].members == (A,)


def test_of_several_classes_the_mean_over_them_counts() -> None:
    one, other = answers(1, 1.0, GRADES), answers(2, 3.0, GRADES)
    found = candidates({(A,): one, (B,): other})
    assert [candidate.value for candidate in found] == pytest.approx([np.mean([area(its, k) for k in range(3)])
                                                                      for its in (one, other)])
    assert found[0].classes == pytest.approx({name: area(one, k) for k, name in enumerate(GRADES.classes)}, abs=1e-5)
    assert found[1].difference is not None and found[1].difference.p_value < 0.01 and found[1].is_worse
    interval = one.summary.numbers["classifier"].mean_auroc.interval
    assert interval is not None and interval[0] < found[0].value < interval[1]


def test_an_ensemble_tells_by_the_mean_of_the_thresholds() -> None:
    low, high = answers(1, 1.0, threshold=0.2), answers(1, 1.0, threshold=0.6)
    both = mean_answers([low, high])
    assert np.array_equal(both.told[:, 0], (low.found[:, 1] >= 0.4).astype(int))


def test_what_cannot_be_compared_is_refused() -> None:
    one = answers(1, 1.0)
    with pytest.raises(AutosegError, match="tell other classes: a, b, c, and no, yes"):
        _require_same({(A,): one, (B,): answers(1, 1.0, GRADES)})
    moved = Answers(one.target, one.cases, (one.fold + 1) % 5, one.patients, one.truth, one.found, one.thresholds)
    with pytest.raises(AutosegError, match=r"not validated on the same cases in the same folds.*\(200 in all\)"):
        _require_same({(A,): one, (B,): moved})
    turned = Answers(one.target, one.cases, one.fold, one.patients, 1 - one.truth, one.found, one.thresholds)
    with pytest.raises(AutosegError, match="trained on other targets"):
        _require_same({(A,): one, (B,): turned})
