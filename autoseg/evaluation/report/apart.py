"""What lies on disk of models of a kind apart, whichever kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from autoseg.errors import AutosegError
from autoseg.evaluation.cross_validation import State, number_of_folds, state_of
from autoseg.evaluation.report.reading import read_if_there
from autoseg.evaluation.report.words import listed
from autoseg.kinds import Kind
from autoseg.preprocessing.store import description_path
from autoseg.tasks.anomaly.model import AnomalyDescription
from autoseg.tasks.localization.model import LocatorDescription
from autoseg.training_log import Epoch, read_log
from autoseg.workspace import DatasetFolder, FoldFolder, ModelFolder


@dataclass(frozen=True)
class FoldApart:
    """A fold that was begun. state: None for the fold "all". log: its epochs so far."""

    name: str
    folder: FoldFolder
    state: State | None
    log: list[Epoch]

    @property
    def is_validated(self) -> bool:
        """Else what its validation wrote may be of weights that were trained anew since."""
        return self.state == "complete"


Stored = TypeVar("Stored")
FoldType = TypeVar("FoldType", bound=FoldApart)
DescriptionType = TypeVar("DescriptionType", bound=AnomalyDescription | LocatorDescription)


@dataclass(frozen=True)
class ModelApart(Generic[DescriptionType, FoldType]):
    """folder: holds the folds. description: None where model.json is damaged. folds: those that were begun, by name.
    fold_count: folds of a whole cross-validation; 0 where that is not known."""

    folder: ModelFolder
    description: DescriptionType | None
    folds: list[FoldType]
    fold_count: int

    @property
    def name(self) -> str:
        return self.folder.recipe

    @property
    def of_folds(self) -> str:
        """", folds 0, 1 of 5": which of them are validated; nothing where all are, or it is not known how many there are."""
        validated = [fold.name for fold in self.folds if fold.is_validated]
        if not 0 < len(validated) < self.fold_count:
            return ""
        return f", fold{'s' if len(validated) > 1 else ''} {listed(validated, 10)} of {self.fold_count}"


AnyModelApart = ModelApart[Any, Any]


def count_folds(folder: DatasetFolder, kind: Kind, troubles: list[str]) -> int:
    """Folds of a cross-validation of this kind; 0 where it has no splits yet. Damage is added to `troubles`."""
    return read_if_there(troubles, folder.splits_of(kind), lambda path: number_of_folds(folder, kind.configuration)) or 0


def begun_folds(model: ModelFolder, troubles: list[str]) -> list[FoldApart]:
    """By name; damaged files are added to `troubles`."""
    found = []
    for name in sorted(path.name.removeprefix("fold_") for path in model.root.glob("fold_*") if path.is_dir()):
        fold = model.fold(name)
        log = read_if_there(troubles, fold.log_jsonl, read_log) or []
        found.append(FoldApart(name, fold, None if name == "all" else state_of(fold), log))
    return found


def stored_cases(
    folder: Path, cases: Iterable[str], open_case: Callable[[Path, str], Stored], troubles: list[str]
) -> list[Stored]:
    """Those of the cases that are preprocessed; what is wrong with others is added to `troubles`."""
    found = []
    for case in cases:
        if description_path(folder, case).is_file():
            try:
                found.append(open_case(folder, case))
            except AutosegError as error:
                troubles.append(str(error))
    return found
