"""train: one fold to its validation. cross_validation: all folds of a model together."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import PathLike, default_configuration, planned_for
from autoseg.api.tasks import Task
from autoseg.digests import remembered_digests
from autoseg.errors import AutosegError, many
from autoseg.evaluation.cross_validation import Missing, missing_folds, number_of_folds, state_of
from autoseg.lock import locked
from autoseg.settings import chosen_settings
from autoseg.workspace import DatasetFolder, Workspace

if TYPE_CHECKING:
    from autoseg.trainers.job import FoldData, Job
    from autoseg.trainers.recipe import Recipe


@dataclass(frozen=True)
class TrainResult:
    """The result of training a fold. folder: of the fold. configuration: the one that was trained. summary: of its validation,
    and in_words: the same in a few words; None and "" for fold "all". failings: what it does not do at all, or worse than the
    model that it started from, in sentences."""

    folder: Path
    configuration: str
    summary: Any
    in_words: str = ""
    failings: tuple[str, ...] = ()


@dataclass(frozen=True)
class CrossValidation:
    """The state of a cross-validation. summary: of all folds' validation cases together, and its file; None while folds are
    missing. missing: what it lacks, and what to type for it. find_best: the words of `autoseg find-best` after the dataset;
    None where models of the task are not compared."""

    configuration: str
    recipe: str
    summary: Any
    path: Path
    find_best: tuple[str, ...] | None
    missing: tuple[Missing, ...] = ()


def train(
    dataset: PathLike, fold: int | str, configuration: str | None = None, recipe: str = "default", resume: bool = False,
    restart: bool = False, epochs: int | None = None, iterations: int | None = None, max_hours: float | None = None,
    device: str = "auto", settings: Mapping[str, Any] | None = None, name: str | None = None,
    workspace: PathLike | None = None, quiet: bool = False, pretrained: PathLike | None = None, gpus: int | None = None,
    batch_per_gpu: int | None = None,
) -> TrainResult:
    """Train one fold to its end and validate it; goes on where an earlier run stopped.

    fold: 0..4, or "all" (every case, no validation). configuration: None for the usual one of the recipe's task where it was
    planned (3d_fullres of a segmentation), else the first. resume: go on with an unfinished fold, whatever settings it was
    started with. restart: throw it away first. recipe: one of those that `recipes` lists, which also says what task is trained,
    or your own as "module:function". settings: values that change the recipe's own, by name, such as
    {"batch_size": 2}; `recipes` lists them. name: of the model's folder, and for find_best and predict; None for that of
    the recipe. pretrained: a trained model's folder, whose weights the training starts from; the dataset must be planned by it.
    gpus: train in so many processes, each on a GPU of its own, or on the CPU where device is "cpu"; None for this process, and
    with it the others where torchrun has started several. batch_per_gpu: makes the batch so large; None for that of the plan.
    Raises AutosegError where the dataset is not planned for the task, or what was asked for does not fit.
    """
    if resume and restart:
        raise AutosegError("--continue and --restart contradict each other. Give one of them.")
    from autoseg.distributed import is_torchrun, joined

    its: dict[str, Any] = {
        "dataset": dataset, "fold": fold, "configuration": configuration, "recipe": recipe, "resume": resume, "restart": restart,
        "epochs": epochs, "iterations": iterations, "max_hours": max_hours, "settings": settings or {}, "name": name,
        "workspace": workspace, "quiet": quiet, "pretrained": pretrained, "batch_per_gpu": batch_per_gpu}
    if min(1 if number is None else number for number in (gpus, batch_per_gpu)) < 1:
        raise AutosegError("gpus and batch_per_gpu are whole numbers of 1 or more.")
    if gpus is not None and is_torchrun():
        raise AutosegError("torchrun says how many processes there are: leave out --gpus.")
    if gpus is None or gpus == 1:
        with joined(device) as own_device:
            return _train_here(**its, device=own_device)
    from autoseg.launching import launch

    result: TrainResult = launch(gpus, device, _train_in_world, {**its, "device": device})
    return result


def _train_in_world(device: str, **its: Any) -> TrainResult:
    from autoseg.distributed import joined

    with joined(device) as own_device:
        return _train_here(**its, device=own_device)


def _train_here(
    dataset: PathLike, fold: int | str, configuration: str | None, recipe: str, resume: bool, restart: bool, epochs: int | None,
    iterations: int | None, max_hours: float | None, device: str, settings: Mapping[str, Any], name: str | None,
    workspace: PathLike | None, quiet: bool, pretrained: PathLike | None, batch_per_gpu: int | None,
) -> TrainResult:
    """Train in this process, as one of its world (see `train`)."""
    from autoseg.distributed import world

    if batch_per_gpu is not None and "batch_size" in settings:
        raise AutosegError("--batch-per-gpu and --set batch_size contradict each other. Give one of them.")
    if batch_per_gpu is not None:
        settings = {**settings, "batch_size": batch_per_gpu * world().size}
    task, found = tasks.find_recipe(recipe)
    require_configuration(task, recipe, configuration)
    folder = planned_for(dataset, Workspace.at(workspace), task)
    job = job_for(
        folder, task, found, configuration or default_configuration(folder, task), recipe, str(fold), settings,
        {"epochs": epochs, "iterations": iterations, "max_hours": max_hours,
         "pretrained": None if pretrained is None else str(pretrained)}, resume, device, name)
    with remembered_digests(folder.digests_json):
        return _train(job, task, restart, quiet or not world().is_main)


def require_configuration(task: Task, recipe: str, configuration: str | None) -> None:
    """Raise AutosegError where a configuration is another task's than the recipe's."""
    info = task.info
    if configuration in (None, *info.configurations):
        return
    other = next((other for other in tasks.task_infos() if configuration in other.configurations), None)
    if other is not None:
        raise AutosegError(f'The recipe "{recipe}" trains {info.plural}, and {configuration} is for {other.plural}: train with '
                           f"-tr {other.recipe}, or leave out -c.")
    if len(info.configurations) == 1:
        raise AutosegError(f'The recipe "{recipe}" trains on {info.configurations[0]}, and not on {configuration}. '
                           f"Leave out -c.")


def job_for(
    folder: DatasetFolder, task: Task, found: Recipe, configuration: str, recipe: str, fold: str,
    settings: Mapping[str, Any], flags: Mapping[str, Any] | None = None, resume: bool = False, device: str = "auto",
    name: str | None = None,
) -> Job[Any]:
    """Return the job of a fold. found: the recipe of the name `recipe`. settings, flags: change its own. resume: continue
    with those that the fold was started with. Raises AutosegError for settings and names that do not fit."""
    from autoseg.trainers.job import Job
    from autoseg.trainers.recipe import check_model_name

    check_model_name(name, recipe, tasks.recipes_of_all())
    defaults = task.trainer.defaults(found, folder)
    chosen = chosen_settings(settings, defaults, **(flags or {}))
    return Job(folder, task.info, configuration, recipe, found, fold, None if resume else chosen, defaults, device, name)


def _train(job: Job[Any], task: Task, restart: bool, quiet: bool) -> TrainResult:
    from autoseg.distributed import world
    from autoseg.trainers.fold import run_fold

    here = world()
    load_data = partial(task.trainer.load_data, job)
    with here.main_first():
        data = load_data()
    notes = task.trainer.check(job, data, begins=restart or state_of(job.fold_folder) == "missing")
    name = f"{job.configuration} {job.model.recipe} fold {job.fold}"
    here.wait()  # until all have seen the fold as it is
    with locked(job.fold_folder.lock, name) if here.is_main else contextlib.nullcontext():
        if here.is_main:
            _begin(job, data, notes, restart, quiet)
        here.wait()
        with console.progress(name, quiet) as report:
            steps = task.trainer.steps(job, data, report)
            summary = run_fold(job, steps, load_data,
                               lambda settings: None if quiet else console.show(_in_words(job, data, settings)))
    if summary is None:
        return TrainResult(job.fold_folder.root, job.configuration, None)
    failings = (*task.evaluation.failings(summary).values(), *steps.warnings(summary))
    if not quiet:
        console.show_all([*task.evaluation.shown(summary), *(f"Warning: {failing}." for failing in failings)])
    return TrainResult(job.fold_folder.root, job.configuration, summary, task.evaluation.result(summary), failings)


def _begin(job: Job[Any], data: FoldData[Any, Any], notes: list[str], restart: bool, quiet: bool) -> None:
    """Throw away what is not wanted any more, and say what the user should know."""
    from autoseg.trainers.job import changed_cases

    if job.fold_folder.checkpoint_final.exists() and not restart:
        notes.append(
            f"Fold {job.fold} of {job.configuration}, {job.model.recipe} is trained already "
            f"(--restart begins anew).")
    if restart and job.fold_folder.root.exists():
        shutil.rmtree(job.fold_folder.root)
    notes += changed_cases(job, data.cases_of(job.fold))
    if quiet:
        return
    for note in data.notes:
        console.show_once(note)  # a note on all folds
    console.show_all(notes)


def _in_words(job: Job[Any], data: FoldData[Any, Any], settings: Any) -> str:
    """Return what is trained on what, and where to. settings: those that the fold runs with."""
    from autoseg.device import device_in_words, resolve_device

    validated = f", {many(len(data.validation), 'case')} to validate on" if data.validation else ""
    steps = f"; {its}" if (its := data.in_words(settings)) else ""
    return (f"{job.configuration} {job.model.recipe} fold {job.fold}, on "
            f"{device_in_words(resolve_device(job.device), settings.precision)}: "
            f"{many(len(data.training), 'case')} to train on{validated}{steps}. Into {job.fold_folder.root}")


def cross_validation(
    dataset: PathLike, configuration: str | None = None, recipe: str = "default", workspace: PathLike | None = None,
    quiet: bool = False,
) -> CrossValidation:
    """Pool the validation cases of all folds of a model; or say which folds are missing, and the commands for them.

    recipe: or the name that the model was given.
    """
    trained = tasks.tasks_of_recipes().get(recipe) if configuration is None else None
    task = next((task for task in tasks.TASKS if configuration in task.info.configurations or task.info.name == trained),
                tasks.default_task())
    folder = planned_for(dataset, Workspace.at(workspace), task)
    model = folder.model(configuration or default_configuration(folder, task), recipe)
    folds = number_of_folds(folder.splits_of(task.info))
    missing, summary = tuple(missing_folds(folder, model, folds)), None
    if folds and not missing:
        summary = task.evaluation.pooled(model, folds)
        if not quiet:
            console.show(f"Cross-validation of {model.configuration}, {recipe}, all folds together:")
            console.show_all([*task.evaluation.shown(summary),
                              *(f"Warning: {failing}." for failing in task.evaluation.failings(summary).values())])
    find_best = None if not task.info.averages else () if task.info.is_default else ("-c", model.configuration)
    return CrossValidation(model.configuration, model.recipe, summary, model.summary_json, find_best, missing)
