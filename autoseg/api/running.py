"""run: from a dataset to its report, in one command that goes on where it was stopped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
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
from autoseg.bounds import whole_number
from autoseg.console import ShowProgress
from autoseg.dataset import Dataset, find_dataset, load_dataset
from autoseg.digests import file_digest
from autoseg.errors import AutosegError, many
from autoseg.evaluation.cross_validation import state_of
from autoseg.files import remove_leftovers, write_json
from autoseg.lock import locked
from autoseg.provenance import Origin
from autoseg.settings import as_texts
from autoseg.steps import Asked, RunRecord, Step, Steps, read_record
from autoseg.wording import moment
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
    """A request for a run. asked: all that is to be trained. given: the part of it that was given this time."""

    asked: Asked
    given: Asked
    device: str
    workspace: PathLike | None

    @property
    def recipes(self) -> tuple[str, ...]:
        return self.asked.recipes

    def job(self, folder: DatasetFolder, configuration: str, recipe: str) -> Job[Any]:
        """Return the job of fold 0 with these settings. Raises AutosegError that names what is wrong."""
        task, found = tasks.find_recipe(recipe)
        asked = self.asked
        flags = {"epochs": asked.epochs, "iterations": asked.iterations, "max_hours": asked.max_hours}
        return job_for(folder, task, found, configuration, recipe, "0", asked.settings, flags, device=self.device,
                       name=asked.name)


def run(
    dataset: PathLike, max_hours: float | None = None, recipes: Sequence[str] = (), epochs: int | None = None,
    iterations: int | None = None, settings: Mapping[str, Any] | None = None, skip_bad_cases: bool = False,
    workers: int | None = None, device: str = "auto", planner: str | None = None, workspace: PathLike | None = None,
    quiet: bool = False, name: str | None = None, resume: bool = False, restart: bool = False, **options: Any,
) -> RunResult:
    """Plan, train every fold of every configuration and recipe, find the best where the task has ensembles, write the report.

    recipes: all of one task; () for those of the latest run, else "default". What is not given is as the latest run of these
    recipes was asked for it. What an earlier run finished stays: plans that fit the dataset, preprocessed cases, folds,
    predictions of ensembles, best.json; an unfinished fold goes on with the settings that it was started with. max_hours: of all
    runs together, divided evenly over the folds that are left; a twentieth is kept for the end. options: of planning, such as
    configurations=["2d"]; the other arguments are those of `plan_and_preprocess` and `train`.
    name: of the model, where it is not the recipe's. resume: go on as it was begun, whatever else is given. restart: throw away
    the folds of these models first.
    Raises AutosegError where a step cannot be done, where folds were begun with other settings than those given, or the hours are
    over before every fold was trained.
    """
    place = Workspace.at(workspace)
    source = load_dataset(find_dataset(str(dataset), place))
    folder = folder_for(source, place)
    its = {key: value for key, value in {"planner": planner, **options}.items() if value is not None}
    if (pretrained := its.get("pretrained")) is not None:  # planning follows it, and training starts from it
        settings = {**(settings or {}), "pretrained": str(Path(pretrained).resolve())}
    given = Asked(recipes=tuple(dict.fromkeys(recipes)), name=name, options=its, epochs=epochs, iterations=iterations,
                  settings=as_texts(settings or {}), max_hours=max_hours, skip_bad_cases=skip_bad_cases)
    asked = _as_begun(folder, given, resume, restart, quiet)
    wanted = _Wanted(asked, given, device, workspace)
    task = _check(wanted, asked.recipes, asked.options.get("planner"), _but_planner(asked.options))
    with locked(folder.lock_of(f"run{task.info.suffix}"), f"autoseg run {folder.name}"):
        remove_leftovers(folder.root)
        if restart:
            _throw_away(folder, task, asked)
        return _run(source, folder, task, wanted, workers, quiet)


def _run(
    source: Dataset, folder: DatasetFolder, task: Task, wanted: _Wanted, workers: int | None, quiet: bool
) -> RunResult:
    """Do what is not done yet."""
    asked, recipes, max_hours = wanted.asked, wanted.recipes, wanted.asked.max_hours
    options = asked.options
    if folder.plans_of(task.info).exists():  # planning keeps what it was asked for, but which configurations are meant
        options = {key: value for key, value in options.items() if key == "configurations" or key in wanted.given.options}
    with console.progress(f"autoseg run {source.name}", quiet, read_record(folder.run_of(task.info)).spent_s) as overall:
        first = Steps(folder.run_of(task.info), _before_planning(max_hours), asked)
        with first.run(PLAN, overall) as report, console.inside(report):
            with locked(folder.lock_of("planning"), f"The planning of {folder.name}"):
                result = plan_where_needed(task, source, folder, _but_planner(options), options.get("planner"), workers,
                                           asked.skip_bad_cases, quiet)
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
                make_report(source.name, workspace=wanted.workspace, quiet=True)
        overall(1.0, "")
    return RunResult(read_model(folder.best_json, Best) if task.info.averages else None, models, folder.report_html)


def _as_begun(folder: DatasetFolder, given: Asked, resume: bool, restart: bool, quiet: bool) -> Asked:
    """Return what is asked for: what is given, the rest as the latest run of the same models was asked for it.

    Raises AutosegError where folds of these models were begun with other settings, which it names.
    """
    if resume and restart:
        raise AutosegError("--continue and --restart contradict each other. Give one of them.")
    if given.name is not None and len(given.recipes) > 1:
        raise AutosegError("--name names one model, but several recipes are given with -tr. Run them one after the other.")
    now = given.model_copy(update={"at": datetime.now().astimezone().isoformat(timespec="seconds")})
    earlier = [read_record(folder.run_of(info)).asked for info in tasks.task_infos()]
    same = [asked for asked in earlier if asked.recipes and given.recipes in ((), asked.recipes) and given.name in (
        (asked.name,) if given.recipes else (None, asked.name))]
    if not same:
        latest = max(earlier, key=lambda asked: asked.at).recipes if given.name else ()  # a name beside the run that was begun
        recipes = given.recipes or (latest if len(latest) == 1 else (tasks.default_task().info.recipe,))
        return now.model_copy(update={"recipes": recipes})
    then = max(same, key=lambda asked: asked.at)
    wanted = now.after(then)
    begun = [model for model in folder.models() if model.recipe in _names(wanted) and model.begun_folds()]
    if begun and resume:
        wanted = wanted.model_copy(update={"epochs": then.epochs, "iterations": then.iterations, "settings": then.settings})
    elif begun and not restart and (changed := then.training.differences(wanted.training)):
        raise AutosegError(
            f"The run of {folder.name} was begun with other settings: {', '.join(changed)}. Go on as it was begun: autoseg run "
            f"{folder.name}; train a model of its own beside it with --name; or throw away its folds and begin anew with "
            "--restart.")
    if not quiet:
        console.show(f"Goes on as the run of {moment(then.at)} was asked for: {_in_words(wanted)}.")
    return wanted


def _names(asked: Asked) -> tuple[str, ...]:
    """Return the names of the models' folders."""
    return asked.recipes if asked.name is None else (asked.name,)


