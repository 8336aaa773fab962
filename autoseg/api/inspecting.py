"""What planning shares, whatever the task: cases are checked and measured, made and opened one by one."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from autoseg import console
from autoseg.dataset import Case, Dataset
from autoseg.errors import AutosegError, many
from autoseg.parallel import Outcome
from autoseg.planners.request import Request, inspect
from autoseg.verification.findings import Finding, findings_table
from autoseg.verification.inspection import Inspection


class Inspected(NamedTuple):
    """A dataset whose cases were read. usable: the dataset without the cases that have errors."""

    usable: Dataset
    inspections: list[Inspection[Any]]
    findings: list[Finding]


def inspected(
    room: ModuleType, request: Request[Any], workers: int | None, skip_bad_cases: bool, quiet: bool
) -> Inspected:
    """Check and measure all cases of a dataset, with a progress bar, and show what is wrong. room: the planners of the task.

    Raises AutosegError where cases have errors and `skip_bad_cases` is not set.
    """
    dataset, inspections = request.dataset, []
    with console.progress(f"Checking and measuring {dataset.name}", quiet) as report:
        finish = console.counted(report, len(dataset.training) + len(dataset.test))
        for inspection in inspect(request, room.measure, workers):
            inspections.append(inspection)
            finish(inspection.case)
    findings = room.findings(request, inspections)
    return Inspected(_without_bad_cases(dataset, findings, skip_bad_cases, quiet), inspections, findings)


def _without_bad_cases(source: Dataset, findings: list[Finding], skip: bool, quiet: bool) -> Dataset:
    if findings and not quiet:
        console.show(findings_table(findings))
    errors = [finding for finding in findings if finding.severity == "error"]
    bad = {finding.case for finding in errors}
    if errors and not skip:
        raise AutosegError(
            f"{source.name} has {many(len(errors), 'error')} in {many(len(bad), 'case')}, listed above. Fix them "
            f"(this command lists what is left; autoseg verify {source.folder} does so for faults of the files), or leave these "
            "cases out with --skip-bad-cases."
        )
    usable = tuple(case for case in source.training if case.name not in bad)
    if not usable:
        raise AutosegError(f"{source.name}: no training case is without errors. Fix those that are listed above.")
    return source.model_copy(update={"training": usable})


def made(doing: str, count: int, outcomes: Iterator[Outcome[Case]], quiet: bool) -> dict[str, str]:
    """Make what is not there yet, with a progress bar; return the cases that failed, with the reason.

    doing: the bar's title, such as "Cutting axial slices". count: number of the outcomes.
    """
    failed = {}
    with console.progress(doing, quiet) as report:
        finish = console.counted(report, count)
        for outcome in outcomes:
            finish(outcome.item)
            if outcome.error is not None:
                failed[outcome.item.name] = str(outcome.error)
    return failed
