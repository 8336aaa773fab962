"""The one reader of what is stored for a dataset: its own files, and the models of any task.

What is missing or damaged hides nothing else: damaged files are added to a list of troubles, in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError
from autoseg.evaluation.cross_validation import State, number_of_folds, state_of
from autoseg.evaluation.csv_table import RowType, read_rows
from autoseg.fingerprint import Fingerprint
from autoseg.preprocessing.store import description_path
from autoseg.training_log import Epoch, TrainingRecord, read_log
from autoseg.verification.findings import Finding, read_findings
from autoseg.wording import listed
from autoseg.workspace import DatasetFolder, FoldFolder, ModelFolder, read_model

Value = TypeVar("Value")
Results = TypeVar("Results")
Summary = TypeVar("Summary")
Description = TypeVar("Description", bound=BaseModel)


@dataclass
class DatasetArtefacts:
    """The files of a dataset that every task shares, each None where it is missing or damaged.

    troubles: damaged files, in words.
    """

    folder: DatasetFolder
    dataset: Dataset | None = None
    fingerprint: Fingerprint | None = None
    findings: list[Finding] | None = None
    troubles: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the dataset's name."""
        return self.dataset.name if self.dataset else self.folder.name


@dataclass(frozen=True)
class FoldArtefacts(Generic[Results]):
    """A fold of a model. state: None for the fold "all". log: its epochs so far. results: of its validation, None where it is not
    validated: what an earlier validation wrote may belong to other weights. record: of its training, None where there is none."""

    name: str
    folder: FoldFolder
    state: State | None
    log: list[Epoch]
    results: Results | None
    record: TrainingRecord | None = None


@dataclass(frozen=True)
class ModelArtefacts(Generic[Description, Results, Summary]):
    """The folds of a model of any task. folder: holds the folds. description: content of model.json, None where that is damaged.
    fold_count: folds of a full cross-validation, 0 where that is not known. summary: of all validated folds, None where there is
    none, or they do not fit together."""

    name: str
    folder: ModelFolder
    description: Description | None
    folds: list[FoldArtefacts[Results]]
    fold_count: int
    summary: Summary | None

    @property
    def begun(self) -> list[FoldArtefacts[Results]]:
        """Return the folds that have finished an epoch."""
        return [fold for fold in self.folds if fold.log]

    @property
    def validated(self) -> list[tuple[FoldArtefacts[Results], Results]]:
        """Return the validated folds, each with its results."""
        return [(fold, fold.results) for fold in self.folds if fold.results is not None]

    @property
    def of_folds(self) -> str:
        """Return which folds are validated, ", folds 0, 1 of 5"; "" where all are, or the number of folds is not known."""
        names = [fold.name for fold in self.folds if fold.state == "complete"]
        if not 0 < len(names) < self.fold_count:
            return ""
        return f", fold{'s' if len(names) > 1 else ''} {listed(names, 10)} of {self.fold_count}"


AnyFold = FoldArtefacts[Any]
AnyModel = ModelArtefacts[Any, Any, Any]


def read_if_there(troubles: list[str], path: Path, read: Callable[[Path], Value]) -> Value | None:
    """Return what `read` makes of a file; None where it is missing, and where it is damaged, which is added to `troubles`."""
    if not path.exists():
        return None
    try:
        return read(path)
    except AutosegError as error:
        troubles.append(str(error))
        return None


def model_if_there(troubles: list[str], path: Path, model: type[Description]) -> Description | None:
    """Return a validated model from a JSON file; None as in `read_if_there`."""
    return read_if_there(troubles, path, lambda file: read_model(file, model))


def rows_if_there(troubles: list[str], path: Path, kind: type[RowType]) -> list[RowType]:
    """Return the rows of a table; none where `read_if_there` returns None."""
    return read_if_there(troubles, path, lambda file: read_rows(file, kind)) or []


def read_dataset(folder: DatasetFolder) -> DatasetArtefacts:
    """Read the files of a dataset that every task shares."""
    troubles: list[str] = []
    return DatasetArtefacts(
        folder, model_if_there(troubles, folder.dataset_json, Dataset),
        model_if_there(troubles, folder.fingerprint_json, Fingerprint),
        read_if_there(troubles, folder.findings_json, read_findings), troubles)


def count_folds(splits: Path, troubles: list[str]) -> int:
    """Return the folds that a file of splits holds; 0 where there are no splits yet, or they are damaged."""
    try:
        return number_of_folds(splits)
    except AutosegError as error:
        troubles.append(str(error))
        return 0


def read_models(
    folders: Iterable[ModelFolder], fold_count: int, troubles: list[str], *, description: type[Description],
    read_results: Callable[[FoldFolder, list[str]], Results | None], summarize: Callable[[list[Results]], Summary],
    name_of: Callable[[ModelFolder], str] = lambda folder: folder.recipe,
) -> list[ModelArtefacts[Description, Results, Summary]]:
    """Read the models of a task.

    description: the content of model.json. read_results: reads what the validation of a fold wrote, and adds damaged files to the
    troubles. summarize: puts the results of all validated folds together; raises AutosegError where they do not fit.
    """
    found = []
    for model in folders:
        folds = [_read_fold(model, name, troubles, read_results) for name in _fold_names(model, fold_count)]
        results = [fold.results for fold in folds if fold.results is not None]
        try:
            summary = summarize(results) if results else None
        except AutosegError as error:
            troubles.append(str(error))
            summary = None
        said = model_if_there(troubles, model.model_json, description)
        found.append(ModelArtefacts(name_of(model), model, said, folds, fold_count, summary))
    return found


def _fold_names(model: ModelFolder, fold_count: int) -> Sequence[str]:
    """Return the folds of the cross-validation, begun or not, after "all" where that was begun.

    Where only "all" was begun, the others are left out. Where there are no splits, every fold that was begun.
    """
    begun = sorted(path.name.removeprefix("fold_") for path in model.root.glob("fold_*") if path.is_dir())
    if not fold_count:
        return begun
    folds = [str(fold) for fold in range(fold_count)]
    if "all" not in begun:
        return folds
    return ["all", *(folds if any(state_of(model.fold(fold)) != "missing" for fold in folds) else ())]


def _read_fold(
    model: ModelFolder, name: str, troubles: list[str], read_results: Callable[[FoldFolder, list[str]], Results | None]
) -> FoldArtefacts[Results]:
    fold = model.fold(name)
    state = None if name == "all" else state_of(fold)
    log = read_if_there(troubles, fold.log_jsonl, read_log) or []
    record = read_if_there(troubles, fold.training_json, lambda path: read_model(path, TrainingRecord))
    return FoldArtefacts(name, fold, state, log, read_results(fold, troubles) if state == "complete" else None, record)


def stored_cases(
    folder: Path, cases: Iterable[str], open_case: Callable[[Path, str], Value], troubles: list[str]
) -> list[Value]:
    """Open the preprocessed ones among the cases; damaged ones are added to `troubles`."""
    found = []
    for case in cases:
        if description_path(folder, case).is_file():
            try:
                found.append(open_case(folder, case))
            except AutosegError as error:
                troubles.append(str(error))
    return found
