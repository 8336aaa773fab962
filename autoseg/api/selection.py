"""find_best: which model or ensemble predicts, and what is done to its labels afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import PathLike, devices_for, in_workspace, planned_for
from autoseg.api.tasks import Task
from autoseg.best import Best, Member, TriedRule, member_of
from autoseg.commands import command_line, training_flags
from autoseg.dataset import Dataset, require_there
from autoseg.digests import remembered_digests
from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.comparison import Compared, candidates_table, choose, rules_table
from autoseg.evaluation.cross_validation import (
    USUAL_FOLDS,
    Missing,
    cases_by_fold,
    missing_folds,
    number_of_folds,
    prediction_files,
)
from autoseg.evaluation.metrics import class_names
from autoseg.evaluation.summary import TOLERANCE_MM, Pair, Summary, evaluate_pairs, without_failures, write_csv, write_summary
from autoseg.files import write_json
from autoseg.fingerprint import Fingerprint
from autoseg.image_io import exists
from autoseg.lock import locked
from autoseg.parallel import Outcome
from autoseg.postprocessing.files import postprocess_files
from autoseg.postprocessing.rules import apply_rules
from autoseg.postprocessing.selection import candidate_rules, choose_rules
from autoseg.postprocessing.ways import choose_way, ways_table
from autoseg.versions import versions
from autoseg.ways import NOT_WORSE
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, read_model


@dataclass(frozen=True)
class BestResult:
    """The choice, and the file that holds it. left_out: models without a complete cross-validation, and what they lack."""

    best: Best
    path: Path
    left_out: dict[str, tuple[Missing, ...]]


def find_best(
    dataset: PathLike, configurations: Sequence[str] | None = None, recipes: Sequence[str] | None = None,
    ensembles: bool = True, device: str = "auto", workers: int | None = None, workspace: PathLike | None = None,
    quiet: bool = False, cheaper_ways: bool = True, not_worse: float = NOT_WORSE, gpus: int | None = None,
) -> BestResult:
    """Compare all models and all pairs of them on the cross-validation, choose, and write best.json.

    configurations, recipes: only models of these. ensembles: compare pairs, too; that predicts the validation cases once
    more, in one pass for all pairs. Models whose cross-validation is not complete are left out and named. Chosen is the
    simplest that is not worse than the best, then the post-processing rules that the pooled cases support, then the cheapest way
    to predict that is not worse than the full one. cheaper_ways: measure these, on the validation cases of the choice alone.
    not_worse: by how much Dice and NSD may fall, at the lower ends of their intervals. gpus: spread the cases over so many CUDA
    devices, or processes on the CPU where that is the device.
    Raises AutosegError where no model's cross-validation is complete; it says how to complete one.
    """
    if not 0 <= not_worse < 1:
        raise AutosegError(f"--not-worse is {not_worse:g}, but must be from 0 to 1: a share of Dice and NSD, such as 0.001.")
    place, devices = Workspace.at(workspace), devices_for(device, gpus)
    task = _task_meant(in_workspace(str(dataset), place), configurations or (), recipes or ())
    folder = planned_for(dataset, place, task)
    with locked(folder.lock_of(f"find-best{task.info.suffix}"), f"find-best of {folder.name}"), \
            remembered_digests(folder.digests_json):
        result = _find_best(folder, task, configurations, recipes, ensembles, devices, workers, quiet)
        is_measured = cheaper_ways and task.ways is not None
        return _with_ways(folder, task, result, not_worse, devices, workers, quiet) if is_measured else result


def _find_best(
    folder: DatasetFolder, task: Task, configurations: Sequence[str] | None, recipes: Sequence[str] | None, ensembles: bool,
    devices: Sequence[str], workers: int | None, quiet: bool,
) -> BestResult:
    known = read_model(folder.dataset_json, Dataset)
    require_there(known.folder, folder)
    models, left_out = _complete_models(folder, task, configurations, recipes)
    if not quiet:
        for name, missing in left_out.items():
            words = f"Left out: {_lacks(name, missing)}. To complete it:"
            console.show("\n  ".join([words, *(lack.command for lack in missing)]))
        pairs = " and all pairs of them" if ensembles and len(models) > 1 else ""
        console.show(f"{folder.name}: comparing {many(len(models), task.info.noun)}{pairs} on the validation "
                     f"cases. Into {folder.best_of(task.info)}")
    warnings = _changed_since_training(folder, task, known, models)
    compared: Compared = task.ensembles.compare_models(
        folder, known, models, current_members(folder, task, models), ensembles, devices, workers, quiet)
    chosen, reason = choose(compared.candidates, compared.measure)
    rules, summary = [], compared.summaries[chosen.members]
    if task.ways is not None:  # what it writes are label files
        files = _files(folder, known, chosen.members, summary)
        rules = _rules(folder, known, files, workers, quiet)
        _postprocess(folder, known, files, rules, workers)
    best = Best(
        dataset=folder.name, members=chosen.members, reason=reason, measure=compared.measure,
        candidates=tuple(compared.candidates), rules=tuple(rules), names=class_names(known.labels) if task.ways else {},
        references=task.ensembles.references(folder, known), versions=versions())
    _write(folder, task, best)
    if not quiet:
        more = [rules_table(best)] if task.ways is not None else task.evaluation.shown(summary)
        console.show_all([*warnings, candidates_table(best), *more,
                          *(f"Warning: {failing}." for failing in task.evaluation.failings(summary).values())])
    return BestResult(best, folder.best_of(task.info), left_out)


def _with_ways(
    folder: DatasetFolder, task: Task, result: BestResult, not_worse: float, devices: Sequence[str], workers: int | None,
    quiet: bool,
) -> BestResult:
    """Measure the ways to predict with what was chosen, and write the choice with them. Until then it holds without: in full."""
    from autoseg.device import device_in_words, resolve_device

    known, best, target = read_model(folder.dataset_json, Dataset), result.best, resolve_device(devices[0])
    models = [folder.model(member.configuration, member.recipe) for member in best.members]
    validated = cases_by_fold(models, number_of_folds(folder.splits_of(task.info)))
    with console.progress(f"Ways to predict with {best.name}", quiet) as report:
        found = task.ways.measure_ways(
            folder, known, validated, best.members, best.postprocessing,
            partial(apply_rules, rules=best.postprocessing), best.references, devices, report, workers)
    best = best.model_copy(update={"ways": choose_way(found, not_worse, TOLERANCE_MM, device_in_words(target))})
    _write(folder, task, best)
    if not quiet and best.ways is not None:
        console.show(ways_table(best.ways))
        console.show(f"How to predict: {best.ways.reason}.")
    return replace(result, best=best)


def _write(folder: DatasetFolder, task: Task, best: Best) -> None:
    """Write best.json, and the same into the folder of each chosen model, where a prediction that names the folder finds it."""
    chosen = [folder.model(member.configuration, member.recipe) for member in best.members]
    for model in folder.models_of(task.info):
        if model not in chosen and not model.is_imported:
            model.best_json.unlink(missing_ok=True)
    for path in (*(model.best_json for model in chosen), folder.best_of(task.info)):
        write_json(path, best)


def _task_meant(folder: DatasetFolder, configurations: Sequence[str], recipes: Sequence[str]) -> Task:
    """Return the task whose models are compared: the one that the names belong to, else the default one where the dataset was
    planned for it, else one that it was planned for."""
    averaging = [task for task in tasks.TASKS if task.info.averages]
    of_recipes = tasks.tasks_of_recipes() if recipes else {}
    named = [task for task in averaging if {*configurations} & {*task.info.configurations}
             or {*recipes} & {model.recipe for model in folder.models_of(task.info)}
             or task.info.name in map(of_recipes.get, recipes)]
    planned = [task for task in averaging if folder.plans_of(task.info).exists()]
    return next(iter(named or planned), tasks.default_task())


def current_members(folder: DatasetFolder, task: Task, models: Sequence[ModelFolder]) -> list[Member]:
    """Return the models by name and by what their weights are now."""
    return [member_of(model, range(number_of_folds(folder.splits_of(task.info)))) for model in models]


def is_current(
    folder: DatasetFolder, task: Task, models: Sequence[ModelFolder], cheaper_ways: bool = True, not_worse: float | None = None
) -> bool:
    """Tell whether best.json is there, and compared just these models, all pairs of them, and where wanted the ways to predict
    (by not_worse, if that is given), with today's weights and labels."""
    if not folder.best_of(task.info).exists():
        return False
    try:
        dataset, best = read_model(folder.dataset_json, Dataset), read_model(folder.best_of(task.info), Best)
    except AutosegError:
        return False  # written by another version
    if best.references != task.ensembles.references(folder, dataset):
        return False
    cheaper_ways = cheaper_ways and task.ways is not None
    if cheaper_ways and best.ways is None:
        return False
    if cheaper_ways and best.ways is not None and not_worse not in (None, best.ways.not_worse):
        return False
    compared = [candidate.members for candidate in best.candidates]
    alone = {members[0] for members in compared if len(members) == 1}
    return alone == set(current_members(folder, task, models)) and len(compared) == len(alone) * (len(alone) + 1) // 2


