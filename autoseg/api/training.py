"""train: one fold to its validation. cross_validation: all folds of a model together."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg import console
from autoseg.api.common import PathLike, default_configuration, planned_for
from autoseg.errors import AutosegError
from autoseg.evaluation.anomaly.cross_validation import pooled_detector_folds
from autoseg.evaluation.anomaly.summary import AnomalySummary
from autoseg.evaluation.anomaly.tables import anomaly_table
from autoseg.evaluation.cross_validation import Missing, missing_folds, number_of_folds, pooled_folds, state_of
from autoseg.evaluation.location.cross_validation import pooled_locator_folds
from autoseg.evaluation.location.summary import LocationSummary
from autoseg.evaluation.location.tables import in_words, location_table
from autoseg.evaluation.summary import Summary
from autoseg.evaluation.tables import summary_table
from autoseg.kinds import ANOMALY, LOCATION, Kind, kind_for, kind_of
from autoseg.task import TaskInfo
from autoseg.tasks.anomaly import INFO as ANOMALY_TASK
from autoseg.tasks.localization import INFO as LOCALIZATION
from autoseg.tasks.segmentation import INFO as SEGMENTATION
from autoseg.workspace import DatasetFolder, Workspace

if TYPE_CHECKING:
    from autoseg.trainers.job import FoldData, Job
    from autoseg.trainers.recipe import Recipe


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
    trained = trained_by(recipe)
    kind = _require_fitting(recipe, trained, configuration)
    folder = planned_for(str(dataset), place, kind)
    chosen = kind.configuration if kind else configuration or default_configuration(folder)
    job = job_for(folder, trained, chosen, recipe, str(fold), settings, flags, resume, device, name)
    return _train(job, trained.room, restart, quiet)


@dataclass(frozen=True)
class Trained:
    """What a recipe trains. task: what the model does. room: the task's module in `autoseg.trainers`."""

    recipe: Recipe
    task: TaskInfo
    room: Any


def rooms() -> dict[TaskInfo, Any]:
    """Return the modules that train models, by what these do."""
    from autoseg.trainers import anomaly, localization, segmentation

    return {SEGMENTATION: segmentation, ANOMALY_TASK: anomaly, LOCALIZATION: localization}


def all_recipes() -> dict[str, Recipe]:
    """Return the recipes of all tasks by name."""
    return {name: recipe for room in rooms().values() for name, recipe in room.RECIPES.items()}


def trained_by(recipe: str) -> Trained:
    """Return what a recipe trains: autoseg's or a user's own. Raises AutosegError as `find_recipe`, and where its settings are
    those of no task."""
    from autoseg.trainers.recipe import find_recipe

    found = find_recipe(recipe, all_recipes())
    for task, room in rooms().items():
        if isinstance(found.settings, room.SETTINGS):
            return Trained(found, task, room)
    classes = ", ".join(f"{room.__name__}.{room.SETTINGS.__name__}" for room in rooms().values())
    raise AutosegError(f'The recipe "{recipe}" has SETTINGS of the class {type(found.settings).__name__}. They must be of one of '
                       f"these classes, or of a subclass: {classes}.")


def _require_fitting(recipe: str, trained: Trained, configuration: str | None) -> Kind | None:
    """Return what the recipe trains, None for segmentation. Raises AutosegError where the configuration is of another kind."""
    kind, wanted = kind_for(trained.task.name), kind_of(configuration)
    if wanted is not None and kind != wanted:
        does = f"trains {kind.plural}" if kind else "segments"
        raise AutosegError(f'The recipe "{recipe}" {does}, and {wanted.configuration} is for {wanted.plural}: train with -tr '
                           f"{wanted.recipe}, or choose another configuration with -c.")
    if kind is not None and configuration not in (None, kind.configuration):
        raise AutosegError(f'The recipe "{recipe}" trains on {kind.configuration}, and not on {configuration}. Leave out -c.')
    return kind


def job_for(
    folder: DatasetFolder, trained: Trained, configuration: str, recipe: str, fold: str, assignments: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None, resume: bool = False, device: str = "auto", name: str | None = None,
) -> Job[Any]:
    """Return the job of a fold. assignments, flags: change the recipe's settings. resume: continue with those that the fold was
    started with. Raises AutosegError for settings and names that do not fit."""
    from autoseg.trainers.job import Job
    from autoseg.trainers.recipe import check_model_name
    from autoseg.trainers.settings import parse_settings

    check_model_name(name, recipe, all_recipes())
    defaults = trained.room.defaults(trained.recipe, folder)
    chosen = parse_settings(list(assignments), defaults, **(flags or {}))
    settings = None if resume else chosen
    return Job(folder, trained.task, configuration, recipe, trained.recipe, fold, settings, defaults, device, name)


def _train(job: Job[Any], room: Any, restart: bool, quiet: bool) -> TrainResult:
    from autoseg.trainers.fold import run_fold

    data = room.load_data(job)
    notes = room.check(job, data, begins=restart or state_of(job.fold_folder) == "missing")
    _begin(job, data, notes, restart, quiet)
    with console.progress(f"{job.configuration} {job.model.recipe} fold {job.fold}", quiet) as report:
        summary = run_fold(job, room.steps(job, data, report))
    if summary is not None and not quiet:
        _show(summary)
    return TrainResult(job.fold_folder.root, job.configuration, summary)


def _begin(job: Job[Any], data: FoldData[Any, Any], notes: list[str], restart: bool, quiet: bool) -> None:
    """Throw away what is not wanted any more, and say what the user should know."""
    from autoseg.trainers.job import changed_cases

    if job.fold_folder.checkpoint_final.exists() and not restart:
        notes.append(
            f"Fold {job.fold} of {job.configuration}, {job.model.recipe} is trained already (--restart begins anew).")
    if restart and job.fold_folder.root.exists():
        shutil.rmtree(job.fold_folder.root)
    notes += changed_cases(job, data.cases_of(job.fold))
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
