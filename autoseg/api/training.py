"""train: one fold to its validation. cross_validation: all folds of a model together."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg import console
from autoseg.api.common import PathLike, default_configuration, planned_for
from autoseg.console import Report
from autoseg.errors import AutosegError
from autoseg.evaluation.cross_validation import Missing, missing_folds, number_of_folds, pooled_folds, state_of
from autoseg.evaluation.summary import Summary
from autoseg.evaluation.tables import summary_table
from autoseg.kinds import ANOMALY, LOCATION, Kind, kind_for, kind_of
from autoseg.tasks.anomaly.cross_validation import pooled_detector_folds
from autoseg.tasks.anomaly.summary import AnomalySummary
from autoseg.tasks.anomaly.tables import anomaly_table
from autoseg.tasks.localization.cross_validation import pooled_locator_folds
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.localization.summary import LocationSummary
from autoseg.tasks.localization.tables import in_words, location_table
from autoseg.workspace import DatasetFolder, Workspace, read_model

if TYPE_CHECKING:
    from autoseg.trainers.anomaly.job import DetectorData
    from autoseg.trainers.job import FoldData, Job
    from autoseg.trainers.locator.job import LocatorData
    from autoseg.trainers.settings import TrainingSettings


@dataclass(frozen=True)
class TrainResult:
    """folder: of the fold. configuration: that was trained. summary: of its validation; None for fold "all"."""

    folder: Path
    configuration: str
    summary: Summary | AnomalySummary | LocationSummary | None


@dataclass(frozen=True)
class CrossValidation:
    """summary: of all folds' validation cases together, and its file; None while folds are missing.

    missing: what it lacks, and what to type for it.
    """

    configuration: str
    recipe: str
    summary: Summary | AnomalySummary | LocationSummary | None
    path: Path
    missing: tuple[Missing, ...] = ()


def train(
    dataset: PathLike, fold: int | str, configuration: str | None = None, recipe: str = "default", resume: bool = False,
    restart: bool = False, epochs: int | None = None, iterations: int | None = None, max_hours: float | None = None,
    device: str = "auto", settings: Sequence[str] = (), name: str | None = None, workspace: PathLike | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Train one fold to its end and validate it; goes on where an earlier run stopped.

    fold: 0..4, or "all" (every case, no validation). configuration: None for 3d_fullres where it was planned, else 2d; a
    detector of anomalies has "slices" alone, a locator "projection". resume: go on with an unfinished fold, whatever settings it
    was started with. restart: throw it away first. recipe: "default", "multiscale", "unet3plus", "anogan", "locator", or your
    own as "module:function". settings: "key=value" texts that change the recipe's own; see `autoseg.trainers.settings`. name: of
    the model's folder, and for find_best and predict; None for that of the recipe.
    """
    if resume and restart:
        raise AutosegError("--continue and --restart contradict each other. Give one of them.")
    place = Workspace.at(workspace)
    flags = {"epochs": epochs, "iterations": iterations, "max_hours": max_hours}
    kind = _require_fitting(recipe, configuration)
    folder = planned_for(str(dataset), place, kind)
    chosen = kind.configuration if kind else configuration or default_configuration(folder)
    return TRAIN[kind](_job(recipe, chosen, fold, settings, flags, resume, device, name, folder), restart, quiet)


def _require_fitting(recipe: str, configuration: str | None) -> Kind | None:
    """What the recipe trains, None for segmentation. Raises AutosegError where the configuration is of another kind."""
    from autoseg.trainers.recipes import find_recipe

    trained = find_recipe(recipe).trains
    kind, wanted = kind_for(trained), kind_of(configuration)
    if wanted is not None and kind != wanted:
        does = f"trains {kind.plural}" if kind else "segments"
        raise AutosegError(f'The recipe "{recipe}" {does}, and {wanted.configuration} is for {wanted.plural}: train with -tr '
                           f"{wanted.recipe}, or choose another configuration with -c.")
    if kind is not None and configuration not in (None, kind.configuration):
        raise AutosegError(f'The recipe "{recipe}" trains on {kind.configuration}, and not on {configuration}. Leave out -c.')
    return kind


def _job(
    recipe: str, configuration: str, fold: int | str, assignments: Sequence[str], flags: dict[str, Any], resume: bool,
    device: str, name: str | None, folder: DatasetFolder,
) -> Job[Any]:
    from autoseg.trainers.job import Job
    from autoseg.trainers.settings import parse_settings

    chosen = parse_settings(list(assignments), _recipe_settings(recipe, folder), **flags)
    return Job(folder, configuration, recipe, str(fold), None if resume else chosen, device, name)


