"""What lies on disk of a dataset's slices and its anomaly detectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autoseg.errors import AutosegError
from autoseg.evaluation.anomaly.scores import CaseScore, SliceScore, read_scores, read_slice_scores
from autoseg.evaluation.anomaly.summary import AnomalySummary, summarize
from autoseg.evaluation.cross_validation import State, state_of
from autoseg.evaluation.report.reading import model_if_there, read_if_there
from autoseg.inference.anomaly.model import AnomalyDescription
from autoseg.kinds import ANOMALY
from autoseg.preprocessing.apart import is_complete
from autoseg.slices.plan import CONFIGURATION, SlicePlans
from autoseg.slices.store import StoredSlices, open_slices
from autoseg.training_log import Epoch, read_log
from autoseg.workspace import DatasetFolder, FoldFolder, ModelFolder


@dataclass(frozen=True)
class DetectorFold:
    """A fold of a detector. cases, slices: scores of its validation. samples: the newest picture of what it generates.
    state: None for the fold "all"."""

    name: str
    folder: FoldFolder
    state: State | None
    log: list[Epoch]
    cases: list[CaseScore]
    slices: list[SliceScore]
    samples: Path | None


@dataclass(frozen=True)
class Detector:
    """folder: holds the folds. description: None where model.json is damaged. folds: those that were begun, by name."""

    folder: ModelFolder
    description: AnomalyDescription | None
    folds: list[DetectorFold]

    @property
    def name(self) -> str:
        return self.folder.recipe

    @cached_property
    def cases(self) -> list[CaseScore]:
        """Validation cases of all folds so far."""
        return [case for fold in self.folds for case in fold.cases]

    @cached_property
    def slices(self) -> list[SliceScore]:
        """Validation slices of all folds so far."""
        return [entry for fold in self.folds for entry in fold.slices]

    @cached_property
    def summary(self) -> AnomalySummary | None:
        """Of all folds together, as far as they are validated; None where none is."""
        return summarize(self.cases, self.slices) if self.cases else None


@dataclass(frozen=True)
class AnomalyArtefacts:
    """stored: the training cases that are cut."""

    plans: SlicePlans
    stored: list[StoredSlices]
    detectors: list[Detector]


def read_anomaly_artefacts(folder: DatasetFolder, plans: SlicePlans, troubles: list[str]) -> AnomalyArtefacts:
    """Of a dataset that was planned as slices; damaged files are added to `troubles`."""
    return AnomalyArtefacts(plans, _stored(folder, plans, troubles), [
        _read_detector(model, troubles) for model in folder.models_of(ANOMALY)])


def _stored(folder: DatasetFolder, plans: SlicePlans, troubles: list[str]) -> list[StoredSlices]:
    cut, found = folder.preprocessed(CONFIGURATION), []
    for case in plans.source.training:
        if is_complete(cut, case.name):
            try:
                found.append(open_slices(cut, case.name))
            except AutosegError as error:
                troubles.append(str(error))
    return found


def _read_detector(model: ModelFolder, troubles: list[str]) -> Detector:
    names = sorted(path.name.removeprefix("fold_") for path in model.root.glob("fold_*") if path.is_dir())
    description = model_if_there(troubles, model.model_json, AnomalyDescription)
    return Detector(model, description, [_read_fold(model.fold(name), name, troubles) for name in names])


def _read_fold(fold: FoldFolder, name: str, troubles: list[str]) -> DetectorFold:
    state = None if name == "all" else state_of(fold)
    validated = state == "complete"  # else scores may be of weights that were trained anew since
    return DetectorFold(
        name, fold, state, read_if_there(troubles, fold.log_jsonl, read_log) or [],
        (read_if_there(troubles, fold.scores_csv, read_scores) or []) if validated else [],
        (read_if_there(troubles, fold.slice_scores_csv, read_slice_scores) or []) if validated else [],
        max(fold.samples.glob("*.png"), default=None))
