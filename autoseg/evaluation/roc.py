"""Measures of how well a score tells abnormal from normal: ROC curve, AUROC, average precision, sensitivity; intervals by case.

Every formula takes ties as they are: entries of one score are on the same side of any threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from autoseg.errors import many
from autoseg.evaluation.confidence import Interval, percentile_intervals, resampled_cases
from autoseg.plan import Frozen

Truth = Literal["normal", "abnormal"]
BAND_POINTS = 51
NORMAL_PERCENTILE = 95.0  # percentile of the normal scores: the threshold for the sensitivity


class Scored(NamedTuple):
    """The score of one case or slice. case: the case that it belongs to."""

    case: str
    score: float
    truth: Truth | None


class RocCurve(NamedTuple):
    """The shares of normal and abnormal entries (fpr, tpr) at or above each threshold, float64, from (0, 0) to (1, 1)."""

    fpr: np.ndarray
    tpr: np.ndarray


class Detection(Frozen):
    """The measures of how well scores tell abnormal from normal.

    normal, abnormal, unknown: how many of each; the unknown count for nothing else. auroc: area under the ROC curve, the share
    of pairs of an abnormal and a normal entry in which the abnormal one has the higher score, ties half. average_precision:
    mean precision over the abnormal entries, highest score first. Both None where a group is missing. threshold: the 95th
    percentile of the normal scores, None without any; sensitivity: share of the abnormal above it. The intervals are 95 %
    bootstrap intervals over cases, None where a group has fewer than two. note: in words, why something is None, else "".
    """

    normal: int
    abnormal: int
    unknown: int
    auroc: float | None = None
    auroc_interval: Interval | None = None
    average_precision: float | None = None
    average_precision_interval: Interval | None = None
    threshold: float | None = None
    sensitivity: float | None = None
    note: str = ""


def roc_curve(scores: np.ndarray, abnormal: np.ndarray) -> RocCurve:
    """Return a point for each distinct score, highest first. scores (N,) float; abnormal (N,) bool; both groups must be there."""
    above = _above(*_by_score(scores, abnormal), np.ones((1, len(scores))))
    return RocCurve(*(np.append(0.0, counts[0] / counts[0, -1]) for counts in (above.normal, above.abnormal)))


class RocBand(NamedTuple):
    """The 95 % bootstrap interval over cases of the true positive rate (low, high), at false positive rates (fpr)."""

    fpr: np.ndarray
    low: np.ndarray
    high: np.ndarray


def roc_band(scores: np.ndarray, abnormal: np.ndarray, case: np.ndarray) -> RocBand:
    """Return the interval of a curve, from resamples with both groups. scores (N,) float; abnormal (N,) bool, both groups
    must be there; case (N,): number of each entry's case, from 0."""
    order, starts, ordered = _by_score(scores, abnormal)
    fpr, found = np.linspace(0, 1, BAND_POINTS), []
    for times in resampled_cases(int(case.max()) + 1, width=len(scores)):
        for normal, ill in zip(*_above(order, starts, ordered, times[:, case]), strict=True):
            if normal[-1] and ill[-1]:
                found.append(np.interp(fpr, np.append(0.0, normal / normal[-1]), np.append(0.0, ill / ill[-1])))
    low, high = np.transpose(percentile_intervals(np.array(found).reshape(-1, BAND_POINTS)))
    return RocBand(fpr, low, high)


def roc_of(entries: Sequence[Scored]) -> RocCurve:
    """Return the curve of the entries whose truth is known; both groups must be there."""
    known = [entry for entry in entries if entry.truth is not None]
    return roc_curve(np.array([entry.score for entry in known]), np.array([entry.truth == "abnormal" for entry in known], bool))


def auroc(scores: np.ndarray, abnormal: np.ndarray) -> float:
    """Return the ROC curve's area, Mann and Whitney's U / (n1 n2); nan without both groups. scores: (N,). abnormal: (N,) bool."""
    return float(weighted_auroc(scores, abnormal, np.ones((1, len(scores))))[0])


