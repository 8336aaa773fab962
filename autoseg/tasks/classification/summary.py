"""`summary.json` of a classifier: how well it tells the classes, how honest its probabilities are, and what baselines reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from autoseg.evaluation.confidence import Interval, percentile_intervals, resampled_cases
from autoseg.evaluation.roc import Detection, Scored, Truth, detection, weighted_auroc
from autoseg.plan import Frozen
from autoseg.tasks.classification import measures
from autoseg.tasks.classification.model import Calibration
from autoseg.tasks.classification.plan import UNKNOWN, Kind, Target
from autoseg.tasks.classification.probabilities import fitted_temperature, log_loss, probabilities
from autoseg.tasks.classification.rows import MAJORITY, Validated, decided

ANSWER = "classifier"
FEWEST_FOR_TEMPERATURE = 10  # cases
MOST_ERRORS = 100


class Measure(Frozen):
    """A number and its 95 % bootstrap interval over patients, None where there are fewer than two."""

    value: float | None
    interval: Interval | None = None


class Numbers(Frozen):
    """Measures of how good probabilities are.

    auroc: of each class against the rest, with average precision; mean_auroc: their mean over the classes, of two classes that of
    the second. All others of what is told: balanced_accuracy: mean share of each class that is told right. sensitivity,
    specificity: of the second of two classes, at a threshold chosen on other folds; None for more. brier: 0 to 2, of all classes
    together. calibration_error: of the probability of the second of two classes, else of the class that is told.
    """

    mean_auroc: Measure
    auroc: dict[str, Detection]
    average_precision: Measure
    accuracy: Measure
    balanced_accuracy: Measure
    f1: Measure
    sensitivity: Measure | None = None
    specificity: Measure | None = None
    brier: Measure
    calibration_error: Measure
    log_loss: float | None = None


class Bin(Frozen):
    """A bin of the reliability curve."""

    probability: float
    share: float
    cases: int


class Compared(Frozen):
    """The difference of the classifier's AUROC to that of something else, on the same cases (DeLong et al. 1988)."""

    difference: float | None
    p_value: float | None


class WrongCase(Frozen):
    """A case that is told wrong. probability: of what is told; of the true class or label: true_probability."""

    case: str
    fold: int
    true: str
    told: str
    probability: float
    true_probability: float


class ClassSummary(Frozen):
    """The results of a classifier over validated cases, each by a network that was not trained on it.

    counts: cases of each class or label. numbers: by method: the classifier, and those of `rows.METHODS` that there are.
    compared:
    by method, the classifier against it. calibration: fitted on all of these cases, for new images; the numbers here are of
    temperatures and thresholds that were fitted on the other folds. uncalibrated: expected calibration error at temperature 1.
    confusion: (true, told) counts; of labels empty. reliability: see `Bin`. wrong: the most certain errors first.
    """

    remedy: ClassVar[str] = (
        "Remove it: autoseg run, or autoseg_train with --continue, makes it again from the predictions that are there.")

    target: str
    kind: Kind
    classes: tuple[str, ...]
    cases: int
    patients: int
    counts: dict[str, int]
    numbers: dict[str, Numbers]
    compared: dict[str, Compared] = {}
    calibration: Calibration | None = None
    temperatures: tuple[float, ...] = ()
    uncalibrated: float | None = None
    confusion: tuple[tuple[int, ...], ...] = ()
    reliability: tuple[Bin, ...] = ()
    wrong: tuple[WrongCase, ...] = ()


def summarize(target: Target, rows: Validated) -> ClassSummary:
    """Sum up the validated cases of one fold, or of several; one at least."""
    found, told, temperatures, _ = cross_calibrated(target, rows)
    others = {name: (of, decided(of, target) if name == MAJORITY else _told_by_other_folds(target, of, rows))
              for name, of in rows.others.items()}
    patients = np.unique(rows.patients, return_inverse=True)[1]
    raw = _calibrated_pair(target, probabilities(rows.logits, target.kind), told, rows.truth)
    return summary_of(target, rows.cases, patients, rows.fold, rows.truth, {ANSWER: (found, told), **others}).model_copy(update={
        "compared": {name: compare(target, found, of, rows.truth) for name, of in rows.others.items()},
        "calibration": calibration_of(target, rows.logits, rows.truth) if len(set(rows.fold.tolist())) > 1 else None,
        "temperatures": temperatures,
        "uncalibrated": _known(measures.calibration_error(*raw, np.ones((1, len(raw[0]))))[0])})