def _complete_models(
    folder: DatasetFolder, task: Task, configurations: Sequence[str] | None, recipes: Sequence[str] | None
) -> tuple[list[ModelFolder], dict[str, tuple[Missing, ...]]]:
    """Return the models with all folds, and what the other models lack, by name."""
    flags = () if task.info.is_default else ("-tr", task.info.recipe)
    train = command_line(folder, "autoseg_train", *map(str, range(USUAL_FOLDS)), *flags)
    splits = folder.splits_of(task.info)
    folds = number_of_folds(splits)
    if not folds:
        raise AutosegError(
            f"{folder.name} has no {splits.name}: no fold of a cross-validation has been trained yet. Run: {train}")
    complete, left_out = [], {}
    fitting = [
        model for model in folder.models_of(task.info)
        if (not configurations or model.configuration in configurations) and (not recipes or model.recipe in recipes)
    ]
    for model in fitting:
        if missing := tuple(missing_folds(folder, model, folds)):
            left_out[f"{model.configuration}, {model.recipe}"] = missing
        else:
            complete.append(model)
    if complete:
        return complete, left_out
    if left_out:
        listed = "\n".join(f"  {lack.command}" for missing in left_out.values() for lack in missing)
        words = "; ".join(_lacks(name, missing) for name, missing in left_out.items())
        raise AutosegError(f"No model of {folder.name} has a complete cross-validation: {words}. Complete one with:\n{listed}")
    trained = ", ".join(f"-c {model.configuration} -tr {model.recipe}" for model in folder.models_of(task.info))
    raise AutosegError(
        f"{folder.name} has no model that fits. " + (f"There are: {trained}." if trained else f"Train one: {train}"))


