"""The best model or ensemble: all are compared on the same validation cases, each difference with interval and p-value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.markup import escape
from rich.table import Table

from autoseg.best import SIGNIFICANT, Best, Candidate, Member, ensemble_name
from autoseg.errors import AutosegError, some
from autoseg.evaluation.confidence import paired_comparison
from autoseg.evaluation.summary import Summary
from autoseg.ways import Difference
from autoseg.wording import cell, plain_table, signed_cell

CLASSES_IN_TABLE = 8
MEASURE = "mean Dice"  # of segmentations


def candidates_table(best: Best) -> Table:
    """Return a table of every model and ensemble, the highest value first; the chosen one is marked."""
    keys = list(best.names) if len(best.names) <= CLASSES_IN_TABLE else []
    cases = best.candidates[0].cases
    table = plain_table(
        f"{best.dataset}: {best.measure} on {cases} validation cases, all folds together",
        caption=f"difference: with its 95 % bootstrap interval over the {'cases' if best.measure == MEASURE else 'patients'}; p: "
                f"{'Wilcoxon signed-rank test of the pairs' if best.measure == MEASURE else 'DeLong test, or by resampling'}",
        caption_justify="left")
    table.add_column("")
    table.add_column("model or ensemble")
    value = "mean" if best.measure == MEASURE else best.measure
    for column in (value, *(escape(best.names[key]) for key in keys), "difference to the first", "p", ""):
        table.add_column(column, justify="right")
    for candidate in best.candidates:
        table.add_row(
            "→" if candidate.members == best.members else "", escape(candidate.name), cell(candidate.value, places=4),
            *(cell(candidate.classes.get(key), places=4) for key in keys), *_difference(candidate))
    return table


def rules_table(best: Best) -> Table | str:
    """Return a table of every rule of post-processing that was tried, with its effect on the mean Dice."""
    if not best.rules:
        return "Post-processing: the fingerprint suggests no rule."
    table = plain_table(
        "Post-processing: rules that were tried", caption_justify="left",
        caption="better, worse: cases whose Dice rises and falls; p: one-sided sign test. It flatters, as the same cases choose "
                "the rule. Above 0.05 a rise may well be chance.")
    table.add_column("")
    table.add_column("rule")
    for column in ("Dice before", "after", "gain", "better", "worse", "p"):
        table.add_column(column, justify="right")
    for tried in best.rules:
        gain = tried.dice_after - tried.dice_before
        table.add_row(
            "→" if tried.accepted else "", escape(tried.says), cell(tried.dice_before, places=4),
            cell(tried.dice_after, places=4), signed_cell(gain),
            *(("", "", "") if tried.p_value is None else (str(tried.better), str(tried.worse), f"{tried.p_value:.2g}")))
    return table


def _difference(candidate: Candidate) -> tuple[str, str, str]:
    if candidate.difference is None:
        return "", "", "best"
    found = candidate.difference
    words = "worse" if candidate.is_worse else "not worse"
    interval = "" if found.low != found.low else f" ({found.low:+.4f} to {found.high:+.4f})"
    return signed_cell(found.mean) + interval, f"{found.p_value:.2g}", words


Members = tuple[Member, ...]


class Compared(NamedTuple):
    """Models and ensembles beside each other. candidates: the highest value first. measure: what that is. summaries: of each."""

    candidates: list[Candidate]
    measure: str
    summaries: Mapping[Members, Any]


def compare(summaries: Mapping[Members, Summary]) -> list[Candidate]:
    """Return every model and ensemble, the highest mean Dice first.

    summaries: by members, each over the same cases (all folds together). Each candidate is paired, case by case, with the best
    one: the difference in the mean Dice over a case's classes, its 95 % bootstrap interval and the Wilcoxon signed-rank test. A
    candidate is worse where its mean is lower and, by the interval or by the test, this is more than chance.
    Raises AutosegError where the cases differ.
    """
    _require_same_cases(summaries)
    by_dice = sorted(summaries, key=lambda members: (-_rank(summaries[members]), len(members)))
    best = _dice_of_cases(summaries[by_dice[0]])
    candidates = []
    for members in by_dice:
        candidate = _candidate(members, summaries[members])
        if members != by_dice[0]:
            difference = paired_comparison(_dice_of_cases(summaries[members]), best)
            candidate = candidate.model_copy(update={"difference": difference, "is_worse": is_worse(difference)})
        candidates.append(candidate)
    return candidates


def is_worse(difference: Difference) -> bool:
    """Tell whether a candidate is worse than the best: by more than chance, as its interval or its test says."""
    return difference.mean < 0 and (difference.high < 0 or difference.p_value < SIGNIFICANT)


def choose(candidates: Sequence[Candidate], measure: str = MEASURE) -> tuple[Candidate, str]:
    """Return the simplest candidate that is not worse than the best, and why.

    The simplest has the fewest members; among equals, the higher value. candidates: the highest value of the
    measure first.
    """
    best = candidates[0]
    chosen = min((c for c in candidates if not c.is_worse), key=lambda c: len(c.members))
    if chosen is best:
        others = "every other one is worse or not simpler" if len(candidates) > 1 else "there is no other"
        return chosen, f"{chosen.name} has the highest {measure}, {_number(chosen.value)}, and {others}."
    difference = chosen.difference
    assert difference is not None, "only the best has no difference"
    kind = "mean difference" if measure == MEASURE else "difference"
    return chosen, f"{chosen.name} is simpler than {best.name} and not worse: the {kind} is {in_words(difference)}."


def in_words(difference: Difference) -> str:
    """Return "-0.0021 (95 % interval -0.0048 to +0.0004, p = 0.12)"; a single case gives no interval, no case "unknown"."""
    if difference.mean != difference.mean:
        return "unknown, as no case holds a class"
    interval = "" if difference.low != difference.low else f"95 % interval {difference.low:+.4f} to {difference.high:+.4f}, "
    return f"{difference.mean:+.4f} ({interval}p = {difference.p_value:.2g})"


def _candidate(members: Members, summary: Summary) -> Candidate:
    return Candidate(
        members=members, value=_rank(summary), cases=len(summary.metric_per_case),
        classes={key: _known(mean["Dice"]) for key, mean in summary.mean.items()},
    )


def _rank(summary: Summary) -> float:
    return _known(summary.foreground_mean["Dice"]) or 0.0


def _dice_of_cases(summary: Summary) -> list[float]:
    """Return each case's mean Dice, in the order of the cases' names."""
    cases = sorted(summary.metric_per_case, key=lambda case: case.case)
    return [case.mean_dice for case in cases]


def _require_same_cases(summaries: Mapping[Members, Summary]) -> None:
    cases = {members: {case.case for case in summary.metric_per_case} for members, summary in summaries.items()}
    first, *others = cases.items()
    for members, found in others:
        if differing := sorted(found ^ first[1]):
            raise AutosegError(
                f"{ensemble_name(members)} and {ensemble_name(first[0])} were not validated on the same cases: "
                f"{some(differing)} ({len(differing)} in all) belong to one of them only. Train both with the same "
                "splits.json."
            )


def _known(value: float) -> float | None:
    return None if value != value else value


def _number(value: float) -> str:
    return f"{value:.4f}"
