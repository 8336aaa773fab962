"""run: from a dataset to its report, in one command that goes on where it was stopped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import PathLike, several
from autoseg.api.job_runs import Place, forget, gather, graph_of, hours_of_a_fold, place_of, require_no_queue, run_side_by_side
from autoseg.api.planning import folder_for, plan_options, plan_where_needed
from autoseg.api.reporting import report as make_report
from autoseg.api.run_request import Fold, Wanted, as_begun, but_planner, names
from autoseg.api.selection import find_best, is_current
from autoseg.api.tasks import Task
from autoseg.api.training import cross_validation, require_configuration, train
from autoseg.best import Best
from autoseg.bounds import whole_number
from autoseg.console import ShowProgress
from autoseg.dataset import Dataset, find_dataset, load_dataset
from autoseg.digests import file_digest
from autoseg.errors import AutosegError, many
from autoseg.files import remove_leftovers, write_json
from autoseg.jobs.record import machine_of
from autoseg.lock import locked
from autoseg.provenance import Origin
from autoseg.settings import as_texts
from autoseg.steps import FIND_BEST, PLAN, REPORT, Asked, RunRecord, Step, Steps, read_record
from autoseg.ways import NOT_WORSE
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, read_model


@dataclass(frozen=True)
class RunResult:
    """The result of a run. best: the choice; None where models of the task are not compared. models: those that are trained.
    report: the page to open. submitted: what is to be said of jobs that were submitted or printed, and have not run yet."""

    best: Best | None
    models: list[ModelFolder]
    report: Path
    submitted: tuple[str, ...] = ()


def run(
    dataset: PathLike, max_hours: float | None = None, recipes: Sequence[str] = (), epochs: int | None = None,
    iterations: int | None = None, settings: Mapping[str, Any] | None = None, skip_bad_cases: bool = False,
    workers: int | None = None, device: str = "auto", planner: str | None = None, workspace: PathLike | None = None,
    quiet: bool = False, name: str | None = None, resume: bool = False, restart: bool = False, gpus: int | None = None,
    on: str | None = None, slurm: Sequence[str] = (), only_print: bool = False, cheaper_ways: bool | None = None,
    not_worse: float | None = None, **options: Any,
) -> RunResult:
    """Plan, train every fold of every configuration and recipe, find the best where the task has ensembles, write the report.

    recipes: all of one task; () for those of the latest run, else "default". What is not given is as the latest run of these
    recipes was asked for it. What an earlier run finished stays: plans that fit the dataset, preprocessed cases, folds,
    predictions of ensembles, best.json; an unfinished fold goes on with the settings that it was started with. max_hours: of all
    runs together, divided evenly over the folds that are left; a twentieth is kept for the end, and one for measuring ways to
    predict. options: of planning, such as configurations=["2d"]; the other arguments are those of `plan_and_preprocess`, `train`
    and `find_best`.
    name: of the model, where it is not the recipe's. resume: go on as it was begun, whatever else is given. restart: throw away
    the folds of these models first.
    gpus: run so many folds side by side on this machine, each on a GPU of its own. on: "slurm" to submit every fold, the
    comparison and the report as jobs that wait for each other; slurm: options of sbatch, such as "partition=gpu". only_print:
    write the scripts instead.
    Raises AutosegError where a step cannot be done, where folds were begun with other settings than those given, or the hours are
    over before every fold was trained.
    """
    from autoseg.device import resolve_device

    place = Workspace.at(workspace)
    source = load_dataset(find_dataset(str(dataset), place))
    folder = folder_for(source, place)
    its = {key: value for key, value in {"planner": planner, **options}.items() if value is not None}
    if (pretrained := its.get("pretrained")) is not None:  # planning follows it, and training starts from it
        settings = {**(settings or {}), "pretrained": str(Path(pretrained).resolve())}
    given = Asked(recipes=tuple(dict.fromkeys(recipes)), name=name, options=its, epochs=epochs, iterations=iterations,
                  settings=as_texts(settings or {}), max_hours=max_hours, skip_bad_cases=skip_bad_cases,
                  cheaper_ways=cheaper_ways, not_worse=not_worse)
    jobs_at = place_of(gpus, on, slurm, only_print, device)
    asked = as_begun(folder, given, resume, restart, quiet)
    wanted = Wanted(asked, given, device, workspace, workers)
    if jobs_at is None or jobs_at.lanes:
        resolve_device(device)  # now, and not after hours of planning; jobs on a cluster have devices of their own
    task = _check(asked.recipes, asked.options.get("planner"), but_planner(asked.options))
    with locked(folder.lock_of(f"run{task.info.suffix}"), f"autoseg run {folder.name}"):
        remove_leftovers(folder.root)
        if restart or jobs_at is None or jobs_at.lanes:
            require_no_queue(folder, task)
        gather(folder.run_of(task.info), folder.jobs_of(task.info))
        if restart or jobs_at is None:
            forget(folder.jobs_of(task.info))
        if restart:
            _throw_away(folder, task, asked)
        return _run(source, folder, task, wanted, jobs_at, quiet)


def _run(
    source: Dataset, folder: DatasetFolder, task: Task, wanted: Wanted, jobs_at: Place | None, quiet: bool
) -> RunResult:
    """Do what is not done yet."""
    asked, recipes, options, workers = wanted.asked, wanted.recipes, wanted.asked.options, wanted.workers
    hours, run_json = wanted.hours_for_folds(task), folder.run_of(task.info)
    if folder.plans_of(task.info).exists():  # planning keeps what it was asked for, but which configurations are meant
        options = {key: value for key, value in options.items() if key == "configurations" or key in wanted.given.options}
    with console.progress(f"autoseg run {source.name}", quiet, read_record(run_json).spent_s) as overall:
        first = Steps(run_json, _before_planning(asked.max_hours), asked)
        with first.run(PLAN, overall) as report, console.inside(report):
            with locked(folder.lock_of("planning"), f"The planning of {folder.name}"):
                result = plan_where_needed(task, source, folder, but_planner(options), options.get("planner"), workers,
                                           asked.skip_bad_cases, quiet)
            if result.failed:
                listed = "\n".join(f"  {reason}" for reason in result.failed.values())
                raise AutosegError(f"{many(len(result.failed), 'case')} of {folder.name} could not be preprocessed:\n{listed}")
        folds = _folds(folder, task, result.configurations, recipes, wanted, quiet)
        steps = Steps(run_json, _steps(task, folds, hours), machine=machine_of(wanted.device))
        steps.know({fold.step: fold.is_complete for fold in folds})
        models = list(dict.fromkeys(fold.model for fold in folds))
        if jobs_at is not None:
            return _side_by_side(folder, task, folds, steps.spent_s, wanted, jobs_at, overall, quiet)
        _train(folder, folds, steps, wanted, hours, overall, quiet)
        made_from = _finish(folder, task, models, recipes, steps, wanted, workers, overall, quiet)
        if not folder.report_html.exists() or not steps.is_made_from(REPORT, made_from):
            with steps.run(REPORT, overall, made_from) as report, console.inside(report):
                make_report(source.name, workspace=wanted.workspace, quiet=True)
        overall(1.0, "")
    return RunResult(read_model(folder.best_of(task.info), Best) if task.info.averages else None, models, folder.report_html)


def _throw_away(folder: DatasetFolder, task: Task, asked: Asked) -> None:
    """Remove the folds of the models that are asked for, and the times of their steps."""
    chosen = asked.options.get("configurations")
    for model in folder.models_of(task.info):
        if model.recipe in names(asked) and (chosen is None or model.configuration in chosen):
            for fold in (model.fold(name) for name in model.begun_folds() if whole_number(name) is not None):
                with locked(fold.lock, f"{model.configuration} {model.recipe} {fold.root.name}"):
                    shutil.rmtree(fold.root)
    write_json(folder.run_of(task.info), RunRecord(asked=asked))


def _check(recipes: Sequence[str], planner: str | None, options: dict[str, Any]) -> Task:
    """Return the task of the recipes. Say what is wrong with the flags now, not after hours of planning and training."""
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
    folder: DatasetFolder, task: Task, configurations: Sequence[str], recipes: Sequence[str], wanted: Wanted, quiet: bool
) -> list[Fold]:
    """Return every fold of every model, one model after the other; show what the user should know about splits, networks, old
    folds. Raises AutosegError for what cannot be trained: now, and not when its turn comes."""
    folds, notes = [], []
    for configuration in configurations:
        for recipe in recipes:
            job = wanted.job(folder, configuration, recipe)
            data = task.trainer.load_data(job)
            stage = getattr(getattr(data.plans, "configurations", {}).get(configuration), "previous_stage", None)
            before = job.model.beside(stage) if stage else None
            its_folds = [Fold(job.model, str(fold), before) for fold in range(data.folds)]
            first = next((fold.fold for fold in its_folds if not fold.is_begun), None)
            told = task.trainer.check(
                replace(job, fold=first or "0", before=tuple(configurations)), data, begins=first is not None)
            folds += its_folds
            notes += [*data.notes, *task.trainer.check_begun(job, data), *(f"{configuration}, {recipe}: {note}" for note in told)]
    if not quiet:
        console.show_all(dict.fromkeys(notes))
    return folds


def _finish(
    folder: DatasetFolder, task: Task, models: Sequence[ModelFolder], recipes: Sequence[str], steps: Steps, wanted: Wanted,
    workers: int | None, overall: ShowProgress, quiet: bool,
) -> str:
    """Find the best of the models, or pool each cross-validation where they are not compared; return the digest of what the
    report is then made from."""
    if not task.info.averages:
        for model in models:
            cross_validation(folder.name, model.configuration, model.recipe, wanted.workspace, quiet)
        return Origin.of(summaries=[file_digest(model.summary_json) for model in models]).digest
    if not is_current(folder, task, models, wanted.cheaper_ways, wanted.asked.not_worse):
        with steps.run(FIND_BEST, overall) as report, console.inside(report):
            find_best(folder.name, [model.configuration for model in models], [model.recipe for model in models],
                      device=wanted.device, workers=workers, workspace=wanted.workspace, quiet=quiet,
                      cheaper_ways=wanted.cheaper_ways, not_worse=NOT_WORSE if (its := wanted.asked.not_worse) is None else its)
    return file_digest(folder.best_of(task.info))


def _side_by_side(
    folder: DatasetFolder, task: Task, folds: Sequence[Fold], spent_s: float, wanted: Wanted, place: Place,
    overall: ShowProgress, quiet: bool,
) -> RunResult:
    """Run what is not done as jobs, on this machine or on a cluster."""
    hours, waiting, lanes = wanted.hours_for_folds(task), [fold for fold in folds if not fold.is_complete], len(place.lanes) or 1
    if hours is not None and waiting:
        hours = hours_of_a_fold(_left(wanted, hours, spent_s / lanes, len(waiting), len(folds)), folds, lanes)
    graph = graph_of(folder, task, folds, wanted, hours)
    told = run_side_by_side(folder, task, graph, place, overall, quiet)
    best = read_model(folder.best_of(task.info), Best) if task.info.averages and told is None else None
    return RunResult(best, list(dict.fromkeys(fold.model for fold in folds)), folder.report_html, tuple(told or ()))


def _train(
    folder: DatasetFolder, folds: Sequence[Fold], steps: Steps, wanted: Wanted, hours: float | None,
    overall: ShowProgress, quiet: bool,
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
        its_hours, left = None, len(waiting) - number
        if hours is not None and not fold.is_begun:
            its_hours = _left(wanted, hours, steps.spent_s, left, len(folds)) / left
        with steps.run(fold.step, overall) as report, console.inside(report):
            result = train(
                folder.name, fold.fold, fold.model.configuration, wanted.recipe_of(fold),
                resume=fold.is_begun, epochs=asked.epochs, iterations=asked.iterations, max_hours=its_hours, device=wanted.device,
                settings=asked.settings, name=asked.name, workspace=wanted.workspace, quiet=True)
        if result.in_words and not quiet:
            console.show_all([f"{fold.step}: {result.in_words}", *(f"Warning: {failing}." for failing in result.failings)])


def _left(wanted: Wanted, hours: float, spent_s: float, waiting: int, folds: int) -> float:
    """Return the hours that are left of those for training. Raises AutosegError where none are."""
    left = hours - spent_s / 3600
    if left <= 0:
        raise AutosegError(
            f"The {wanted.asked.max_hours:g} hours are over, and {waiting} of {folds} folds are not trained. What was finished "
            "stays: give more hours with --max-hours (those of earlier runs count), or fewer configurations with -c.")
    return left


def _before_planning(max_hours: float | None) -> list[Step]:
    return [Step(PLAN, PLAN, 60), Step("all that follows", "all", 3600 * (max_hours or 1), max_hours is None)]


def _steps(task: Task, folds: Sequence[Fold], hours: float | None) -> list[Step]:
    """Return all steps. Folds are expected to take as long as they may; else nothing is known until one was measured."""
    unknown = hours is None
    fold_s = 3600 * (hours / len(folds) if hours else 1)
    training = [Step(fold.step, f"{fold.model.configuration} {fold.model.recipe}", fold_s, unknown) for fold in folds]
    comparing = [Step(FIND_BEST, FIND_BEST, 0.03 * fold_s * len(folds), unknown)] if task.info.averages else []
    return [Step(PLAN, PLAN, 60), *training, *comparing, Step(REPORT, REPORT, 10)]
