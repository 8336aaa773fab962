"""All that lies on disk for a dataset, read as far as it is there; what is missing or damaged hides nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoseg.best import Best, Member, member_of, model_name
from autoseg.dataset import Dataset
from autoseg.errors import AutosegError
from autoseg.evaluation.cross_validation import USUAL_FOLDS, State, fold_states, number_of_folds
from autoseg.evaluation.report.apart import AnyModelApart
from autoseg.evaluation.report.detectors import AnomalyArtefacts, read_anomaly_artefacts
from autoseg.evaluation.report.locators import LocationArtefacts, read_location_artefacts
from autoseg.evaluation.report.reading import model_if_there, read_if_there
from autoseg.evaluation.summary import Summary, pooled_summary
from autoseg.fingerprint import Fingerprint
from autoseg.kinds import ANOMALY, KINDS, LOCATION, Kind
from autoseg.plan import Plans
from autoseg.steps import RunRecord
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.training_log import Epoch, read_log
from autoseg.verification.findings import Finding, read_findings
from autoseg.workspace import DatasetFolder, FoldFolder, ModelFolder, read_json, read_model


@dataclass(frozen=True)
class Fold:
    """A fold of a model. log: its epochs so far. summary: of its validation. state: None for the fold "all"."""

    name: str
    state: State | None
    log: list[Epoch]
    summary: Summary | None


@dataclass(frozen=True)
class Model:
    """Folds of one configuration and recipe. description: content of model.json. summary: all cases validated so far."""

    configuration: str
    recipe: str
    description: dict[str, Any]
    folds: list[Fold]
    summary: Summary | None

    @property
    def name(self) -> str:
        """See `autoseg.best.model_name`."""
        return model_name(self.configuration, self.recipe)


@dataclass
class Artefacts:
    """What was found. plans: for segmentation; anomaly: of its slices and their detectors; location: of its projections and their
    locators; each None where the dataset was not planned so. troubles: in words, files that are there and could not be read.
    fold_count: folds of a whole cross-validation. is_outdated: whether `best` was chosen for other weights than those of today.
    ensemble: validation of the chosen ensemble; postprocessed: of the choice after its rules."""

    folder: DatasetFolder
    plans: Plans | None = None
    anomaly: AnomalyArtefacts | None = None
    location: LocationArtefacts | None = None
    dataset: Dataset | None = None
    fingerprint: Fingerprint | None = None
    findings: list[Finding] | None = None
    fold_count: int = USUAL_FOLDS
    models: list[Model] = field(default_factory=list)
    best: Best | None = None
    is_outdated: bool = False
    ensemble: Summary | None = None
    postprocessed: Summary | None = None
    run: RunRecord | None = None
    troubles: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The dataset's."""
        planned = [self.plans, *(its.plans for its in (self.anomaly, self.location) if its)]
        return next((plans.dataset for plans in planned if plans), self.folder.name)

    @property
    def apart(self) -> dict[Kind, Sequence[AnyModelApart]]:
        """The models of each kind apart that the dataset was planned for."""
        found: dict[Kind, Sequence[AnyModelApart]] = {}
        if self.anomaly is not None:
            found[ANOMALY] = self.anomaly.detectors
        if self.location is not None:
            found[LOCATION] = self.location.locators
        return found


