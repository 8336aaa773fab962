"""`summary.json` of a locator: how far what it finds is from the true level, and whether it finds what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from autoseg.evaluation.confidence import Interval, bootstrap_interval, proportion_interval
from autoseg.plan import Frozen
from autoseg.tasks.localization.locations import ValidatedLocation

NEAR_MM = 5.0


class Errors(Frozen):
    """Absolute errors over cases, all in mm or all in slices. interval: of the mean, 95 % bootstrap interval over the cases;
    None for a single case. worst_case: its name."""

    mean: float
    interval: Interval | None
    median: float
    worst: float
    worst_case: str


class Share(Frozen):
    """count: of so many cases that something holds for. interval: of the share, 95 % (Wilson 1927)."""

    count: int
    of: int
    share: float
    interval: Interval


class Absent(Frozen):
    """Cases, or parts of cases, in which the level is not. wrongly_found: those in which it was found all the same, by name."""

    count: int = 0
    wrongly_found: tuple[str, ...] = ()


class CaseError(Frozen):
    """A case in which the level is. Errors are absolute, of the strongest response, found or not."""

    case: str
    error_mm: float
    error_slices: float
    confidence: float
    found: bool


class LocationSummary(Frozen):
    """The measures of how well a level is found.

    cases: those in which it is, whole. found: how many of them it was found in; not_found: names of the others. error_mm,
    error_slices: of the strongest response in all of them, found or not, so that a high threshold hides no wrong answer; None
    without such a case, as are within_slice (at most one slice off) and within_5_mm. without_level: whole cases in which it is
    not. parts: the rows of a case before or after it, in which it is not. errors: of each case, the largest in mm first.
    """

    remedy: ClassVar[str] = (
        "Remove it: autoseg run, or autoseg_train with --continue, makes it again from the predictions that are there.")

    cases: int
    found: int
    not_found: tuple[str, ...] = ()
    error_mm: Errors | None = None
    error_slices: Errors | None = None
    within_slice: Share | None = None
    within_5_mm: Share | None = None
    without_level: Absent = Absent()
    parts: Absent = Absent()
    errors: tuple[CaseError, ...] = ()


def summarize(rows: Sequence[ValidatedLocation]) -> LocationSummary:
    """Sum up validated cases and parts of cases."""
    there = [CaseError.model_validate(row, from_attributes=True) for row in rows if row.part == "whole" and row.is_there]
    errors = sorted(there, key=lambda error: (-error.error_mm, error.case))
    of_mm, of_slices = {error.case: error.error_mm for error in errors}, {error.case: error.error_slices for error in errors}
    return LocationSummary(
        cases=len(errors), found=sum(error.found for error in errors),
        not_found=tuple(sorted(error.case for error in errors if not error.found)),
        error_mm=_errors(of_mm), error_slices=_errors(of_slices), within_slice=_within(of_slices, 1),
        within_5_mm=_within(of_mm, NEAR_MM), errors=tuple(errors),
        without_level=_absent({row.case: row.found for row in rows if row.part == "whole" and not row.is_there}),
        parts=_absent({f"{row.case} ({row.part})": row.found for row in rows if row.part != "whole" and not row.is_there}))


def _errors(of_case: dict[str, float]) -> Errors | None:
    if not of_case:
        return None
    values = np.array(list(of_case.values()))
    worst_case = max(of_case, key=lambda case: of_case[case])
    return Errors(
        mean=float(values.mean()), interval=bootstrap_interval(values) if len(values) > 1 else None,
        median=float(np.median(values)), worst=of_case[worst_case], worst_case=worst_case)


def _within(of_case: dict[str, float], most: float) -> Share | None:
    if not of_case:
        return None
    count = sum(value <= most for value in of_case.values())
    return Share(count=count, of=len(of_case), share=count / len(of_case), interval=proportion_interval(count, len(of_case)))


def _absent(found: dict[str, bool]) -> Absent:
    return Absent(count=len(found), wrongly_found=tuple(sorted(name for name, is_found in found.items() if is_found)))
