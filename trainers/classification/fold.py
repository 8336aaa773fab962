"""The steps of one fold of a classifier."""

from __future__ import annotations

import math

import numpy as np
import torch

from autoseg.console import ShowProgress
from autoseg.evaluation.csv_table import write_rows
from autoseg.files import remove_leftovers, write_json
from autoseg.tasks.classification.covariates import is_standardized, moments, standardize
from autoseg.tasks.classification.evaluation import methods_of, read_validated
from autoseg.tasks.classification.explained import explain_fold
from autoseg.tasks.classification.model import load_classifier
from autoseg.tasks.classification.plan import ClassPlans
from autoseg.tasks.classification.pretrained import Pretrained
from autoseg.tasks.classification.probabilities import probabilities
from autoseg.tasks.classification.rows import (
    CLASSES,
    MAJORITY,
    Validated,
    ValidatedRow,
    validated_kind,
    validated_row,
)
from autoseg.tasks.classification.seer import Seer
from autoseg.tasks.classification.summary import ClassSummary, summarize
from autoseg.trainers.background import made_ahead
from autoseg.trainers.classification.batches import ClassBatches, read_views
from autoseg.trainers.classification.data import AGREEMENT, ClassificationData, description
from autoseg.trainers.classification.learner import ClassifierLearner
from autoseg.trainers.classification.regression import fit
from autoseg.trainers.classification.settings import ClassificationSettings
from autoseg.trainers.fold import FoldSteps
from autoseg.trainers.job import Job
from autoseg.trainers.loop import Run, train
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.stratify import spread
from autoseg.wording import times

KEPT_FOR_VALIDATION = 0.02  # share of --max-hours
FEWEST = 2  # cases of a batch


def steps(
    job: Job[ClassificationSettings], data: ClassificationData, report: ShowProgress
) -> FoldSteps[ClassificationSettings, ClassSummary]:
    """Return the steps that train a fold to its end, then tell the class of its validation cases."""
    return FoldSteps(
        cases=data.cases_of(job.fold),
        describe=lambda settings: AGREEMENT.describe(job, description(job, data, settings)),
        train=lambda settings, device: train_classifier(job, data, settings, device, report),
        too_large=lambda settings: _too_large(data.plans, settings),
        validate=lambda settings, device: validate_fold(job, data, device, report))


def train_classifier(
    job: Job[ClassificationSettings], data: ClassificationData, settings: ClassificationSettings, device: torch.device,
    report: ShowProgress,
) -> None:
    """Build the recipe's learner and its batches, and run the loop."""
    plans = data.plans
    learner: ClassifierLearner = job.built_by.build(plans, settings, device)
    if settings.pretrained is not None:
        Pretrained.at(settings.pretrained).fill(learner.network, job.fold)
    batch_size = settings.batch_size or plans.batch_size
    covariates = data.covariates(list(data.stored))
    if not settings.covariates:
        covariates = {name: values[:0] for name, values in covariates.items()}
    chosen_by = _chosen_by(data, settings)
    names = [name for name in data.training if name not in chosen_by]
    cases = read_views([data.stored[name] for name in names], plans, covariates)
    mean, std = (torch.from_numpy(values) for values in _moments(data))
    learner.know(cases, mean, std)
    training = ClassBatches(cases, plans, batch_size, settings, device, balanced=learner.balanced)
    held_out = read_views([data.stored[name] for name in chosen_by or data.validation], plans, covariates)
    shown = min(batch_size, len(held_out))
    online = ClassBatches(held_out, plans, shown, settings, device, is_augmented=False) if held_out else None
    schedule = Schedule(settings, reserve=KEPT_FOR_VALIDATION)

    def after_epoch(done: int) -> None:
        if done >= schedule.epochs or learner.is_exhausted:
            learner.take_best()

    with made_ahead(training, device, settings.batch_processes) as batches:
        train(Run(
            learner, batches, online, list(plans.target.classes), settings, job.fold_folder, schedule, report,
            validation_batches=math.ceil(len(held_out) / shown) if held_out else None, after_epoch=after_epoch))


