"""References that scores are compared with: which cases and slices are normal, and where the anomalies lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.bounds import whole_number
from autoseg.dataset import Dataset
from autoseg.errors import AutosegError
from autoseg.evaluation.csv_table import read_table
from autoseg.evaluation.roc import Truth
from autoseg.evaluation.summary import label_files
from autoseg.tasks.anomaly.truth import truths_of

TABLE = "case,truth (normal or abnormal), and perhaps slice (from 0; empty for what holds for the whole case)"
WORDS: dict[str, Truth] = {"normal": "normal", "abnormal": "abnormal"}


@dataclass(frozen=True)
class Reference:
    """The truth of one case. truth: of the whole. label: a file whose foreground is abnormal; ignore: its value that says
    nothing. slices: truth by slice, where it was given so."""

    truth: Truth | None = None
    label: Path | None = None
    ignore: int | None = None
    slices: Mapping[int, Truth] = field(default_factory=dict)


def references_of_dataset(dataset: Dataset) -> dict[str, Reference]:
    """Return references by case name, from case_labels and label files. Raises AutosegError where it has neither."""
    has_foreground = bool(dataset.labels.foreground)
    called = truths_of(dataset)
    found = {name: Reference(truth) for name, truth in called.items()}
    for case in (*dataset.training, *dataset.test):
        if case.label is not None and has_foreground:
            found[case.name] = Reference(called.get(case.name), case.label, dataset.labels.ignore)
    if not found:
        raise AutosegError(
            f"{dataset.folder} does not say what is normal: dataset.json has no case_labels, and no case has a label with "
            "foreground. Give the truth as a folder of label files (abnormal where they hold foreground), or as a table with the "
            f"columns {TABLE}.")
    return found


def references_of_labels(folder: Path, ignore: int | None = None) -> dict[str, Reference]:
    """Return references by case name from label files: foreground is abnormal. ignore: the value that says nothing."""
    return {case: Reference(label=path, ignore=ignore) for case, path in label_files(folder).items()}


def references_of_table(path: Path) -> dict[str, Reference]:
    """Return references by case name from a CSV file with the columns case, truth and perhaps slice.

    A case of which slices are given is abnormal where one of them is. Raises AutosegError where a row does not fit, or
    contradicts another.
    """
    cases: dict[str, Truth] = {}
    slices: dict[str, dict[int, Truth]] = {}
    for line, cells in read_table(path, ("case", "truth"), ("slice",)):
        truth, case, index = WORDS.get(cells["truth"].lower()), cells["case"], cells.get("slice", "")
        if truth is None or not case or (index and whole_number(index) is None):
            raise AutosegError(f"{path}, line {line}: {', '.join(f'{key} {cell!r}' for key, cell in cells.items())}. Expected "
                               f"{TABLE}.")
        before = slices.setdefault(case, {}).setdefault(int(index), truth) if index else cases.setdefault(case, truth)
        if before != truth:
            raise AutosegError(f"{path}, line {line}: case {case}{f', slice {index}' if index else ''} is {truth} here and "
                               f"{before} above. Leave one of the rows.")
    if not cases and not slices:
        raise AutosegError(f"{path} has no row below its column names. Expected the columns {TABLE}.")
    for case, of_case in slices.items():
        worst: Truth = "abnormal" if "abnormal" in of_case.values() else "normal"
        if worst == "abnormal" and cases.setdefault(case, worst) == "normal":
            raise AutosegError(f"{path}: case {case} is normal, and one of its slices abnormal. Correct one of them.")
    return {case: Reference(cases.get(case), slices=slices.get(case, {})) for case in {**cases, **slices}}
