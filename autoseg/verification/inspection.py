"""The one loop over a dataset's cases: each is read once, checked, and measured where that is wanted."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from autoseg.dataset import Case, Dataset
from autoseg.image import Geometry
from autoseg.parallel import run_parallel
from autoseg.verification.case import CheckedCase, check_case, lost_case, memory_per_case, without_cases
from autoseg.verification.classes import check_classes
from autoseg.verification.findings import LEAVE_OUT, Finding
from autoseg.verification.whole import axis_orders, check_dataset_level

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Inspection(Generic[Measured]):
    """The result of reading a case once.

    findings: what is wrong with it. digest: of the image, as `check_case` gives it. measured: the measures that plans are made
    from; None for a case with errors, and where nothing was to be measured. geometry: of the image; None for a case with errors.
    label_values: those that its label holds; none where it could not be read.
    """

    case: Case
    findings: list[Finding]
    digest: str | None = None
    measured: Measured | None = None
    geometry: Geometry | None = None
    label_values: tuple[int, ...] = ()


def run_inspections(
    dataset: Dataset, measure: Callable[[CheckedCase, Dataset], Measured | None], workers: int | None = None
) -> Iterator[Inspection[Measured]]:
    """Check and measure every training and test case, in parallel by free memory; yields each as it is finished.

    measure: called with each case that has an image and no errors, and the dataset without its list of cases; it may add
    findings with `CheckedCase.note`. Must be picklable. workers: processes at most; None for as many as cores and memory allow.
    Never raises for what is wrong with the dataset's files.
    """
    inspect = functools.partial(inspect_case, dataset=without_cases(dataset), measure=measure)
    for outcome in run_parallel(inspect, [*dataset.training, *dataset.test], memory_per_case(dataset), workers):
        yield outcome.value or Inspection(outcome.item, lost_case(outcome))


def inspect_case(
    case: Case, dataset: Dataset, measure: Callable[[CheckedCase, Dataset], Measured | None]
) -> Inspection[Measured]:
    """Check a case and measure it, in one reading. Never raises for what is wrong with its files."""
    checked = check_case(case, dataset)
    measured = None if checked.image is None else measure(checked, dataset)
    geometry = None if checked.image is None else checked.image.geometry
    return Inspection(case, checked.findings, checked.digest, None if checked.has_errors else measured, geometry,
                      tuple(checked.label_counts))


def inspection_findings(
    dataset: Dataset, inspections: Sequence[Inspection[Measured]], case_labels_suffice: bool = True,
    classes_are_learned: bool = True,
) -> list[Finding]:
    """Return every finding: those of training cases, then of test cases, then of the dataset as a whole.

    case_labels_suffice: whether a case that is called normal or abnormal may be without a label. classes_are_learned: whether the
    classes of dataset.json are what a model learns; see `check_classes`.
    """
    by_case = {inspection.case: inspection for inspection in inspections}
    in_order = [by_case[case] for case in (*dataset.training, *dataset.test) if case in by_case]
    digests = {case: inspection.digest for case, inspection in by_case.items()}
    geometries = {case: by_case[case].geometry for case in dataset.training if case in by_case}
    held = {value for case in dataset.training if case in by_case for value in by_case[case].label_values}
    return _that_leave_a_case(dataset, [
        *(finding for inspection in in_order for finding in inspection.findings),
        *check_dataset_level(dataset, digests, case_labels_suffice),
        *check_classes(dataset, held, classes_are_learned),
        *axis_orders(dataset, {case: geometry for case, geometry in geometries.items() if geometry is not None})])


def _that_leave_a_case(dataset: Dataset, findings: list[Finding]) -> list[Finding]:
    """Return findings that do not advise to leave cases out where no training case would be left."""
    bad = {finding.case for finding in findings if finding.severity == "error"}
    if {case.name for case in dataset.training} - bad:
        return findings
    return [finding.model_copy(update={"remedy": finding.remedy.replace(f", {LEAVE_OUT}", "")}) for finding in findings]


def verify_dataset(
    dataset: Dataset, workers: int | None = None, on_case_done: Callable[[str], None] = lambda name: None
) -> list[Finding]:
    """Check a dataset and return every finding, in the order of `inspection_findings`.

    on_case_done: called with the name of each case when it is finished.
    """
    inspections: list[Inspection[object]] = []
    for inspection in run_inspections(dataset, _measure_nothing, workers):
        inspections.append(inspection)
        on_case_done(inspection.case.name)
    return inspection_findings(dataset, inspections, classes_are_learned=not dataset.case_labels)


def _measure_nothing(checked: CheckedCase, dataset: Dataset) -> object:
    return None