def _lacks(name: str, missing: Sequence[Missing]) -> str:
    """Return in words what a model lacks, such as "2d, default: fold 1 is missing, fold 3 is unfinished"."""
    return f"{name}: {', '.join(lack.words for lack in missing)}"


def _changed_since_training(folder: DatasetFolder, task: Task, dataset: Dataset, models: Sequence[ModelFolder]) -> list[str]:
    """Return a warning for each model that was trained on other images or labels than those of today. Raises AutosegError where
    a file is gone."""
    from autoseg.trainers.job import changed_sources

    again = command_line(folder, "autoseg_plan_and_preprocess")
    files = [path for case in dataset.training for path in (*case.images, case.label) if path is not None]
    if gone := [path for path in files if not exists(path)]:
        raise AutosegError(f"{many(len(gone), 'file')} of {dataset.name} are gone: {some(gone)}. Put them back, or plan again "
                           f"without these cases: {again}")
    warnings = []
    for model in models:
        folds = [model.fold(fold) for fold in range(number_of_folds(folder.splits_of(task.info)))]
        if changed := sorted({name for fold in folds for name in changed_sources(fold, dataset.training)}):
            warnings.append(
                f"Warning: {model.configuration}, {model.recipe} was trained before the images or labels of "
                f"{many(len(changed), 'case')} changed ({some(changed)}). It is compared with the labels of today. To train it "
                f"on today's files: {again}, then autoseg_train with --restart.")
    return warnings


def _files(folder: DatasetFolder, dataset: Dataset, members: Sequence[Member], summary: Summary) -> list[Pair]:
    """Return reference and prediction of each validation case. Raises AutosegError where a prediction is missing."""
    predictions = prediction_files(folder, members, summary)
    if gone := [path for path in predictions.values() if not path.exists()]:
        which = training_flags(folder.model(members[0].configuration, members[0].recipe))  # an ensemble's files were just made
        raise AutosegError(
            f"{len(gone)} of {len(predictions)} validation predictions are gone, such as {gone[0]}. To make them again: "
            + command_line(folder, "autoseg_train", *_folds_of(gone), *which, "--continue"))
    references = {case.name: case.label for case in dataset.training if case.label is not None}
    return [Pair(name, references[name], prediction) for name, prediction in predictions.items()]


def _folds_of(predictions: Sequence[Path]) -> list[str]:
    """Return the folds that made these validation predictions."""
    return sorted({path.parents[1].name.removeprefix("fold_") for path in predictions})


def _rules(
    folder: DatasetFolder, dataset: Dataset, files: Sequence[Pair], workers: int | None, quiet: bool
) -> list[TriedRule]:
    candidates = candidate_rules(read_model(folder.fingerprint_json, Fingerprint), dataset.labels)
    with console.progress(f"Trying {len(candidates)} rules of post-processing", quiet) as report:
        return choose_rules(files, dataset.labels, candidates, workers=workers, progress=report)


def _postprocess(
    folder: DatasetFolder, dataset: Dataset, files: Sequence[Pair], rules: Sequence[TriedRule], workers: int | None
) -> None:
    """Write the validation cases after the accepted rules, and their evaluation; nothing where no rule was accepted."""
    if folder.postprocessed.exists():
        shutil.rmtree(folder.postprocessed)
    accepted = [tried.rule for tried in rules if tried.accepted]
    if not accepted:
        return
    written = {}
    outcome: Outcome[Path]
    for outcome in postprocess_files([pair.prediction for pair in files], folder.postprocessed, accepted, workers):
        if outcome.error is not None:
            raise outcome.error
        written[outcome.item] = outcome.value
    pairs = [pair._replace(prediction=written[pair.prediction]) for pair in files]
    summary = without_failures(evaluate_pairs(pairs, dataset.labels, workers=workers))
    write_csv(folder.postprocessed / "summary.csv", summary)
    write_summary(folder.postprocessed / "summary.json", summary)
