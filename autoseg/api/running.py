"""run: from a dataset to its report, in one command that goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import PathLike, several
from autoseg.api.planning import folder_for, plan_options, plan_where_needed
from autoseg.api.reporting import report as make_report
from autoseg.api.selection import find_best, is_current
from autoseg.api.tasks import Task
from autoseg.api.training import cross_validation, job_for, require_configuration, train
from autoseg.best import Best
from autoseg.console import ShowProgress
from autoseg.dataset import find_dataset, load_dataset
from autoseg.digests import file_digest
from autoseg.errors import AutosegError, many
from autoseg.evaluation.cross_validation import state_of
from autoseg.files import remove_leftovers
from autoseg.provenance import Origin
from autoseg.steps import Step, Steps, read_record
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, read_model

if TYPE_CHECKING:
    from autoseg.trainers.job import Job

PLAN, FIND_BEST, REPORT = "plan", "find-best", "report"
KEPT_FOR_THE_END = 0.05  # share of --max-hours that finding the best and the report may take


@dataclass(frozen=True)
class RunResult:
    """The result of a run. best: the choice; None where models of the task are not compared. models: those that are trained.
    report: the page to open."""

    best: Best | None
    models: list[ModelFolder]
    report: Path


@dataclass(frozen=True)
class _Fold:
    """A fold of one model that is to be trained."""

    model: ModelFolder
    fold: str

    @property
    def step(self) -> str:
        return f"{self.model.configuration} {self.model.recipe} fold {self.fold}"

    @property
    def is_complete(self) -> bool:
        """Tell whether it is trained and validated, and usable: the model is described."""
        return state_of(self.model.fold(self.fold)) == "complete" and self.model.model_json.exists()

    @property
    def is_begun(self) -> bool:
        """Tell whether it goes on with the settings that it was started with."""
        return state_of(self.model.fold(self.fold)) != "missing"


@dataclass(frozen=True)
class _Wanted:
    """The settings that all folds are to be trained with."""

    epochs: int | None
    iterations: int | None
    settings: Sequence[str]
    max_hours: float | None
    device: str
    workspace: PathLike | None

    def job(self, folder: DatasetFolder, configuration: str, recipe: str) -> Job[Any]:
        """Return the job of fold 0 with these settings. Raises AutosegError that names what is wrong."""
        task, found = tasks.find_recipe(recipe)
        flags = {"epochs": self.epochs, "iterations": self.iterations, "max_hours": self.max_hours}
        return job_for(folder, task, found, configuration, recipe, "0", self.settings, flags, device=self.device)


def run(
    dataset: PathLike, max_hours: float | None = None, recipes: Sequence[str] = ("default",), epochs: int | None = None,
    iterations: int | None = None, settings: Sequence[str] = (), skip_bad_cases: bool = False, workers: int | None = None,
    device: str = "auto", planner: str | None = None, workspace: PathLike | None = None, quiet: bool = False, **options: Any,
) -> RunResult:
    """Plan, train every fold of every configuration and recipe, find the best where the task has ensembles, write the report.

    recipes: all of one task. What an earlier run finished stays: plans that fit the dataset, preprocessed cases, folds,
    predictions of ensembles, best.json; an unfinished fold goes on with the settings that it was started with. max_hours: of all
    runs together, divided evenly over the folds that are left; a twentieth is kept for the end. options: of planning, such as
    configurations=["2d"]; the other arguments are those of `plan_and_preprocess` and `train`.
    Raises AutosegError where a step cannot be done, or the hours are over before every fold was trained.
    """
    wanted = _Wanted(epochs, iterations, settings, max_hours, device, workspace)
    recipes = tuple(dict.fromkeys(recipes))
    task = _check(wanted, recipes, planner, options)
    place = Workspace.at(workspace)
    source = load_dataset(find_dataset(str(dataset), place))
    folder = folder_for(source, place)
    remove_leftovers(folder.root)
    with console.progress(f"autoseg run {source.name}", quiet, read_record(folder.run_of(task.info)).spent_s) as overall:
        with Steps(folder.run_of(task.info), _before_planning(max_hours)).run(PLAN, overall) as report, console.inside(report):
            result = plan_where_needed(task, source, folder, options, planner, workers, skip_bad_cases, quiet)
            if result.failed:
                listed = "\n".join(f"  {reason}" for reason in result.failed.values())
                raise AutosegError(f"{many(len(result.failed), 'case')} of {folder.name} could not be preprocessed:\n{listed}")
        folds = _folds(folder, task, result.configurations, recipes, wanted, quiet)
        steps = Steps(folder.run_of(task.info), _steps(task, folds, max_hours))
        steps.know({fold.step: fold.is_complete for fold in folds})
        _train(folder, folds, steps, wanted, overall, quiet)
        models = list(dict.fromkeys(fold.model for fold in folds))
        made_from = _finish(folder, task, models, recipes, steps, wanted, workers, overall, quiet)
        if not folder.report_html.exists() or not steps.is_made_from(REPORT, made_from):
            with steps.run(REPORT, overall, made_from) as report, console.inside(report):
                make_report(source.name, workspace=workspace, quiet=True)
        overall(1.0, "")
    return RunResult(read_model(folder.best_json, Best) if task.info.averages else None, models, folder.report_html)


def _check(wanted: _Wanted, recipes: Sequence[str], planner: str | None, options: dict[str, Any]) -> Task:
    """Return the task of the recipes. Say what is wrong with the flags now, not after hours of planning and training."""
    from autoseg.device import resolve_device

    resolve_device(wanted.device)
    found = {name: tasks.find_recipe(name)[0] for name in recipes}
    task = found[recipes[0]]
    if others := [name for name, other in found.items() if other.info != task.info]:
        raise AutosegError(f"The recipe {recipes[0]} trains {task.info.plural}, and {others[0]} {found[others[0]].info.plural}. "
                           "Run them one after the other.")
    if planner is not None and tasks.task_of_planner(planner).info != task.info:
        raise AutosegError(f"The planner {planner} plans for {tasks.task_of_planner(planner).info.plural}, but the recipe "
                           f"{recipes[0]} trains {task.info.plural}. Leave out --planner, or choose another recipe with -tr.")
    plan_options(task, planner or task.info.planner, options, "choose another recipe with -tr")
    for configuration in several(options.get("configurations")):
        require_configuration(task, recipes[0], configuration)
    return task


def _folds(
    folder: DatasetFolder, task: Task, configurations: Sequence[str], recipes: Sequence[str], wanted: _Wanted, quiet: bool
) -> list[_Fold]:
    """Return every fold of every model, one model after the other; show what the user should know about splits, networks, old
    folds. Raises AutosegError for what cannot be trained: now, and not when its turn comes."""
    folds, notes = [], []
    for configuration in configurations:
        for recipe in recipes:
            job = wanted.job(folder, configuration, recipe)
            data = task.trainer.load_data(job)
            its_folds = [_Fold(folder.model(configuration, recipe), str(fold)) for fold in range(data.folds)]
            first = next((fold.fold for fold in its_folds if not fold.is_begun), None)
            told = task.trainer.check(replace(job, fold=first or "0"), data, begins=first is not None)
            folds += its_folds
            notes += [*data.notes, *task.trainer.check_begun(job, data), *(f"{configuration}, {recipe}: {note}" for note in told)]
    if not quiet:
        console.show_all(dict.fromkeys(notes))
    return folds


def _finish(
    folder: DatasetFolder, task: Task, models: Sequence[ModelFolder], recipes: Sequence[str], steps: Steps, wanted: _Wanted,
    workers: int | None, overall: ShowProgress, quiet: bool,
) -> str:
    """Find the best of the models, or pool each cross-validation where they are not compared; return the digest of what the
    report is then made from."""
    if not task.info.averages:
        for model in models:
            cross_validation(folder.name, model.configuration, model.recipe, wanted.workspace, quiet)
        return Origin.of(summaries=[file_digest(model.summary_json) for model in models]).digest
    if not is_current(folder, task, models):
        with steps.run(FIND_BEST, overall) as report, console.inside(report):
            find_best(folder.name, [model.configuration for model in models], recipes, device=wanted.device, workers=workers,
                      workspace=wanted.workspace, quiet=quiet)
    return file_digest(folder.best_json)


def _train(
    folder: DatasetFolder, folds: Sequence[_Fold], steps: Steps, wanted: _Wanted, overall: ShowProgress, quiet: bool
) -> None:
    """Train what is not complete, in order; folds that were begun go on with their own settings."""
    waiting = [fold for fold in folds if not fold.is_complete]
    if len(waiting) < len(folds) and not quiet:
        console.show(f"{len(folds) - len(waiting)} of {len(folds)} folds are trained already and stay as they are (autoseg_train "
                     "--restart begins one anew).")
    for number, fold in enumerate(waiting):
        if fold.is_begun and not quiet:
            console.show(f"{fold.step} goes on with the settings that it was started with.")
        hours = None if fold.is_begun else _hours(wanted.max_hours, steps.spent_s, len(waiting) - number, len(folds))
        with steps.run(fold.step, overall) as report, console.inside(report):
            result = train(
                folder.name, fold.fold, fold.model.configuration, fold.model.recipe, resume=fold.is_begun, epochs=wanted.epochs,
                iterations=wanted.iterations, max_hours=hours, device=wanted.device, settings=wanted.settings,
                workspace=wanted.workspace, quiet=True)
        if result.in_words and not quiet:
            console.show_all([f"{fold.step}: {result.in_words}", *(f"Warning: {failing}." for failing in result.failings)])


def _hours(max_hours: float | None, spent_s: float, waiting: int, folds: int) -> float | None:
    """Return the hours of the next fold: an even part of what is left. Raises AutosegError where nothing is left."""
    if max_hours is None:
        return None
    left = max_hours * (1 - KEPT_FOR_THE_END) - spent_s / 3600
    if left <= 0:
        raise AutosegError(
            f"The {max_hours:g} hours are over, and {waiting} of {folds} folds are not trained. What was finished stays: give "
            "more hours with --max-hours (those of earlier runs count), or fewer configurations with -c.")
    return left / waiting


def _before_planning(max_hours: float | None) -> list[Step]:
    return [Step(PLAN, PLAN, 60), Step("all that follows", "all", 3600 * (max_hours or 1), max_hours is None)]


def _steps(task: Task, folds: Sequence[_Fold], max_hours: float | None) -> list[Step]:
    """Return all steps. Folds are expected to take as long as they may; else nothing is known until one was measured."""
    unknown = max_hours is None
    fold_s = 3600 * (max_hours * (1 - KEPT_FOR_THE_END) / len(folds) if max_hours else 1)
    training = [Step(fold.step, f"{fold.model.configuration} {fold.model.recipe}", fold_s, unknown) for fold in folds]
    comparing = [Step(FIND_BEST, FIND_BEST, 0.03 * fold_s * len(folds), unknown)] if task.info.averages else []
    return [Step(PLAN, PLAN, 60), *training, *comparing, Step(REPORT, REPORT, 10)]
