"""Which model or ensemble is the best: all on the same validation cases, differences beside their chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoseg.best import Candidate, Difference, Member, ensemble_name
from autoseg.errors import AutosegError, some
from autoseg.evaluation.confidence import paired_comparison
from autoseg.evaluation.summary import Summary

SIGNIFICANT = 0.05

Members = tuple[Member, ...]


def compare(summaries: Mapping[Members, Summary]) -> list[Candidate]:
    """Every model and ensemble, the highest mean Dice first.

    summaries: by members, each over the same cases (all folds together). Each candidate is paired, case by case, with the
    best one: the difference in the mean Dice over a case's classes, its 95 % bootstrap interval and the Wilcoxon
    signed-rank test. A candidate is worse where its mean is lower and either of the two calls that more than chance.
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
            is_worse = difference.mean < 0 and (difference.high < 0 or difference.p_value < SIGNIFICANT)
            candidate = candidate.model_copy(update={"difference": difference, "is_worse": is_worse})
        candidates.append(candidate)
    return candidates


def choose(candidates: Sequence[Candidate]) -> tuple[Candidate, str]:
    """The simplest candidate that is not worse than the best, and why.

    Simplest is who has the fewest members; among as many, who has the higher Dice. candidates: as `compare` gives them.
    """
    best = candidates[0]
    chosen = min((c for c in candidates if not c.is_worse), key=lambda c: len(c.members))
    if chosen is best:
        others = "every other one is worse or not simpler" if len(candidates) > 1 else "there is no other"
        return chosen, f"{chosen.name} has the highest mean Dice, {_number(chosen.dice)}, and {others}."
    difference = chosen.difference
    assert difference is not None, "only the best has no difference"
    return chosen, (
        f"{chosen.name} is simpler than {best.name} and not worse: the mean difference is {in_words(difference)}."
    )


def in_words(difference: Difference) -> str:
    """"-0.0021 (95 % interval -0.0048 to +0.0004, p = 0.12)"; a single case has no interval, and "unknown" without any."""
    if difference.mean != difference.mean:
        return "unknown, as no case holds a class"
    interval = "" if difference.low != difference.low else f"95 % interval {difference.low:+.4f} to {difference.high:+.4f}, "
    return f"{difference.mean:+.4f} ({interval}p = {difference.p_value:.2g})"


def _candidate(members: Members, summary: Summary) -> Candidate:
    return Candidate(
        members=members, dice=_rank(summary), cases=len(summary.metric_per_case),
        classes={key: _known(mean["Dice"]) for key, mean in summary.mean.items()},
    )


def _rank(summary: Summary) -> float:
    return _known(summary.foreground_mean["Dice"]) or 0.0


def _dice_of_cases(summary: Summary) -> list[float]:
    """Each case's mean, in the order of the cases' names."""
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