def read_artefacts(folder: DatasetFolder) -> Artefacts:
    """Everything of a planned dataset. Raises AutosegError where it has not been planned, or its plans are damaged; notes other
    damage."""
    if not any(folder.plans_of(kind).exists() for kind in (None, *KINDS)):
        raise AutosegError(
            f"{folder.name} has not been planned: {folder.plans_json} does not exist. Run: autoseg_plan_and_preprocess "
            f"{folder.name}")
    found = Artefacts(folder)
    if folder.plans_json.exists():
        found.plans = read_model(folder.plans_json, Plans)
    if (slices := model_if_there(found.troubles, folder.slices_json, SlicePlans)) is not None:
        found.anomaly = read_anomaly_artefacts(folder, slices, found.troubles)
    if (projections := model_if_there(found.troubles, folder.projection_json, ProjectionPlans)) is not None:
        found.location = read_location_artefacts(folder, projections, found.troubles)
    if not (found.plans or found.anomaly or found.location):
        raise AutosegError(found.troubles[0])
    found.dataset = model_if_there(found.troubles, folder.dataset_json, Dataset)
    found.fingerprint = model_if_there(found.troubles, folder.fingerprint_json, Fingerprint)
    found.findings = read_if_there(found.troubles, folder.findings_json, read_findings)
    found.fold_count = read_if_there(found.troubles, folder.splits_json, lambda path: number_of_folds(folder)) or USUAL_FOLDS
    found.models = [_read_one_model(found, model) for model in folder.models()]
    found.best = model_if_there(found.troubles, folder.best_json, Best)
    found.run = model_if_there(found.troubles, folder.run_json, RunRecord)
    if found.best is not None:
        found.is_outdated = not all(_is_of_today(folder, member) for member in found.best.members)
        if len(found.best.members) > 1:
            found.ensemble = _summary(found, folder.ensemble(found.best.name))
        if found.best.postprocessing:
            found.postprocessed = _summary(found, folder.postprocessed)
    return found


def _summary(found: Artefacts, folder: Path) -> Summary | None:
    """The summary.json beside predictions, which lie there, wherever the workspace lay when they were made."""
    summary = model_if_there(found.troubles, folder / "summary.json", Summary)
    if summary is None:
        return None
    return summary.model_copy(update={"metric_per_case": tuple(
        case.model_copy(update={"prediction_file": str(folder / Path(case.prediction_file).name)})
        for case in summary.metric_per_case)})


def _is_of_today(folder: DatasetFolder, member: Member) -> bool:
    try:
        return member_of(folder.model(member.configuration, member.recipe), member.weights) == member
    except AutosegError:
        return False  # a fold is gone


def _read_one_model(found: Artefacts, model: ModelFolder) -> Model:
    states: dict[str, State | None] = {state.fold: state.state for state in fold_states(model, found.fold_count)}
    if model.fold("all").root.is_dir():
        states = {"all": None, **(states if set(states.values()) != {"missing"} else {})}
    folds = [_read_fold(found, model.fold(name), name, state) for name, state in states.items()]
    summary = _pooled(found, [fold.summary for fold in folds if fold.summary is not None])
    description = read_if_there(found.troubles, model.model_json, _read_object) or {}
    return Model(model.configuration, model.recipe, description, folds, summary)


def _pooled(found: Artefacts, summaries: list[Summary]) -> Summary | None:
    """Anew, as folds may have been finished or trained again since find-best wrote it."""
    try:
        return pooled_summary(summaries) if summaries else None
    except AutosegError as error:
        found.troubles.append(str(error))
        return None


def _read_object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise AutosegError(f"{path} holds no object.")
    return content


def _read_fold(found: Artefacts, fold: FoldFolder, name: str, state: State | None) -> Fold:
    log = read_if_there(found.troubles, fold.log_jsonl, read_log) or []
    return Fold(name, state, log, _summary(found, fold.validation))


@dataclass(frozen=True)
class Answer:
    """The validation of what prediction uses. name: whose. is_final: chosen by find-best, its rules applied; otherwise what
    there is so far."""

    name: str
    summary: Summary
    is_final: bool


def answer(found: Artefacts) -> Answer | None:
    """What was chosen, or as long as nothing is, the model with the highest mean Dice; None without any validation."""
    if found.best is not None:
        name = found.best.name
        if found.postprocessed is not None:
            return Answer(f"{name}, post-processed", found.postprocessed, True)
        before = found.ensemble or next((model.summary for model in found.models if model.name == name), None)
        if before is not None:
            return Answer(name, before, not found.best.postprocessing)
    validated = [(model, model.summary) for model in found.models if model.summary is not None]
    if not validated:
        return None
    model, summary = max(validated, key=lambda entry: entry[1].foreground_mean.get("Dice", float("nan")))
    return Answer(model.name, summary, False)