def _in_words(asked: Asked) -> str:
    """Return what is asked for as flags."""
    settings = dict(asked.settings)
    facts = {"-tr": asked.recipes, "--name": asked.name, "--from": settings.pop("pretrained", None),
             "-c": asked.options.get("configurations"), "--epochs": asked.epochs, "--iterations": asked.iterations,
             "--max-hours": asked.max_hours}
    flags = [f"{flag} {' '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"
             for flag, value in facts.items() if value]
    return " ".join([*flags, *(f"--set {key}={value}" for key, value in settings.items())])


def _but_planner(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "planner"}


def _throw_away(folder: DatasetFolder, task: Task, asked: Asked) -> None:
    """Remove the folds of the models that are asked for, and the times of their steps."""
    chosen = asked.options.get("configurations")
    for model in folder.models_of(task.info):
        if model.recipe in _names(asked) and (chosen is None or model.configuration in chosen):
            for fold in (model.fold(name) for name in model.begun_folds() if whole_number(name) is not None):
                with locked(fold.lock, f"{model.configuration} {model.recipe} {fold.root.name}"):
                    shutil.rmtree(fold.root)
    write_json(folder.run_of(task.info), RunRecord(asked=asked))


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
            its_folds = [_Fold(job.model, str(fold)) for fold in range(data.folds)]
            first = next((fold.fold for fold in its_folds if not fold.is_begun), None)
            told = task.trainer.check(
                replace(job, fold=first or "0", before=tuple(configurations)), data, begins=first is not None)
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
            find_best(folder.name, [model.configuration for model in models], [model.recipe for model in models],
                      device=wanted.device, workers=workers, workspace=wanted.workspace, quiet=quiet)
    return file_digest(folder.best_json)


def _train(
    folder: DatasetFolder, folds: Sequence[_Fold], steps: Steps, wanted: _Wanted, overall: ShowProgress, quiet: bool
) -> None:
    """Train what is not complete, in order; folds that were begun go on with their own settings."""
    waiting = [fold for fold in folds if not fold.is_complete]
    if len(waiting) < len(folds) and not quiet:
        console.show(f"{len(folds) - len(waiting)} of {len(folds)} folds are trained already and stay as they are (autoseg_train "
                     "--restart begins one anew).")
    if waiting and not quiet:
        from autoseg.device import device_in_words, resolve_device

        models = ", ".join(dict.fromkeys(f"{fold.model.configuration} {fold.model.recipe}" for fold in waiting))
        console.show(f"{folder.name}: {many(len(waiting), 'fold')} to train of {models}, on "
                     f"{device_in_words(resolve_device(wanted.device))}. Into {folder.root}")
    for number, fold in enumerate(waiting):
        if fold.is_begun and not quiet:
            console.show(f"{fold.step} goes on with the settings that it was started with.")
        asked = wanted.asked
        hours = None if fold.is_begun else _hours(asked.max_hours, steps.spent_s, len(waiting) - number, len(folds))
        with steps.run(fold.step, overall) as report, console.inside(report):
            result = train(
                folder.name, fold.fold, fold.model.configuration, asked.recipes[0] if asked.name else fold.model.recipe,
                resume=fold.is_begun, epochs=asked.epochs, iterations=asked.iterations, max_hours=hours, device=wanted.device,
                settings=asked.settings, name=asked.name, workspace=wanted.workspace, quiet=True)
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