def summary_of(
    target: Target, cases: Sequence[str], patients: np.ndarray, fold: np.ndarray, truth: np.ndarray,
    methods: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> ClassSummary:
    """Sum up what each method tells, its probabilities (N, K) and what is told; the classifier's stands first."""
    found, told = methods[ANSWER]
    counts = measures.confusion(truth[:, 0], told[:, 0], len(target.classes), np.ones((1, len(told))))[0]
    curve = measures.reliability(*_calibrated_pair(target, found, told, truth))
    return ClassSummary(
        target=target.name, kind=target.kind, classes=target.classes, cases=len(cases), patients=int(patients.max()) + 1,
        counts=_counts(target, truth),
        numbers={name: numbers_of(target, of, its, truth, patients) for name, (of, its) in methods.items()},
        confusion=() if target.kind == "labels" else tuple(tuple(map(int, line)) for line in counts),
        reliability=tuple(Bin(probability=float(p), share=float(share), cases=int(count))
                          for p, share, count in zip(*curve, strict=True)),
        wrong=wrong_cases(target, cases, fold, truth, found, told))


class CrossCalibrated(NamedTuple):
    """The answers about validated cases, each fold's by the temperature and the thresholds that are fitted on the others.

    found: (N, K) probabilities. told: (N, 1) classes, or (N, L) labels. temperatures: of each fold. thresholds: (N, T), see
    `decided`; T is 0 where the most probable class is told.
    """

    found: np.ndarray
    told: np.ndarray
    temperatures: tuple[float, ...]
    thresholds: np.ndarray


def cross_calibrated(target: Target, rows: Validated) -> CrossCalibrated:
    """Return the answers about validated cases; at temperature 1 and threshold one half for a fold alone."""
    found = probabilities(rows.logits, target.kind)
    usual = default_thresholds(target)
    told, temperatures, thresholds = decided(found, target), [], np.full((len(found), len(usual)), usual)
    for fold in sorted(set(rows.fold.tolist())):
        own, others = rows.fold == fold, rows.fold != fold
        fitted = calibration_of(target, rows.logits[others], rows.truth[others])
        found[own] = probabilities(rows.logits[own], target.kind, fitted.temperature)
        told[own] = decided(found[own], target, fitted.thresholds)
        thresholds[own] = fitted.thresholds or usual
        temperatures.append(fitted.temperature)
    return CrossCalibrated(found, told, tuple(temperatures), thresholds)


def default_thresholds(target: Target) -> tuple[float, ...]:
    """Return the thresholds where none are fitted: one half, of the second of two classes, or of each label."""
    return (0.5,) * (len(target.classes) if target.kind == "labels" else int(target.is_binary))


def _told_by_other_folds(target: Target, found: np.ndarray, rows: Validated) -> np.ndarray:
    told = decided(found, target)
    for fold in sorted(set(rows.fold.tolist())):
        own, others = rows.fold == fold, rows.fold != fold
        told[own] = decided(found[own], target, thresholds_of(target, found[others], rows.truth[others]))
    return told


def calibration_of(target: Target, logits: np.ndarray, truth: np.ndarray) -> Calibration:
    """Return temperature and thresholds fitted on validated cases; those of no calibration where there are fewer than ten."""
    if len(logits) < FEWEST_FOR_TEMPERATURE:
        return Calibration()
    temperature = fitted_temperature(logits, truth, target.kind)
    found = probabilities(logits, target.kind, temperature)
    return Calibration(temperature=temperature, thresholds=thresholds_of(target, found, truth))


def thresholds_of(target: Target, found: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    """Return Youden's threshold of the second of two classes, or of each label; () for more classes, and without cases."""
    if not len(found):
        return ()
    if target.kind == "labels":
        known = [truth[:, label] != UNKNOWN for label in range(truth.shape[1])]
        return tuple(round(measures.youden_threshold(found[of, label], truth[of, label] == 1), 5)
                     for label, of in enumerate(known))
    return (round(measures.youden_threshold(found[:, 1], truth[:, 0] == 1), 5),) if target.is_binary else ()


def numbers_of(target: Target, found: np.ndarray, told: np.ndarray, truth: np.ndarray, patients: np.ndarray) -> Numbers:
    """Measure probabilities (N, K) and what is told. patients: (N,) of each case. Intervals resample patients 2000 times."""
    areas = {name: _detection(found[:, index], _truth_of(target, truth, index), patients)
             for index, name in enumerate(target.classes) if not (target.is_binary and index == 0)}
    count = int(patients.max(initial=-1)) + 1
    estimates = _estimates(target, found, told, truth, np.ones((1, len(found))))
    drawn = [] if count < 2 else [_estimates(target, found, told, truth, times[:, patients])
                                  for times in resampled_cases(count, width=len(found) * 10)]
    measured = {}
    for name, values in estimates.items():
        bounds = percentile_intervals(np.concatenate([one[name] for one in drawn])[:, None])[0] if drawn else None
        measured[name] = Measure(value=_known(values[0]), interval=None if bounds is None or np.isnan(bounds[0]) else bounds)
    binary = target.is_binary
    return Numbers(
        mean_auroc=_mean_area(areas, "auroc") if len(areas) == 1 else measured.pop("mean_auroc"),
        average_precision=_mean_area(areas, "average_precision"), auroc=areas,
        sensitivity=measured.pop("sensitivity") if binary else None, specificity=measured.pop("specificity") if binary else None,
        log_loss=_known(log_loss(found, truth, target.kind)) if len(found) else None, **measured)


def _estimates(
    target: Target, found: np.ndarray, told: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Return each measure in each resample, (R,). Of labels, means over the labels. mean_auroc: of several classes alone."""
    areas = {} if target.is_binary or len(target.classes) == 1 else {"mean_auroc": mean_areas(target, found, truth, weights)}
    if target.kind == "labels":
        of_labels = []
        for label in range(truth.shape[1]):
            known = truth[:, label] != UNKNOWN
            both = np.stack([1 - found[known, label], found[known, label]], 1)
            of_labels.append(_of_classes(both, told[known, label], truth[known, label], weights[:, known], True))
        return areas | {name: np.mean([one[name] for one in of_labels], axis=0) for name in of_labels[0]
                        if name not in ("sensitivity", "specificity")}
    return areas | _of_classes(found, told[:, 0], truth[:, 0], weights, target.is_binary)


def mean_areas(target: Target, found: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean AUROC over the classes, of two classes that of the second, in each resample, (R,); nan where no class can
    be told from others. found: (N, K) probabilities. truth: (N, 1) or (N, L). weights: (R, N)."""
    areas = []
    for index in range(int(target.is_binary), len(target.classes)):
        its = _truth_of(target, truth, index)
        known = its != UNKNOWN
        areas.append(weighted_auroc(found[known, index], its[known] == 1, weights[:, known]) if known.any()
                     else np.full(len(weights), np.nan))
    return measures.mean_of_known(np.stack(areas, 1))


def _of_classes(
    found: np.ndarray, told: np.ndarray, truth: np.ndarray, weights: np.ndarray, is_binary: bool
) -> dict[str, np.ndarray]:
    counts = measures.confusion(truth, told, found.shape[1], weights)
    recall, f1 = measures.recalls(counts), measures.f1(counts)
    probability = found[:, 1] if is_binary else found[np.arange(len(told)), told]
    is_true = truth == 1 if is_binary else told == truth
    measured = {
        "accuracy": measures.accuracy(counts), "balanced_accuracy": measures.balanced_accuracy(counts),
        "f1": f1[:, 1] if is_binary else measures.mean_of_known(f1), "brier": measures.brier(found, truth, weights),
        "calibration_error": measures.calibration_error(probability, is_true, weights)}
    return measured | ({"sensitivity": recall[:, 1], "specificity": recall[:, 0]} if is_binary else {})


def _detection(probability: np.ndarray, truth: np.ndarray, patients: np.ndarray) -> Detection:
    words: tuple[Truth, Truth] = ("normal", "abnormal")
    return detection([
        Scored(str(patient), float(score), None if value == UNKNOWN else words[int(value)])
        for patient, score, value in zip(patients, probability, truth, strict=True)], "case")


def _truth_of(target: Target, truth: np.ndarray, index: int) -> np.ndarray:
    """Return (N,) 1 where a case has class or label `index`, 0 where not, -1 where that is not known."""
    return truth[:, index] if target.kind == "labels" else (truth[:, 0] == index).astype(int)


def _mean_area(areas: dict[str, Detection], name: str) -> Measure:
    values = [value for one in areas.values() if (value := getattr(one, name)) is not None]
    alone = next(iter(areas.values())) if len(areas) == 1 else None
    return Measure(value=float(np.mean(values)) if values else None,
                   interval=None if alone is None else getattr(alone, f"{name}_interval"))


def compare(target: Target, found: np.ndarray, other: np.ndarray, truth: np.ndarray) -> Compared:
    """Compare the classifier with another method by AUROC; of more than two classes or labels that of the rarest one."""
    counts = list(_counts(target, truth).values())
    index = 1 if target.is_binary else counts.index(min(counts))
    its = _truth_of(target, truth, index)
    known = its != UNKNOWN
    result = measures.delong(found[known, index], other[known, index], its[known] == 1)
    return Compared(difference=_known(result.difference), p_value=_known(result.p_value))


def _calibrated_pair(
    target: Target, found: np.ndarray, told: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (M,) and whether what they are of is true: of the second of two classes, of the class that is told, or
    of every label that is known."""
    if target.kind == "labels":
        known = truth != UNKNOWN
        return found[known], truth[known] == 1
    if target.is_binary:
        return found[:, 1], truth[:, 0] == 1
    return found[np.arange(len(told)), told[:, 0]], told[:, 0] == truth[:, 0]


def _counts(target: Target, truth: np.ndarray) -> dict[str, int]:
    return {name: int((_truth_of(target, truth, index) == 1).sum()) for index, name in enumerate(target.classes)}


def wrong_cases(
    target: Target, cases: Sequence[str], fold: np.ndarray, truth: np.ndarray, found: np.ndarray, told: np.ndarray
) -> tuple[WrongCase, ...]:
    """Return the cases that are told wrong, the most certain first; of labels one entry for each wrong label."""
    wrong = []
    for index, case in enumerate(cases):
        for label, (its, true) in enumerate(zip(told[index], truth[index], strict=True)):
            if its == true or true == UNKNOWN:
                continue
            if target.kind == "labels":
                yes = float(found[index, label])
                name = target.classes[label]
                names, values = (f"{name}: {'no' if its else 'yes'}", f"{name}: {'yes' if its else 'no'}"), (1 - yes, yes)
                told_probability = values[1] if its else values[0]
                true_probability = 1 - told_probability
            else:
                names = (target.classes[true], target.classes[its])
                told_probability, true_probability = float(found[index, its]), float(found[index, true])
            wrong.append(WrongCase(case=case, fold=int(fold[index]), true=names[0], told=names[1],
                                   probability=told_probability, true_probability=true_probability))
    return tuple(sorted(wrong, key=lambda one: (one.true_probability, one.case))[:MOST_ERRORS])


def _known(value: float | Sequence[float]) -> float | None:
    number = float(np.asarray(value))
    return number if np.isfinite(number) else None