def _chosen_by(data: ClassificationData, settings: ClassificationSettings) -> list[str]:
    """Return the training cases by whose loss the epoch is chosen: patients as a whole, each class as often as it is; none where
    the last epoch counts."""
    if not settings.early:
        return []
    patients: dict[str, list[str]] = {}
    for name, patient in data.patients().items():
        if name in data.training:
            patients.setdefault(patient, []).append(name)
    folds = min(len(patients), max(2, round(1 / settings.early)))
    labels = {name: data.plans.target.words(name) for name in data.training}
    return spread(list(patients.values()), labels, folds)[0] if len(patients) > 1 else []


def _moments(data: ClassificationData) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the covariates of the fold's training cases."""
    values = data.covariates(data.training)
    return moments(np.stack([values[name] for name in data.training]), is_standardized(data.plans.covariates))


def _too_large(plans: ClassPlans, settings: ClassificationSettings) -> str:
    batch_size = settings.batch_size or plans.batch_size
    fewer = max(FEWEST, batch_size // 2)
    instead = f"Take fewer (--set batch_size={fewer}), or plan" if fewer < batch_size else "Plan"
    return f"{batch_size} cases of {times(plans.seen)} voxels at a time. {instead} fewer voxels (--edge VOXELS)."


def validate_fold(
    job: Job[ClassificationSettings], data: ClassificationData, device: torch.device, report: ShowProgress
) -> ClassSummary | None:
    """Tell the class of the validation cases: write `classes.csv`, and last `summary.json` into `validation/`.

    Beside the classifier stand what its second branch tells from images alone, and logistic regressions on covariates and on the
    mean intensity, and the training cases' frequencies. Raises AutosegError where a case cannot be looked at.
    """
    if not data.validation:
        return None
    place, plans = job.fold_folder, data.plans
    remove_leftovers(place.validation)
    loaded = load_classifier(job.model, [job.fold], device)
    AGREEMENT.require_same_plans(job, loaded.description, plans.without_cases())
    seer, methods, target = Seer(loaded, device), methods_of(loaded.description), plans.target
    kind, others, patients = validated_kind(target, methods), _baselines(data), data.patients()
    covariates = data.covariates(data.validation)
    takes = bool(loaded.description.shape.covariates)
    rows: list[ValidatedRow] = []
    for number, name in enumerate(data.validation):
        given = covariates[name] if takes else covariates[name][:0]
        told = seer.look(data.stored[name].read(), given, name)
        beside = {method: others[method][name] for method in methods if method in others}
        if told.images_alone is not None:
            beside = {"images alone": probabilities(told.images_alone, target.kind)[0]} | beside
        rows.append(validated_row(name, patients[name], target, told.logits[0], {method: beside[method] for method in methods}))
        report(1.0, f"validation: case {number + 1}/{len(data.validation)}")
    write_rows(place.validated(CLASSES), kind, rows)
    described = loaded.description.model_copy(update={"plans": plans})
    summary = summarize(target, Validated(target, methods, [read_validated(described, place)]))
    explain_fold(seer, {name: data.stored[name] for name in data.validation}, {
        name: values if takes else values[:0] for name, values in covariates.items()}, target, place, rows)
    write_json(place.summary_json, summary)
    return summary


def _baselines(data: ClassificationData) -> dict[str, dict[str, np.ndarray]]:
    """Return by method what is told of each validation case without the image, or from its mean alone: (K,) probabilities."""
    plans, target = data.plans, data.plans.target
    truth = np.array([target.of_case[name] for name in data.training])
    means = {name: np.array([data.stored[name].mean], np.float32) for name in data.stored}
    covariates, (mean, std) = data.covariates(list(data.stored)), _moments(data)
    features = {"mean intensity": {name: standardize(value[None], *moments(np.stack([means[of] for of in data.training]), np.ones(
        1, bool)))[0] for name, value in means.items()}}
    if plans.covariates:
        features["covariates alone"] = {name: standardize(value[None], mean, std)[0] for name, value in covariates.items()}
    shares = np.array(list(target.counts().values())) / len(target.of_case)  # of all folds: those of each would tell the fold
    found = {MAJORITY: dict.fromkeys(data.validation, shares)}
    for method, of_case in features.items():
        fitted = fit(np.stack([of_case[name] for name in data.training]), truth, target)
        found[method] = {name: fitted.probabilities(of_case[name][None])[0] for name in data.validation}
    return found
