"""find_best: which model or ensemble predicts, and what is done to its labels afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import PathLike, planned_for
from autoseg.api.tasks import Task
from autoseg.best import Best, Member, TriedRule, member_of
from autoseg.commands import command_line, training_flags
from autoseg.dataset import Dataset, require_there
from autoseg.digests import content_stamps, remembered_digests
from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.cross_validation import (
    USUAL_FOLDS,
    Missing,
    cases_by_fold,
    evaluate_changed_labels,
    missing_folds,
    number_of_folds,
    pooled_folds,
    prediction_files,
)
from autoseg.evaluation.metrics import class_names
from autoseg.evaluation.summary import TOLERANCE_MM, Pair, Summary, evaluate_pairs, without_failures, write_csv, write_summary
from autoseg.files import write_json
from autoseg.fingerprint import Fingerprint
from autoseg.image_io import exists
from autoseg.lock import locked
from autoseg.parallel import Outcome
from autoseg.postprocessing.comparison import Members, candidates_table, choose, compare, rules_table
from autoseg.postprocessing.files import postprocess_files
from autoseg.postprocessing.rules import apply_rules
from autoseg.postprocessing.selection import candidate_rules, choose_rules
from autoseg.postprocessing.ways import choose_way, ways_table
from autoseg.provenance import Origin
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
    quiet: bool = False, cheaper_ways: bool = True, not_worse: float = NOT_WORSE,
) -> BestResult:
    """Compare all models and all pairs of them on the cross-validation, choose, and write best.json.

    configurations, recipes: only models of these. ensembles: compare pairs, too; that predicts the validation cases once
    more, in one pass for all pairs. Models whose cross-validation is not complete are left out and named. Chosen is the
    simplest that is not worse than the best, then the post-processing rules that the pooled cases support, then the cheapest way
    to predict that is not worse than the full one. cheaper_ways: measure these, on the validation cases of the choice alone.
    not_worse: by how much Dice and NSD may fall, at the lower ends of their intervals.
    Raises AutosegError where no model's cross-validation is complete; it says how to complete one.
    """
    if not 0 <= not_worse < 1:
        raise AutosegError(f"--not-worse is {not_worse:g}, but must be from 0 to 1: a share of Dice and NSD, such as 0.001.")
    folder = planned_for(dataset, Workspace.at(workspace), averaging_task())
    with locked(folder.lock_of("find-best"), f"find-best of {folder.name}"), remembered_digests(folder.digests_json):
        result = _find_best(folder, configurations, recipes, ensembles, device, workers, quiet)
        return _with_ways(folder, result, not_worse, device, workers, quiet) if cheaper_ways else result


def _find_best(
    folder: DatasetFolder, configurations: Sequence[str] | None, recipes: Sequence[str] | None, ensembles: bool, device: str,
    workers: int | None, quiet: bool,
) -> BestResult:
    task, known = averaging_task(), read_model(folder.dataset_json, Dataset)
    require_there(known.folder, folder)
    complete, left_out = _complete_models(folder, task, known, configurations, recipes, workers)
    if not quiet:
        for name, missing in left_out.items():
            words = f"Left out: {_lacks(name, missing)}. To complete it:"
            console.show("\n  ".join([words, *(lack.command for lack in missing)]))
    models = list(complete)
    if not quiet:
        cases = sum(len(validated) for validated in cases_by_fold(models, number_of_folds(folder.splits_of(task.info))))
        pairs = " and all pairs of them" if ensembles and len(models) > 1 else ""
        console.show(f"{folder.name}: comparing {many(len(models), 'model')}{pairs} on {many(cases, 'validation case')}. Into "
                     f"{folder.best_json}")
    warnings = _changed_since_training(folder, task, known, models)
    members = current_members(folder, task, models)
    summaries: dict[Members, Summary] = {(member,): complete[model] for member, model in zip(members, models, strict=True)}
    _require_known_cases(folder, task, known, summaries)
    if ensembles and len(models) > 1:
        summaries |= _pairs(folder, task, known, models, members, device, workers, quiet)
    candidates = compare(summaries)
    chosen, reason = choose(candidates)
    files = _files(folder, known, chosen.members, summaries[chosen.members])
    rules = _rules(folder, known, files, workers, quiet)
    _postprocess(folder, known, files, rules, workers)
    best = Best(
        dataset=folder.name, members=chosen.members, reason=reason, candidates=tuple(candidates), rules=tuple(rules),
        names=class_names(known.labels), references=references_digest(known), versions=versions(),
    )
    _write(folder, task, best)
    if not quiet:
        console.show_all(warnings)
        console.show(candidates_table(best))
        console.show(rules_table(best))
        console.show_all(f"Warning: {failing}." for failing in task.evaluation.failings(summaries[chosen.members]).values())
    return BestResult(best, folder.best_json, left_out)


def _with_ways(
    folder: DatasetFolder, result: BestResult, not_worse: float, device: str, workers: int | None, quiet: bool
) -> BestResult:
    """Measure the ways to predict with what was chosen, and write the choice with them. Until then it holds without: in full."""
    from autoseg.device import device_in_words, resolve_device

    task, known, best, target = averaging_task(), read_model(folder.dataset_json, Dataset), result.best, resolve_device(device)
    models = [folder.model(member.configuration, member.recipe) for member in best.members]
    validated = cases_by_fold(models, number_of_folds(folder.splits_of(task.info)))
    with console.progress(f"Ways to predict with {best.name}", quiet) as report:
        found = task.ways.measure_ways(
            folder, known, validated, best.members, best.postprocessing,
            lambda labels, spacing_mm: apply_rules(labels, spacing_mm, best.postprocessing), best.references, target, report,
            workers)
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
    for path in (*(model.best_json for model in chosen), folder.best_json):
        write_json(path, best)


def averaging_task() -> Task:
    """Return the task whose models are compared, and averaged as ensembles."""
    return next(task for task in tasks.TASKS if task.info.averages)


def current_members(folder: DatasetFolder, task: Task, models: Sequence[ModelFolder]) -> list[Member]:
    """Return the models by name and by what their weights are now."""
    return [member_of(model, range(number_of_folds(folder.splits_of(task.info)))) for model in models]


def is_current(
    folder: DatasetFolder, task: Task, models: Sequence[ModelFolder], cheaper_ways: bool = True, not_worse: float | None = None
) -> bool:
    """Tell whether best.json is there, and compared just these models, all pairs of them, and where wanted the ways to predict
    (by not_worse, if that is given), with today's weights and labels."""
    if not folder.best_json.exists():
        return False
    try:
        dataset, best = read_model(folder.dataset_json, Dataset), read_model(folder.best_json, Best)
    except AutosegError:
        return False  # written by another version
    if best.references != references_digest(dataset) or (cheaper_ways and best.ways is None):
        return False
    if cheaper_ways and best.ways is not None and not_worse not in (None, best.ways.not_worse):
        return False
    compared = [candidate.members for candidate in best.candidates]
    alone = {members[0] for members in compared if len(members) == 1}
    return alone == set(current_members(folder, task, models)) and len(compared) == len(alone) * (len(alone) + 1) // 2


