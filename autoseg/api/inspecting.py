"""What planning for models apart from segmentation shares: cases are checked, made and opened one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from autoseg import console
from autoseg.dataset import Case, Dataset
from autoseg.parallel import Outcome
from autoseg.preprocessing.apart import is_complete


class Inspection(Protocol):
    """What was seen of a case, whatever kind of model it is for."""

    @property
    def case(self) -> Case: ...


InspectionType = TypeVar("InspectionType", bound=Inspection)
Stored = TypeVar("Stored")


def inspected(source: Dataset, inspections: Iterator[InspectionType], quiet: bool) -> list[InspectionType]:
    """All of the dataset's cases, with a bar that shows how far it is."""
    seen = []
    with console.progress(f"Checking {source.name}", quiet) as report:
        finish = console.counted(report, len(source.training) + len(source.test))
        for inspection in inspections:
            seen.append(inspection)
            finish(inspection.case)
    return seen


def made(doing: str, count: int, outcomes: Iterator[Outcome[Case]], quiet: bool) -> dict[str, str]:
    """Make what is not there yet, with a bar; the cases that failed, with the reason. doing: "Cutting axial slices". count: of
    the outcomes."""
    failed = {}
    with console.progress(doing, quiet) as report:
        finish = console.counted(report, count)
        for outcome in outcomes:
            finish(outcome.item)
            if outcome.error is not None:
                failed[outcome.item.name] = str(outcome.error)
    return failed


def stored_cases(folder: Path, cases: Sequence[Case], open_case: Callable[[Path, str], Stored]) -> list[Stored]:
    """Those that could be made."""
    return [open_case(folder, case.name) for case in cases if is_complete(folder, case.name)]