def _recipe_settings(recipe: str, folder: DatasetFolder) -> TrainingSettings:
    """The recipe's own, which a plan may say something of, too."""
    from autoseg.trainers.recipes import find_recipe, locator_defaults

    found = find_recipe(recipe)
    if found.trains == LOCATION.task:
        return locator_defaults(recipe, read_model(folder.projection_json, ProjectionPlans))
    return found.settings


def _train_segmentation(job: Job[Any], restart: bool, quiet: bool) -> TrainResult:
    from autoseg.trainers.fold import train_fold
    from autoseg.trainers.job import check_job, load_fold_data

    data = load_fold_data(job)
    _begin(job, data, check_job(job, data, begins=_begins(job, restart)), restart, quiet)
    return _train(job, partial(train_fold, job, data), quiet)


def _train_detector(job: Job[Any], restart: bool, quiet: bool) -> TrainResult:
    from autoseg.trainers.anomaly.fold import train_detector_fold
    from autoseg.trainers.anomaly.job import check_detector_job, load_detector_data

    data = load_detector_data(job)
    _begin(job, data, check_detector_job(job, data, begins=_begins(job, restart)), restart, quiet)
    return _train(job, partial(train_detector_fold, job, data), quiet)


def _train_locator(job: Job[Any], restart: bool, quiet: bool) -> TrainResult:
    from autoseg.trainers.locator.fold import train_locator_fold
    from autoseg.trainers.locator.job import check_locator_job, load_locator_data

    data = load_locator_data(job)
    _begin(job, data, check_locator_job(job, data, begins=_begins(job, restart)), restart, quiet)
    return _train(job, partial(train_locator_fold, job, data), quiet)


TRAIN: dict[Kind | None, Callable[[Job[Any], bool, bool], TrainResult]] = {
    None: _train_segmentation, ANOMALY: _train_detector, LOCATION: _train_locator}


def _train(job: Job[Any], train_it: Callable[[Report], Any], quiet: bool) -> TrainResult:
    with console.progress(f"{job.configuration} {job.model.recipe} fold {job.fold}", quiet) as report:
        summary = train_it(report)
    if summary is not None and not quiet:
        _show(summary)
    return TrainResult(job.fold_folder.root, job.configuration, summary)


def _begins(job: Job[Any], restart: bool) -> bool:
    return restart or state_of(job.fold_folder) == "missing"


def _begin(job: Job[Any], data: FoldData | DetectorData | LocatorData, notes: list[str], restart: bool, quiet: bool) -> None:
    """Throw away what is not wanted any more, and say what the user should know."""
    from autoseg.trainers.cases import changed_cases

    if job.fold_folder.checkpoint_final.exists() and not restart:
        notes.append(
            f"Fold {job.fold} of {job.configuration}, {job.model.recipe} is trained already (--restart begins anew).")
    if restart and job.fold_folder.root.exists():
        shutil.rmtree(job.fold_folder.root)
    notes += changed_cases(job.fold_folder, data.cases_of(job.fold))
    if quiet:
        return
    for note in data.notes:
        console.show_once(note)  # of all folds
    for note in notes:
        console.show(note)


def cross_validation(
    dataset: PathLike, configuration: str | None = None, recipe: str = "default", workspace: PathLike | None = None,
    quiet: bool = False,
) -> CrossValidation:
    """The validation cases of all folds of a model together; or which folds are missing, and the commands for them.

    recipe: or the name that the model was given.
    """
    place = Workspace.at(workspace)
    kind = kind_of(configuration)
    folder = planned_for(str(dataset), place, kind)
    model = folder.model(configuration or default_configuration(folder), recipe)
    folds = number_of_folds(folder, model.configuration)
    missing = tuple(missing_folds(folder, model, folds))
    if missing or not folds:
        return CrossValidation(model.configuration, model.recipe, None, model.summary_json, missing)
    summary: Summary | AnomalySummary | LocationSummary
    if kind == ANOMALY:
        summary = pooled_detector_folds(model, folds)
    elif kind == LOCATION:
        summary = pooled_locator_folds(model, folds)
    else:
        summary = pooled_folds(model, folds)
    if not quiet:
        console.show(f"Cross-validation of {model.configuration}, {recipe}, all folds together:")
        _show(summary)
    return CrossValidation(model.configuration, model.recipe, summary, model.summary_json)


def _show(summary: Summary | AnomalySummary | LocationSummary) -> None:
    if isinstance(summary, LocationSummary):
        console.show(location_table(summary))
        for words in in_words(summary):
            console.show(words)
    else:
        console.show(anomaly_table(summary) if isinstance(summary, AnomalySummary) else summary_table(summary))