def weighted_auroc(scores: np.ndarray, abnormal: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the AUROC in each weighting, (W,); nan without both groups. weights (W, N): how often each entry counts."""
    return _auroc(_above(*_by_score(scores, abnormal), weights))


def auroc_of_counts(normal: np.ndarray, abnormal: np.ndarray) -> float:
    """Return the AUROC of entries that were counted by value: (values,), lowest value first. nan without both groups."""
    return float(_auroc(_Above(*(np.cumsum(counts[::-1], dtype=float)[None] for counts in (normal, abnormal))))[0])


def average_precision(scores: np.ndarray, abnormal: np.ndarray) -> float:
    """Return the sum over the distinct scores, highest first, of precision × step in recall. nan where nothing is abnormal."""
    return float(_average_precision(_above(*_by_score(scores, abnormal), np.ones((1, len(scores)))))[0])


def detection(entries: Sequence[Scored], noun: str) -> Detection:
    """Measure how well cases or slices are detected. noun: what an entry is, for the words ("case", "slice").

    The intervals resample cases (2000 times, with all their entries), because slices of one case are alike.
    """
    known = [entry for entry in entries if entry.truth is not None]
    scores = np.array([entry.score for entry in known])
    abnormal = np.array([entry.truth == "abnormal" for entry in known], bool)
    counts = {"normal": int((~abnormal).sum()), "abnormal": int(abnormal.sum()), "unknown": len(entries) - len(known)}
    if not counts["normal"] or not counts["abnormal"]:
        threshold = _threshold(scores) if counts["normal"] else None
        return Detection(**counts, threshold=threshold, note=_missing(counts, noun))
    names, case = np.unique([entry.case for entry in known], return_inverse=True)
    threshold = _threshold(scores[~abnormal])
    single = [word for word, group in (("normal", ~abnormal), ("abnormal", abnormal)) if len(np.unique(case[group])) < 2]
    area, precision = (None, None) if single else _intervals(scores, abnormal, case, len(names))
    return Detection(
        **counts, auroc=auroc(scores, abnormal), auroc_interval=area, average_precision=average_precision(scores, abnormal),
        average_precision_interval=precision, threshold=threshold, sensitivity=float((scores[abnormal] > threshold).mean()),
        note=f"No interval: all {single[0]} {noun}s are of one case." if single and noun != "case"
        else f"No interval: only one {single[0]} case." if single else "")


def _threshold(normal: np.ndarray) -> float:
    return float(np.percentile(normal, NORMAL_PERCENTILE))


def _missing(counts: dict[str, int], noun: str) -> str:
    absent = [word for word in ("normal", "abnormal") if not counts[word]]
    there = [many(count, f"{word} {noun}") for word, count in counts.items() if count and word != "unknown"]
    if counts["unknown"]:
        there.append(f"{many(counts['unknown'], noun)} of which it is not known")
    return f"No {' and no '.join(absent)} {noun} is known ({', '.join(there) or f'no {noun} at all'})."


class _Above(NamedTuple):
    """The weights of the normal and abnormal entries with at least each distinct score, highest first: (weightings, scores)."""

    normal: np.ndarray
    abnormal: np.ndarray


def _by_score(scores: np.ndarray, abnormal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the order by falling score, where in it each distinct score begins, and which entries are abnormal in it."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return order, starts, abnormal[order]


def _above(order: np.ndarray, starts: np.ndarray, abnormal: np.ndarray, weights: np.ndarray) -> _Above:
    ordered = weights[:, order]
    normal, ill = (np.add.reduceat(ordered * group, starts, axis=1).cumsum(axis=1) for group in (~abnormal, abnormal))
    return _Above(normal, ill)


def _auroc(above: _Above) -> np.ndarray:
    """Return the AUROC by the trapezoid rule; (weightings,)."""
    normal, abnormal = (np.pad(counts, ((0, 0), (1, 0))) for counts in above)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: np.ndarray = (np.diff(normal) * (abnormal[:, 1:] + abnormal[:, :-1])).sum(axis=1) / (
            2 * normal[:, -1] * abnormal[:, -1])
    return areas


def _average_precision(above: _Above) -> np.ndarray:
    gained = np.diff(above.abnormal, prepend=0)
    total = above.normal + above.abnormal
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(total > 0, above.abnormal / total, 0.0)
        values: np.ndarray = (gained * precision).sum(axis=1) / above.abnormal[:, -1]
    return values


def _intervals(scores: np.ndarray, abnormal: np.ndarray, case: np.ndarray, cases: int) -> tuple[Interval, Interval]:
    """Return the intervals of AUROC and average precision, from resamples with both groups. case (N,): each entry's case."""
    order, starts, ordered = _by_score(scores, abnormal)
    found = []
    for times in resampled_cases(cases, width=len(scores)):
        above = _above(order, starts, ordered, times[:, case])
        area = _auroc(above)
        found.append(np.stack([area, np.where(np.isnan(area), np.nan, _average_precision(above))], axis=1))
    first, second = percentile_intervals(np.concatenate(found))
    return first, second
