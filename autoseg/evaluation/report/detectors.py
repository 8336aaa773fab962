"""What lies on disk of a dataset's slices and its anomaly detectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autoseg.evaluation.anomaly.scores import CaseScore, SliceScore, read_scores, read_slice_scores
from autoseg.evaluation.anomaly.summary import AnomalySummary, summarize
from autoseg.evaluation.report.apart import FoldApart, ModelApart, begun_folds, count_folds, stored_cases
from autoseg.evaluation.report.reading import model_if_there, read_if_there
from autoseg.kinds import ANOMALY
from autoseg.tasks.anomaly.model import AnomalyDescription
from autoseg.tasks.anomaly.plan import CONFIGURATION, SlicePlans
from autoseg.tasks.anomaly.store import StoredSlices, open_slices
from autoseg.workspace import DatasetFolder, ModelFolder


@dataclass(frozen=True)
class DetectorFold(FoldApart):
    """A fold of a detector. cases, slices: scores of its validation. samples: the newest picture of what it generates."""

    cases: list[CaseScore]
    slices: list[SliceScore]
    samples: Path | None


@dataclass(frozen=True)
class Detector(ModelApart[AnomalyDescription, DetectorFold]):
    """An anomaly detector."""

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
    cases = (case.name for case in plans.source.training)
    stored = stored_cases(folder.preprocessed(CONFIGURATION), cases, open_slices, troubles)
    folds = count_folds(folder, ANOMALY, troubles)
    return AnomalyArtefacts(plans, stored, [_read_detector(model, folds, troubles) for model in folder.models_of(ANOMALY)])


def _read_detector(model: ModelFolder, folds: int, troubles: list[str]) -> Detector:
    description = model_if_there(troubles, model.model_json, AnomalyDescription)
    return Detector(model, description, [_read_fold(fold, troubles) for fold in begun_folds(model, troubles)], folds)


def _read_fold(begun: FoldApart, troubles: list[str]) -> DetectorFold:
    fold = begun.folder
    return DetectorFold(
        begun.name, fold, begun.state, begun.log,
        (read_if_there(troubles, fold.scores_csv, read_scores) or []) if begun.is_validated else [],
        (read_if_there(troubles, fold.slice_scores_csv, read_slice_scores) or []) if begun.is_validated else [],
        max(fold.samples.glob("*.png"), default=None))
