"""Every check on a dataset: all findings at once, per case."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace

from autoseg.dataset import Case, Dataset
from autoseg.parallel import run_parallel
from autoseg.verification.case import CheckedCase, check_case, lost_case, memory_per_case, without_cases
from autoseg.verification.findings import Finding
from autoseg.verification.whole import check_dataset_level


def verify_dataset(
    dataset: Dataset, workers: int | None = None, on_case_done: Callable[[str], None] = lambda name: None
) -> list[Finding]:
    """Every finding of every training and test case, in case order, then those of the dataset as a whole.

    workers: processes at most; None for as many as cores and free memory allow. on_case_done: called with each case's
    name when it is finished. Never raises for what is wrong with the dataset's files.
    """
    findings: dict[Case, list[Finding]] = {}
    digests: dict[Case, str | None] = {}
    check = functools.partial(_check_and_forget, without_cases(dataset))
    for outcome in run_parallel(check, [*dataset.training, *dataset.test], memory_per_case(dataset), workers):
        checked = outcome.value or CheckedCase(outcome.item, lost_case(outcome))
        findings[outcome.item], digests[outcome.item] = checked.findings, checked.digest
        on_case_done(outcome.item.name)
    return in_case_order(dataset, findings) + check_dataset_level(dataset, digests)


def _check_and_forget(dataset: Dataset, case: Case) -> CheckedCase:
    return replace(check_case(case, dataset), image=None, label=None)


def in_case_order(dataset: Dataset, findings: Mapping[Case, list[Finding]]) -> list[Finding]:
    """Findings by case as one list: training cases, then test cases."""
    return [finding for case in (*dataset.training, *dataset.test) for finding in findings.get(case, [])]
