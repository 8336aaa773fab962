"""Sums of validated cases: each fold's temperature and threshold come from the others, intervals resample patients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from autoseg.tasks.classification.plan import Target
from autoseg.tasks.classification.rows import Validated, answer_row, decided, validated_row
from autoseg.tasks.classification.summary import ANSWER, calibration_of, cross_calibrated, summarize

TARGET = Target(kind="classes", name="class", classes=("no", "yes"))


def validated(cases: int, factor: float = 1.0, scans: int = 1, folds: int = 4) -> Validated:
    """Cases whose logits are honest but for a factor, `scans` of each patient alike."""
    random = np.random.default_rng(0)
    honest = random.normal(0, 2, cases)
    truth = (random.random(cases) < expit(honest)).astype(int)
    target = TARGET.model_copy(update={
        "of_case": {f"{i}_{scan}": (int(truth[i]),) for i in range(cases) for scan in range(scans)}})
    rows = [[validated_row(f"{i}_{scan}", f"patient{i}", target, np.array([0, factor * honest[i]]), {
        "majority": np.array([0.5, 0.5])}) for i in range(fold, cases, folds) for scan in range(scans)] for fold in range(folds)]
    return Validated(TARGET, ("majority",), rows)


def test_overconfident_probabilities_become_honest_by_the_temperature_of_the_other_folds() -> None:
    rows = validated(2000, factor=4.0)
    summary = summarize(TARGET, rows)
    error = summary.numbers[ANSWER].calibration_error.value
    assert all(temperature == pytest.approx(4, rel=0.15) for temperature in summary.temperatures)
    assert error is not None and summary.uncalibrated is not None and error < 0.04 < 0.1 < summary.uncalibrated
    own, others = rows.fold == 0, rows.fold != 0
    found, told, _, _ = cross_calibrated(TARGET, rows)
    fitted = calibration_of(TARGET, rows.logits[others], rows.truth[others])
    assert np.array_equal(told[own], decided(found[own], TARGET, fitted.thresholds))


def test_intervals_count_patients_and_not_their_scans() -> None:
    once, thrice = (summarize(TARGET, validated(60, scans=scans)).numbers[ANSWER] for scans in (1, 3))
    for name in ("accuracy", "brier"):
        first, second = getattr(once, name), getattr(thrice, name)
        assert first.value == pytest.approx(second.value, abs=0.02)
        assert second.interval[1] - second.interval[0] == pytest.approx(first.interval[1] - first.interval[0], rel=0.25)
    assert thrice.mean_auroc.interval == pytest.approx(once.mean_auroc.interval, abs=0.03)


def test_a_majority_is_chance_and_the_classifier_is_compared_with_it() -> None:
    summary = summarize(TARGET, validated(200))
    baseline = summary.numbers["majority"]
    assert baseline.mean_auroc.value == 0.5 and baseline.balanced_accuracy.value == 0.5
    compared = summary.compared["majority"]
    assert compared.difference == pytest.approx((summary.numbers[ANSWER].mean_auroc.value or 0) - 0.5)
    assert compared.p_value is not None and compared.p_value < 1e-6
    assert summary.counts == {"no": 200 - summary.counts["yes"], "yes": summary.counts["yes"]} and summary.patients == 200
    assert sum(map(sum, summary.confusion)) == 200
    certainty = [wrong.true_probability for wrong in summary.wrong]
    assert certainty == sorted(certainty) and len(summary.wrong) == 200 - sum(summary.confusion[i][i] for i in range(2))


def test_a_fold_alone_is_not_calibrated() -> None:
    summary = summarize(TARGET, validated(20, factor=4.0, folds=1))
    assert summary.temperatures == (1.0,) and summary.calibration is None


def test_labels_are_measured_each_and_those_not_known_left_out() -> None:
    target = Target(kind="labels", name="a, b", classes=("a", "b"), of_case={
        "1": (1, 0), "2": (0, 1), "3": (1, -1), "4": (0, 0)})
    logits = {"1": (2, -2), "2": (-2, 2), "3": (1, 5), "4": (-1, 1)}
    rows = Validated(target, (), [[validated_row(case, case, target, np.array(of), {}) for case, of in logits.items()]])
    summary = summarize(target, rows)
    numbers = summary.numbers[ANSWER]
    assert numbers.mean_auroc.value == 1 and numbers.auroc["b"].unknown == 1
    assert numbers.accuracy.value == pytest.approx((1 + 2 / 3) / 2)
    assert [(wrong.case, wrong.true, wrong.told) for wrong in summary.wrong] == [("4", "b: no", "b: yes")]


def test_rows_of_answers_tell_by_the_threshold_and_classes_may_have_any_name() -> None:
    target = Target(kind="classes", name="class", classes=("0", "grade 2, or so"))
    row = answer_row("a", target, np.array([0.7, 0.3]), (0.25,))
    assert row.model_dump() == {"case": "a", "predicted": "grade 2, or so", "p_0": 0.7, "p_grade 2, or so": 0.3}
    assert answer_row("a", target, np.array([0.7, 0.3]), ()).model_dump()["predicted"] == "0"
