"""Which model or ensemble is chosen, on summaries of a few made-up cases."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from autoseg.best import Best, Candidate, KeepLargest, Member, TriedRule
from autoseg.errors import AutosegError
from autoseg.evaluation.case import CaseSummary, Volumes
from autoseg.evaluation.comparison import candidates_table, choose, compare, rules_table
from autoseg.evaluation.summary import Summary, pooled_summary
from autoseg.ways import Difference

NAN = math.nan


def member(name: str) -> Member:
    return Member(configuration=name, recipe="default", weights={"0": "digest"})


A, B = member("2d"), member("3d_fullres")
NO_VOLUME = Volumes(prediction=0, reference=0)


def summary(*cases: tuple[float, ...]) -> Summary:
    """Dice of each case's classes."""
    metrics = tuple(
        CaseSummary(
            metrics={str(key): {"Dice": dice} for key, dice in enumerate(classes, 1)}, prediction_file="p",
            reference_file=f"case_{number:02d}.nii.gz", volumes_ml={str(key): NO_VOLUME for key in range(1, len(classes) + 1)})
        for number, classes in enumerate(cases))
    return pooled_summary([Summary(foreground_mean={}, mean={str(key): {} for key in range(1, len(cases[0]) + 1)},
                                   metric_per_case=metrics)])


def lowered(by: float) -> Summary:
    """Ten cases, of 0.9 less `by`, a little apart."""
    return summary(*((0.9 - by - 0.001 * number,) for number in range(10)))


def test_candidates_stand_in_the_order_of_their_mean_dice_and_are_paired_with_the_first() -> None:
    candidates = compare({(A,): lowered(0.02), (B,): lowered(0), (A, B): lowered(0.01)})
    assert [candidate.name for candidate in candidates] == ["3d_fullres", "2d + 3d_fullres", "2d"]
    assert candidates[0].difference is None and not candidates[0].is_worse
    assert [c.difference.mean for c in candidates if c.difference] == pytest.approx([-0.01, -0.02])
    assert candidates[1].is_worse and candidates[1].cases == 10 and candidates[1].classes == {"1": pytest.approx(0.8855)}


def test_the_simplest_that_is_not_worse_is_chosen_with_the_reason() -> None:
    """The ensemble wins in six cases and loses in four: that is chance."""
    ensemble = summary(*((0.9 + (0.011 if number < 6 else -0.01),) for number in range(10)))
    chosen, reason = choose(compare({(A,): lowered(0.1), (B,): summary(*[(0.9,)] * 10), (A, B): ensemble}))
    assert chosen.members == (B,)
    assert reason.startswith("3d_fullres is simpler than 2d + 3d_fullres and not worse: the mean difference is -0.0026 (95 % ")


def test_an_ensemble_that_is_better_in_every_case_is_chosen() -> None:
    chosen, reason = choose(compare({(A,): lowered(0.1), (B,): lowered(0.05), (A, B): lowered(0)}))
    assert chosen.members == (A, B) and reason.startswith("2d + 3d_fullres has the highest mean Dice, 0.8955, and every other")


def test_of_equal_candidates_the_simplest_comes_first() -> None:
    candidates = compare({(A, B): lowered(0), (A,): lowered(0), (B,): lowered(0.1)})
    assert [candidate.members for candidate in candidates] == [(A,), (A, B), (B,)]
    assert choose(candidates)[0].members == (A,)


def test_the_only_model_is_chosen() -> None:
    chosen, reason = choose(compare({(A,): lowered(0)}))
    assert chosen.members == (A,) and "there is no other" in reason


def test_a_single_case_can_prove_nothing_so_that_the_best_single_model_is_chosen() -> None:
    chosen, reason = choose(compare({(A,): summary((0.7,)), (B,): summary((0.8,)), (A, B): summary((0.9,))}))
    assert chosen.members == (B,) and "the mean difference is -0.1000 (p = 1)." in reason


def test_a_case_without_any_class_leaves_the_pairs() -> None:
    candidates = compare({(A,): summary((0.8,), (NAN,)), (B,): summary((0.9,), (NAN,))})
    assert candidates[1].difference is not None and candidates[1].difference.mean == pytest.approx(-0.1)
    _, reason = choose(compare({(A,): summary((NAN,)), (A, B): summary((NAN,))}))
    assert "nan" not in reason


def test_cases_that_only_one_model_validated_are_named() -> None:
    with pytest.raises(AutosegError, match=r"3d_fullres and 2d were not validated on the same cases: case_01 \(1 in all\)"):
        compare({(A,): summary((0.8,)), (B,): summary((0.9,), (0.9,))})


def test_tables_show_what_is_not_defined_as_a_dash() -> None:
    best = Best(dataset="D", members=(A,), reason="", rules=(), names={"1": "organ"}, references="", versions={}, candidates=(
        Candidate(members=(B,), value=0.9, classes={"1": None}, cases=1),
        Candidate(members=(A,), value=0.8, classes={"1": 0.8}, cases=1,
                  difference=Difference(mean=-0.1, low=NAN, high=NAN, p_value=1))))
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(candidates_table(best))
    console.print(rules_table(best))
    text = console.export_text()
    assert "nan" not in text and "-0.1000" in text and "not worse" in text and "suggests no rule" in text
    assert next(line for line in text.splitlines() if "→" in line).split()[1] == "2d"


def test_a_gain_that_four_digits_would_hide_is_shown_as_a_power_of_ten() -> None:
    rule = TriedRule(rule=KeepLargest(labels=(1,), count=1), says="keep it", accepted=True, dice_before=0.5, dice_after=0.50002,
                     classes_before={}, classes_after={})
    best = Best(dataset="D", members=(A,), reason="", rules=(rule,), names={}, references="", versions={}, candidates=())
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(rules_table(best))
    assert "+2e-05" in console.export_text()