def references_digest(dataset: Dataset) -> str:
    """Return a digest that changes when a label file of the training cases does."""
    return Origin.of(labels=content_stamps(case.label for case in dataset.training)).digest


def _complete_models(
    folder: DatasetFolder, task: Task, dataset: Dataset, configurations: Sequence[str] | None, recipes: Sequence[str] | None,
    workers: int | None,
) -> tuple[dict[ModelFolder, Summary], dict[str, tuple[Missing, ...]]]:
    """Return the models with all folds, with their results against today's labels; and what the other models lack, by name."""
    train = command_line(folder, "autoseg_train", *map(str, range(USUAL_FOLDS)))
    splits = folder.splits_of(task.info)
    folds = number_of_folds(splits)
    if not folds:
        raise AutosegError(
            f"{folder.name} has no {splits.name}: no fold of a cross-validation has been trained yet. Run: {train}")
    complete, left_out = {}, {}
    fitting = [
        model for model in folder.models_of(task.info)
        if (not configurations or model.configuration in configurations) and (not recipes or model.recipe in recipes)
    ]
    for model in fitting:
        if missing := tuple(missing_folds(folder, model, folds)):
            left_out[f"{model.configuration}, {model.recipe}"] = missing
        else:
            evaluate_changed_labels(model, folds, dataset, workers)
            complete[model] = pooled_folds(model, folds)
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


def _require_known_cases(
    folder: DatasetFolder, task: Task, dataset: Dataset, summaries: Mapping[Members, Summary]
) -> None:
    """Raise AutosegError where a model validated a case that the dataset does not have, or not with a label, any more."""
    labelled = {case.name for case in dataset.training if case.label is not None}
    for (member, *_), summary in summaries.items():
        if gone := sorted({case.case for case in summary.metric_per_case} - labelled):
            raise AutosegError(
                f"The cross-validation of {member.name} holds {many(len(gone), 'case')} that {folder.name} does not "
                f"have any more: {some(gone)}. Put them back and plan again, or train all folds of "
                f"the model anew without them: remove {folder.splits_of(task.info)}, then autoseg_train with --restart.")


def _pairs(
    folder: DatasetFolder, task: Task, dataset: Dataset, models: Sequence[ModelFolder], members: Sequence[Member], device: str,
    workers: int | None, quiet: bool,
) -> dict[Members, Summary]:
    from autoseg.device import resolve_device

    validated = cases_by_fold(models, number_of_folds(folder.splits_of(task.info)))
    with console.progress("Ensembles on the validation cases", quiet) as report:
        found: dict[Members, Summary] = task.ensembles.predict_pairs(
            folder, dataset, validated, models, members, resolve_device(device), report, workers)
    return found


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
