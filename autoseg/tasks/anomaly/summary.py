"""`summary.json` of an anomaly detector: how well its scores tell abnormal from normal, by case and by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from autoseg.evaluation.roc import Detection, Scored, detection
from autoseg.plan import Frozen
from autoseg.tasks.anomaly.maps import Localization
from autoseg.tasks.anomaly.scores import CaseScore, SliceScore


class AnomalySummary(Frozen):
    """cases: by each case's score. slices: by each slice's score; residual, discrimination: by that part of it alone.
    localization: whether the anomaly maps show where, None where that was not looked at. without_truth: cases of which nothing
    is known; without_score: cases of which something is known, and that no score was found for. failed: what kept a case's
    map or label from being used, by case name."""

    remedy: ClassVar[str] = (
        "Remove it: autoseg run, or autoseg_train with --continue, makes it again from the predictions that are there.")

    cases: Detection
    slices: Detection
    residual: Detection
    discrimination: Detection
    localization: Localization | None = None
    without_truth: tuple[str, ...] = ()
    without_score: tuple[str, ...] = ()
    failed: dict[str, str] = {}


@dataclass(frozen=True)
class Evaluation:
    """cases, slices: with their truth."""

    summary: AnomalySummary
    cases: list[CaseScore]
    slices: list[SliceScore]


def summarize(cases: Sequence[CaseScore], slices: Sequence[SliceScore]) -> AnomalySummary:
    """Sum up cases and their slices, as far as their truth is known. Slices that were not scored count for nothing."""
    known = {case.case for case in cases if case.truth} | {entry.case for entry in slices if entry.truth}
    return AnomalySummary(
        cases=detection(scored_cases(cases), "case"), slices=detection(scored_slices(slices), "slice"),
        residual=detection(scored_slices(slices, "residual"), "slice"),
        discrimination=detection(scored_slices(slices, "discrimination"), "slice"),
        without_truth=tuple(sorted({entry.case for entry in cases} - known)))


def scored_cases(cases: Sequence[CaseScore]) -> list[Scored]:
    """Return each case by its score."""
    return [Scored(case.case, case.score, case.truth) for case in cases]


def scored_slices(slices: Sequence[SliceScore], part: Literal["score", "residual", "discrimination"] = "score") -> list[Scored]:
    """Return each slice by its score, or a part of it; without those that were not scored."""
    values: list[tuple[SliceScore, float | None]] = [(entry, getattr(entry, part)) for entry in slices]
    return [Scored(entry.case, value, entry.truth) for entry, value in values if value is not None]
