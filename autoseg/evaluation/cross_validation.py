"""A model's cross-validation: the validation cases of all its folds together, and which folds are not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from autoseg.best import Member, ensemble_name
from autoseg.commands import command_line, model_flags, training_flags
from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, some
from autoseg.evaluation.summary import (
    Pair,
    Summary,
    evaluate_pairs,
    made_from,
    pooled_summary,
    without_failures,
    write_csv,
    write_summary,
)
from autoseg.workspace import SPLITS_REMEDY, DatasetFolder, FoldFolder, ModelFolder, described, read_json, read_model

USUAL_FOLDS = 5
State = Literal["missing", "unfinished", "not validated", "complete"]


class FoldState(NamedTuple):
    """A fold's state. missing: never begun. unfinished: training stopped. not validated: trained, no validation/summary.json."""

    fold: str
    state: State


def number_of_folds(splits: Path) -> int:
    """Return how many folds a file of splits holds (see `DatasetFolder.splits_of`); 0 where it is not there, as no fold has been
    trained yet. Raises AutosegError where the file is damaged."""
    if not splits.exists():
        return 0
    folds = read_json(splits, SPLITS_REMEDY)
    if not isinstance(folds, list):
        raise AutosegError(f"{splits} holds no list of folds. {SPLITS_REMEDY}")
    return len(folds)


def fold_states(model: ModelFolder, folds: int) -> list[FoldState]:
    """Return the state of each fold of a cross-validation."""
    return [FoldState(str(fold), state_of(model.fold(fold))) for fold in range(folds)]


def incomplete_folds(model: ModelFolder, folds: int) -> list[FoldState]:
    """Return the folds that a cross-validation still lacks."""
    return [state for state in fold_states(model, folds) if state.state != "complete"]


def evaluate_changed_labels(model: ModelFolder, folds: int, dataset: Dataset, workers: int | None = None) -> None:
    """Compare the validation predictions of complete folds anew where a case's label has changed since they were compared.

    Raises AutosegError where one cannot be compared. Where a prediction is gone, or a case that the dataset does not have any
    more, nothing changes.
    """
    references = {case.name: case.label for case in dataset.training if case.label is not None}
    for place in map(model.fold, range(folds)):
        there = read_model(place.summary_json, Summary)
        files = {case.case: case.prediction_file for case in there.metric_per_case}
        pairs = [Pair(name, references[name], place.validation / Path(file).name)
                 for name, file in files.items() if name in references]
        is_whole = len(pairs) == len(files) and all(pair.prediction.exists() for pair in pairs)
        if is_whole and there.made_from != made_from(pairs, dataset.labels, there.tolerance_mm):
            write_summary(place.summary_json, without_failures(evaluate_pairs(pairs, dataset.labels, workers=workers)))


def pooled_folds(model: ModelFolder, folds: int) -> Summary:
    """Pool the results of a model whose folds are all complete, and write them to the model's summary.json and summary.csv.

    Every training case counts once, as the fold that did not train on it predicted it.
    """
    summary = pooled_summary([read_model(model.fold(fold).summary_json, Summary) for fold in range(folds)])
    write_summary(model.summary_json, summary)
    write_csv(model.summary_json.with_suffix(".csv"), summary)
    return summary


def cases_by_fold(models: Sequence[ModelFolder], folds: int) -> list[list[str]]:
    """Return the validation cases of each fold, which the models must share.

    Raises AutosegError where a fold of one model validated on other cases than that of another: it may have trained on them.
    """
    found = [_validated(models[0].fold(fold)) for fold in range(folds)]
    for model in models[1:]:
        for fold in range(folds):
            if differing := sorted(set(found[fold]) ^ set(_validated(model.fold(fold)))):
                raise AutosegError(
                    f"Fold {fold} of {model.root} and of {models[0].root} validated on different cases "
                    f"({some(differing)}). They cannot be compared: train one "
                    "of them anew with the splits.json of today (--restart)."
                )
    return found


def prediction_files(folder: DatasetFolder, members: Sequence[Member], summary: Summary) -> dict[str, Path]:
    """Return each case's validation prediction by a model or an ensemble, by the case's name, at the workspace's present place.

    summary: of these members; the folders that it names may be those of another machine.
    """
    names = {case.case: Path(case.prediction_file).name for case in summary.metric_per_case}
    if len(members) > 1:
        root = folder.ensemble(ensemble_name(members))
        return {case: root / name for case, name in names.items()}
    model = folder.model(members[0].configuration, members[0].recipe)
    fold_of = {case: fold for fold in members[0].weights for case in _validated(model.fold(fold))}
    return {case: model.fold(fold_of[case]).validation / name for case, name in names.items()}


def _validated(fold: FoldFolder) -> list[str]:
    return sorted(case.case for case in read_model(fold.summary_json, Summary).metric_per_case)


class Missing(NamedTuple):
    """A part that a cross-validation lacks, such as "folds 1, 3 are unfinished", and the command line that makes it."""

    words: str
    command: str


def missing_folds(folder: DatasetFolder, model: ModelFolder, folds: int) -> list[Missing]:
    """Return what a model's cross-validation still lacks; nothing where it is complete.

    Folds that were begun go on with their own settings; a fold that was not begun gets the settings of the model's other folds.
    """
    if model.is_imported:
        which = [*model_flags(model.configuration, str(described(model).get("recipe"))), "--name", f"{model.recipe}_here"]
        command = command_line(folder, "autoseg_train", *map(str, range(folds)), *which)
        return [Missing("it was imported, and what its folds were trained on is not known (train one of its kind here)", command)]
    by_state: dict[State, list[str]] = {}
    for fold, state in incomplete_folds(model, folds):
        by_state.setdefault(state, []).append(fold)
    which = training_flags(model)
    missing = []
    for state, names in by_state.items():
        flags = _flags(model) if state == "missing" else ["--continue"]
        words = f"fold {names[0]} is {state}" if len(names) == 1 else f"folds {', '.join(names)} are {state}"
        missing.append(Missing(words, command_line(folder, "autoseg_train", *names, *which, *flags)))
    return missing


def _flags(model: ModelFolder) -> list[str]:
    """Return the flags that the model's other folds were trained with."""
    flags = described(model).get("flags", [])
    return [str(flag) for flag in flags] if isinstance(flags, list) else []


def state_of(fold: FoldFolder) -> State:
    """Return the state of a fold."""
    if fold.checkpoint_final.exists():
        return "complete" if fold.summary_json.exists() else "not validated"
    return "unfinished" if fold.training_state.exists() else "missing"
