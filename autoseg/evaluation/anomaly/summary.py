"""`summary.json` of an anomaly detector: how well its scores tell abnormal from normal, by case and by slice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoseg.evaluation.anomaly.localization import Localization
from autoseg.evaluation.anomaly.metrics import Detection, Scored, detection
from autoseg.evaluation.anomaly.scores import CaseScore, SliceScore
from autoseg.plan import Frozen
from autoseg.workspace import read_model, write_json


class AnomalySummary(Frozen):
    """cases: by each case's score. slices: by each slice's score; residual, discrimination: by that part of it alone.
    localization: whether the anomaly maps show where, None where that was not looked at. without_truth: cases of which nothing
    is known; without_score: cases of which something is known, and that no score was found for. failed: what kept a case's
    map or label from being used, by case name."""

    cases: Detection
    slices: Detection
    residual: Detection
    discrimination: Detection
    localization: Localization | None = None
    without_truth: tuple[str, ...] = ()
    without_score: tuple[str, ...] = ()
    failed: dict[str, str] = {}


def summarize(cases: Sequence[CaseScore], slices: Sequence[SliceScore]) -> AnomalySummary:
    """Of cases and their slices, as far as their truth is known. Slices that were not scored count for nothing."""
    scored = [entry for entry in slices if entry.score is not None]
    known = {case.case for case in cases if case.truth} | {entry.case for entry in slices if entry.truth}
    return AnomalySummary(
        cases=detection([Scored(entry.case, entry.score, entry.truth) for entry in cases], "case"),
        slices=_by_slice(scored, "score"), residual=_by_slice(scored, "residual"),
        discrimination=_by_slice(scored, "discrimination"),
        without_truth=tuple(sorted({entry.case for entry in cases} - known)))


def write_summary(path: Path, summary: AnomalySummary) -> None:
    """As JSON that a person can read."""
    write_json(path, summary)


def read_summary(path: Path) -> AnomalySummary:
    """What write_summary wrote. Raises AutosegError where the file is missing or does not fit."""
    return read_model(path, AnomalySummary)


def _by_slice(slices: Sequence[SliceScore], part: str) -> Detection:
    values = [(entry, getattr(entry, part)) for entry in slices]
    return detection([Scored(entry.case, value, entry.truth) for entry, value in values if value is not None], "slice")
