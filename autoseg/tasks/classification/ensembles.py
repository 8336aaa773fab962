"""Classifiers, and ensembles of two of them, compared on the validation cases of all folds by AUROC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from autoseg.best import Candidate, Member, ensemble_name
from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, some
from autoseg.evaluation.comparison import Compared, Members, is_worse
from autoseg.evaluation.confidence import percentile_intervals, resampled_cases
from autoseg.evaluation.cross_validation import number_of_folds
from autoseg.provenance import Origin
from autoseg.tasks.classification import INFO, measures
from autoseg.tasks.classification.evaluation import methods_of, pooled, read_validated
from autoseg.tasks.classification.model import ClassifierDescription
from autoseg.tasks.classification.plan import ClassPlans, Target
from autoseg.tasks.classification.rows import Validated, decided
from autoseg.tasks.classification.summary import ANSWER, ClassSummary, cross_calibrated, mean_areas, summary_of
from autoseg.ways import Difference
from autoseg.workspace import DatasetFolder, ModelFolder, read_model

MEASURE = "AUROC"


@dataclass(frozen=True)
class Answers:
    """The answers of a classifier, or an ensemble, about validated cases, sorted by case: none trained on the case.

    cases, fold (N,), patients (N,): of each. truth: (N, 1) classes or (N, L) labels. found: (N, K) probabilities, at temperatures
    of the other folds. thresholds: (N, T), fitted on the other folds.
    """

    target: Target
    cases: tuple[str, ...]
    fold: np.ndarray
    patients: np.ndarray
    truth: np.ndarray
    found: np.ndarray
    thresholds: np.ndarray

    @property
    def told(self) -> np.ndarray:
        """Return what is told of each case, (N, 1) or (N, L)."""
        return np.concatenate([decided(found[None], self.target, tuple(its))
                               for found, its in zip(self.found, self.thresholds, strict=True)])

    @property
    def summary(self) -> ClassSummary:
        """Return how good the answers are."""
        return summary_of(self.target, self.cases, self.patients, self.fold, self.truth, {ANSWER: (self.found, self.told)})

    def areas(self, weights: np.ndarray) -> np.ndarray:
        """Return the mean AUROC over the classes in each resample, (R,). weights: (R, patients), how often each counts."""
        return mean_areas(self.target, self.found, self.truth, weights[:, self.patients])


def compare_models(
    folder: DatasetFolder, dataset: Dataset, models: Sequence[ModelFolder], members: Sequence[Member], ensembles: bool,
    devices: Sequence[str], workers: int | None, quiet: bool,
) -> Compared:
    """Compare classifiers whose folds are all complete; pairs by the mean of their probabilities and thresholds.

    The value is the AUROC of the second of two classes, else the mean over the classes. Differences have 95 % intervals of
    resampled patients; p is DeLong's of two classes, else by resampling. models, members: in the same order. devices, workers,
    quiet: not needed, as the answers about the validation cases are stored. Raises AutosegError where the models were not
    validated on the same cases, or tell other classes.
    """
    folds = number_of_folds(folder.splits_of(INFO))
    summaries: dict[Members, ClassSummary] = {
        (member,): pooled(model, folds) for model, member in zip(models, members, strict=True)}
    answers: dict[Members, Answers] = {
        (member,): _answers(model, folds) for model, member in zip(models, members, strict=True)}
    _require_same(answers)
    if ensembles:
        for pair in combinations(members, 2):
            answers[pair] = mean_answers([answers[(member,)] for member in pair])
            summaries[pair] = answers[pair].summary
    return Compared(candidates(answers), MEASURE, summaries)


def references(folder: DatasetFolder, dataset: Dataset) -> str:
    """Return a digest that changes when the target of a training case does."""
    target = read_model(folder.plans_of(INFO), ClassPlans).target
    return Origin.of(classes=target.classes, targets=target.of_case).digest


def mean_answers(answers: Sequence[Answers]) -> Answers:
    """Return the answers of an ensemble."""
    first = answers[0]
    return Answers(first.target, first.cases, first.fold, first.patients, first.truth,
                   np.mean([its.found for its in answers], axis=0), np.mean([its.thresholds for its in answers], axis=0))


def candidates(answers: Mapping[Members, Answers]) -> list[Candidate]:
    """Return every classifier and ensemble, the highest AUROC first, each paired with that one."""
    ones = np.ones((1, 1 + max(int(its.patients.max()) for its in answers.values())))
    values = {members: float(its.areas(ones)[0]) for members, its in answers.items()}
    in_order = sorted(answers, key=lambda members: (-np.nan_to_num(values[members]), len(members)))
    best, found = answers[in_order[0]], list[Candidate]()
    for members in in_order:
        its = answers[members]
        classes = {name: None if detection.auroc is None else round(detection.auroc, 6)
                   for name, detection in its.summary.numbers[ANSWER].auroc.items()}
        difference = None if members == in_order[0] else _difference(its, best)
        found.append(Candidate(members=members, value=float(np.nan_to_num(values[members])), classes=classes,
                               cases=len(its.cases), difference=difference,
                               is_worse=difference is not None and is_worse(difference)))
    return found


def _difference(its: Answers, best: Answers) -> Difference:
    patients = int(its.patients.max()) + 1
    ones = np.ones((1, patients))
    drawn = np.concatenate([its.areas(weights) - best.areas(weights)
                            for weights in resampled_cases(patients, width=10 * len(its.cases))])
    low, high = percentile_intervals(drawn[:, None])[0]
    known = drawn[~np.isnan(drawn)]
    p_value = min(1.0, 2 * min((known <= 0).mean(), (known >= 0).mean())) if known.size else 1.0
    if its.target.is_binary:
        p_value = measures.delong(its.found[:, 1], best.found[:, 1], its.truth[:, 0] == 1).p_value
    return Difference(mean=float(its.areas(ones)[0] - best.areas(ones)[0]), low=low, high=high,
                      p_value=float(np.nan_to_num(p_value, nan=1.0)))


def _answers(model: ModelFolder, folds: int) -> Answers:
    description = read_model(model.model_json, ClassifierDescription)
    target = description.plans.target
    rows = Validated(
        target, methods_of(description), [read_validated(description, model.fold(fold)) for fold in range(folds)])
    its = cross_calibrated(target, rows)
    order = np.argsort(rows.cases)
    patients = np.unique(rows.patients, return_inverse=True)[1]
    return Answers(target, tuple(np.array(rows.cases)[order].tolist()), rows.fold[order], patients[order], rows.truth[order],
                   its.found[order], its.thresholds[order])


def _require_same(answers: Mapping[Members, Answers]) -> None:
    """Raise AutosegError where the models cannot be compared."""
    (name, first), *others = answers.items()
    for members, its in others:
        both = f"{ensemble_name(members)} and {ensemble_name(name)}"
        if its.target.classes != first.target.classes or its.target.kind != first.target.kind:
            raise AutosegError(f"{both} tell other classes: {some(its.target.classes)}, and {some(first.target.classes)}. "
                               "Compare those of one target, with -tr.")
        fold_of = [dict(zip(of.cases, of.fold.tolist(), strict=True)) for of in (its, first)]
        if differing := sorted(case for case in {*its.cases, *first.cases} if fold_of[0].get(case) != fold_of[1].get(case)):
            raise AutosegError(f"{both} were not validated on the same cases in the same folds: {some(differing)} "
                               f"({len(differing)} in all) differ. Train one of them anew with today's folds (--restart).")
        if not np.array_equal(its.truth, first.truth):
            raise AutosegError(f"{both} were trained on other targets of the same cases. Train the older one anew (--restart).")
