"""Models, and ensembles of two of them, compared on the validation cases of all folds.

Each case is predicted by the fold that did not train on it, by all models in one lock-step pass; every pair's labels come
out of that pass. No probability is kept on disk, and no array of classes × voxels exists.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import torch

from autoseg.best import Member, ensemble_name
from autoseg.console import ShowProgress, progress
from autoseg.dataset import Case, Dataset
from autoseg.device import resolve_device
from autoseg.digests import content_stamps
from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.comparison import MEASURE, Compared, Members, compare
from autoseg.evaluation.cross_validation import cases_by_fold, evaluate_changed_labels, number_of_folds, pooled_folds
from autoseg.evaluation.summary import (
    Pair,
    Summary,
    evaluate_pairs,
    made_from,
    without_failures,
    write_csv,
    write_summary,
)
from autoseg.files import remove_leftovers
from autoseg.image_io import file_ending, label_ending, read_label, write_label
from autoseg.parallel import Work, attempt, on_places
from autoseg.provenance import MADE_FROM, Origin
from autoseg.tasks.segmentation import INFO
from autoseg.tasks.segmentation.member import EnsembleMember
from autoseg.tasks.segmentation.model import ModelDescription, load_model
from autoseg.tasks.segmentation.predictor import Predictor, Prepared
from autoseg.tasks.segmentation.previous_stage import StoredPrediction, with_previous
from autoseg.tasks.segmentation.store import described_volume
from autoseg.workspace import DatasetFolder, ModelFolder, read_model

SUMMARY = "summary.json"


@dataclass(frozen=True)
class _Ensemble:
    """Two of the models. models: their indices."""

    models: tuple[int, ...]
    members: tuple[Member, ...]
    folder: Path

    def path(self, case: Case) -> Path:
        return self.folder / f"{case.name}{label_ending(file_ending(reference_of(case)))}"


def compare_models(
    folder: DatasetFolder, dataset: Dataset, models: Sequence[ModelFolder], members: Sequence[Member], ensembles: bool,
    devices: Sequence[str], workers: int | None, quiet: bool,
) -> Compared:
    """Compare models whose folds are all complete, with the labels of today.

    models, members: in the same order. ensembles: compare all pairs of them, too (see `predict_pairs`). Raises AutosegError where
    they were not validated on the same cases, or on cases that the dataset does not have any more.
    """
    folds, summaries = number_of_folds(folder.splits_of(INFO)), dict[Members, Summary]()
    for model, member in zip(models, members, strict=True):
        evaluate_changed_labels(model, folds, dataset, workers)
        summaries[(member,)] = pooled_folds(model, folds)
    _require_known_cases(folder, dataset, summaries)
    if ensembles and len(models) > 1:
        with progress("Ensembles on the validation cases", quiet) as report:
            summaries |= predict_pairs(
                folder, dataset, cases_by_fold(models, folds), models, members, devices, report, workers)
    return Compared(compare(summaries), MEASURE, summaries)


def references(folder: DatasetFolder, dataset: Dataset) -> str:
    """Return a digest that changes when a label file of the training cases does."""
    return Origin.of(labels=content_stamps(case.label for case in dataset.training)).digest


def _require_known_cases(folder: DatasetFolder, dataset: Dataset, summaries: Mapping[Members, Summary]) -> None:
    """Raise AutosegError where a model validated a case that the dataset does not have, or not with a label, any more."""
    labelled = {case.name for case in dataset.training if case.label is not None}
    for (member, *_), summary in summaries.items():
        if gone := sorted({case.case for case in summary.metric_per_case} - labelled):
            raise AutosegError(
                f"The cross-validation of {member.name} holds {many(len(gone), 'case')} that {folder.name} does not "
                f"have any more: {some(gone)}. Put them back and plan again, or train all folds of "
                f"the model anew without them: remove {folder.splits_of(INFO)}, then autoseg_train with --restart.")


def predict_pairs(
    folder: DatasetFolder, dataset: Dataset, validated: Sequence[Sequence[str]], models: Sequence[ModelFolder],
    members: Sequence[Member], devices: Sequence[str], report: ShowProgress, workers: int | None = None,
) -> dict[tuple[Member, ...], Summary]:
    """Predict and evaluate every pair of models on all validation cases; what an earlier run finished stays.

    validated: the cases that each fold did not train on. models, members: in the same order; all folds are complete. devices: a
    process for each. Writes `ensembles/<pair>/<case>`, `summary.json` and `summary.csv`. Raises AutosegError where a case is not
    preprocessed for one of the models, or memory runs out.
    """
    pairs = [
        _Ensemble(pair, chosen, folder.ensemble(ensemble_name(chosen)))
        for pair in combinations(range(len(models)), 2) if (chosen := tuple(members[index] for index in pair))
    ]
    for pair in pairs:
        _keep_only_what_these_weights_made(pair)
    cases = {case.name: case for case in dataset.training}
    total = sum(len(names) for names in validated)
    done = 0
    for fold, names in enumerate(validated):
        waiting = [cases[name] for name in names if not all(pair.path(cases[name]).exists() for pair in pairs)]
        done += len(names) - len(waiting)
        if not waiting:
            continue
        previous = [previous_predictions(folder, waiting, model, resolve_device(devices[0]), report) for model in models]
        begin = partial(_pairs_of_fold, folder, models, pairs, str(fold), previous)
        for outcome in on_places(begin, devices, waiting, lambda told: None):
            if outcome.error is not None:
                raise outcome.error
            done += 1
            report(done / total, f"ensembles: case {done}/{total}")
    validation_cases = [cases[name] for names in validated for name in names]
    return {pair.members: _evaluate(pair, validation_cases, dataset, workers) for pair in pairs}


def _pairs_of_fold(
    folder: DatasetFolder, models: Sequence[ModelFolder], pairs: Sequence[_Ensemble], fold: str,
    previous: Sequence[Mapping[str, StoredPrediction]], device: str,
) -> Work[Case]:
    """Load a fold of all models onto a device, and return what predicts cases by the pairs of them."""
    place = resolve_device(device)
    predictor = Predictor([load_model(model, [fold], device=place) for model in models], place)

    def predict(case: Case) -> None:
        _predict_case(folder, case, models, pairs, predictor, previous)

    return lambda cases, tell: (attempt(predict, case) for case in cases)


def _predict_case(
    folder: DatasetFolder, case: Case, models: Sequence[ModelFolder], pairs: Sequence[_Ensemble], predictor: Predictor,
    previous: Sequence[Mapping[str, StoredPrediction]],
) -> None:
    """Write what is not there yet of a case. previous: of each model, the predictions that it goes on from, by case."""
    missing = [pair for pair in pairs if not pair.path(case).exists()]
    prepared = prepare(folder, case, models, predictor.members, previous)
    segmentations = predictor.predict_combinations(prepared, [pair.models for pair in missing])
    like = read_label(reference_of(case), case.images[0])
    for pair, segmentation in zip(missing, segmentations, strict=True):
        write_label(pair.path(case), segmentation, like=like)


def prepare(
    folder: DatasetFolder, case: Case, models: Sequence[ModelFolder], members: Sequence[EnsembleMember],
    previous: Sequence[Mapping[str, StoredPrediction]],
) -> list[Prepared]:
    """Return a stored case as each model sees it. previous: of each model, the predictions that it goes on from, by case."""
    return [member.read_preprocessed(folder.preprocessed(INFO.stored_as(model.configuration)), case.name, stored.get(case.name))
            for member, model, stored in zip(members, models, previous, strict=True)]


def previous_predictions(
    folder: DatasetFolder, cases: Sequence[Case], model: ModelFolder, device: torch.device, report: ShowProgress
) -> Mapping[str, StoredPrediction]:
    """Return the stored predictions of the stage that a model goes on from, by case; none where it goes on from none."""
    configuration = read_model(model.model_json, ModelDescription).configuration
    if (stage := configuration.previous_stage) is None:
        return {}
    store = folder.preprocessed(INFO.stored_as(model.configuration))
    volumes = {case.name: described_volume(store, case.name) for case in cases}
    stored = with_previous(volumes, model, stage, configuration.patch_size, device, report)
    return {name: volume.previous for name, volume in stored.items() if volume.previous is not None}


def _keep_only_what_these_weights_made(pair: _Ensemble) -> None:
    """Remove predictions of other or unknown weights, and note which ones make those that follow."""
    origin = Origin.of(members=pair.members)
    if pair.folder.exists() and not origin.holds_for(pair.folder / MADE_FROM):
        shutil.rmtree(pair.folder)
    remove_leftovers(pair.folder)
    origin.write(pair.folder / MADE_FROM)


def _evaluate(pair: _Ensemble, cases: Sequence[Case], dataset: Dataset, workers: int | None) -> Summary:
    path = pair.folder / SUMMARY
    files = [Pair(case.name, reference_of(case), pair.path(case)) for case in cases]
    if path.exists() and (there := read_model(path, Summary)).made_from == made_from(files, dataset.labels):
        return there
    summary = without_failures(evaluate_pairs(files, dataset.labels, workers=workers))
    write_csv(path.with_suffix(".csv"), summary)
    write_summary(path, summary)
    return summary


def reference_of(case: Case) -> Path:
    """Return the file of a case's label. Raises AutosegError where it has none."""
    if case.label is None:
        raise AutosegError(f"{case}: it has no label to be validated against. Correct splits.json.")
    return case.label
