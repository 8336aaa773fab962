"""A folder of predictions against a folder of references: summary.json in nnU-Net's form, and summary.csv."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from autoseg import image_io, layouts
from autoseg.console import ShowProgress, counted
from autoseg.dataset import Labels, load_labels
from autoseg.digests import content_stamps
from autoseg.errors import AutosegError, some
from autoseg.evaluation.case import BYTES_PER_VOXEL, CaseSummary, Pair, case_summary, compare, labels_that_occur
from autoseg.evaluation.confidence import Interval, percentile_intervals, resampled_means
from autoseg.evaluation.metrics import class_names, mean_of_finite
from autoseg.evaluation.plausible import require_common_values, unnamed_values
from autoseg.files import write_json, write_text
from autoseg.parallel import run_parallel
from autoseg.plan import Frozen
from autoseg.provenance import Origin

WORTH_A_PROCESS = 2**25  # voxels of all references below which further processes cost more than they save
CASE_COLUMNS = ("case", "class", "name")  # with which the table of all cases begins
TOLERANCE_MM = 2.0
RATED = ("Dice", "IoU", "HD95", "ASSD", "NSD", "volume_error_ml", "absolute_volume_error_ml", "lesion_F1")
COUNTED = ("FN", "FP", "TN", "TP", "n_pred", "n_ref", "lesion_TP", "lesion_FP", "lesion_FN")


class Summary(Frozen):
    """The content of summary.json: nnU-Net's entries, and intervals, volumes and failures besides.

    mean: by class key and metric (those of `CaseSummary`, and absolute_volume_error_ml), over the cases where the metric
    is neither nan nor inf. foreground_mean: mean of `mean` over the classes that occur.
    confidence, foreground_confidence: 95 % bootstrap intervals of these means over the cases, (nan, nan) where fewer
    than two have the metric. missed: by class key, cases whose reference holds the class while the prediction does not;
    false_alarms: the other way round. Both lack a finite HD95 and ASSD. never_predicted: keys of the classes that some references
    hold and no prediction does.
    names: in dataset.json, by class key. failed: what kept a case from being evaluated, by case name.
    unnamed: cases whose "references" or "predictions" hold values that dataset.json does not name, by value.
    tolerance_mm: the tolerance of NSD. made_from: digest of the files and labels that were compared (see `made_from`); empty for
    a folder that a user had evaluated, and for several summaries together.
    """

    remedy: ClassVar[str] = (
        "Remove it: autoseg_train with --continue, or autoseg find-best, makes it again from the predictions that are there.")

    foreground_mean: dict[str, float]
    mean: dict[str, dict[str, float]]
    metric_per_case: tuple[CaseSummary, ...]
    names: dict[str, str] = {}
    failed: dict[str, str] = {}
    confidence: dict[str, dict[str, Interval]] = {}
    foreground_confidence: dict[str, Interval] = {}
    missed: dict[str, int] = {}
    false_alarms: dict[str, int] = {}
    never_predicted: tuple[str, ...] = ()
    tolerance_mm: float = TOLERANCE_MM
    made_from: str = ""
    unnamed: dict[str, dict[str, tuple[str, ...]]] = {}


def made_from(pairs: Sequence[Pair], labels: Labels | None, tolerance_mm: float = TOLERANCE_MM) -> str:
    """Return a digest of all that an evaluation of these files depends on; it changes when one of the files does."""
    files = [[pair.case, *content_stamps((pair.reference, pair.prediction))] for pair in sorted(pairs)]
    return Origin.of(files=files, labels=labels, tolerance_mm=tolerance_mm).digest


def evaluate_folder(
    reference_dir: Path, prediction_dir: Path, labels: Labels | None = None, workers: int | None = None,
    tolerance_mm: float = TOLERANCE_MM, report: ShowProgress | None = None, subset: bool = False,
) -> Summary:
    """Evaluate every reference against the prediction of the same name, whatever the endings.

    labels: None to take those of a dataset.json in either folder or in the one above the references (labelsTr), or
    where there is none, one class per value that occurs. A reference without prediction, an unreadable file and a
    prediction on another grid are entered in `failed`; the other cases are evaluated. subset: references without prediction are
    left out instead. Raises AutosegError where no prediction at all has a reference, and as `require_common_values`.
    """
    references, predictions = label_files(reference_dir), label_files(prediction_dir)
    pairs = [Pair(case, references[case], predictions[case]) for case in sorted(references.keys() & predictions)]
    if not pairs:
        raise AutosegError(
            f"No prediction in {prediction_dir} has the name of a reference in {reference_dir}. Predictions: "
            f"{_names(predictions)}; references: {_names(references)}. Give the folder of references first.")
    without = [] if subset else sorted(references.keys() - predictions)
    missing = dict.fromkeys(without, f"no prediction in {prediction_dir}; with --subset, such cases are left out")
    labels = labels or labels_beside(reference_dir, prediction_dir)
    return evaluate_pairs(pairs, labels, missing, workers, tolerance_mm, report)


def evaluate_pairs(
    pairs: Sequence[Pair], labels: Labels | None, failed: dict[str, str] | None = None, workers: int | None = None,
    tolerance_mm: float = TOLERANCE_MM, report: ShowProgress | None = None,
) -> Summary:
    """Evaluate given files, several at once where they are large.

    labels: None for one class per value that occurs. failed: to be entered as they are. tolerance_mm: of NSD; raises
    AutosegError where it is negative or no number. report: called as cases are done.
    """
    if not (math.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise AutosegError(f"The tolerance of the surface Dice is {tolerance_mm} mm, expected 0 or a positive number.")
    voxels = [image_io.number_of_voxels(pair.reference) for pair in pairs]
    processes = workers if sum(voxels) > WORTH_A_PROCESS else 1
    finished = counted(report or (lambda share, text: None), len(pairs))
    failed, compared = dict(failed or {}), []
    work = partial(compare, labels=labels, tolerance_mm=tolerance_mm)
    for outcome in run_parallel(work, pairs, BYTES_PER_VOXEL * max(voxels, default=0), processes):
        if outcome.error is None:
            compared.append(outcome.value)
        else:
            failed[outcome.item.case] = str(outcome.error)
        finished(outcome.item)
    compared.sort(key=lambda entry: entry.pair.case)
    joints = {entry.pair.case: entry.joint for entry in compared}
    require_common_values(list(joints.values()), labels)
    unnamed = unnamed_values(joints, labels) if labels else {}
    labels = labels or labels_that_occur(*(entry.joint for entry in compared))
    summary = _summarize([case_summary(entry, labels) for entry in compared], class_names(labels), failed, tolerance_mm)
    return summary.model_copy(update={"made_from": made_from(pairs, labels, tolerance_mm), "unnamed": unnamed})


def without_failures(summary: Summary) -> Summary:
    """Return the summary itself. Raises AutosegError, with the first reasons, where a case could not be evaluated."""
    if summary.failed:
        reasons = "\n".join(f"  {case}: {reason}" for case, reason in list(summary.failed.items())[:3])
        raise AutosegError(
            f"{len(summary.failed)} of {len(summary.failed) + len(summary.metric_per_case)} validation cases could not be "
            f"evaluated:\n{reasons}\nThe same command tries them again.")
    return summary


def pooled_summary(summaries: Sequence[Summary]) -> Summary:
    """Pool the cases of several summaries (the folds of a cross-validation) into one, with means and intervals computed anew.

    Raises AutosegError where their tolerances differ, or where a case is in more than one of them.
    """
    tolerances = sorted({summary.tolerance_mm for summary in summaries})
    if len(tolerances) > 1:
        raise AutosegError(
            f"Surface Dice of different tolerances ({', '.join(f'{mm:g} mm' for mm in tolerances)}) cannot be pooled. "
            "Evaluate all folds with one tolerance.")
    cases = sorted((case for summary in summaries for case in summary.metric_per_case), key=lambda case: case.case)
    for one, other in itertools.pairwise(cases):
        if one.case == other.case:
            raise AutosegError(
                f"case {one.case} is in two of the summaries that are to be pooled: {one.prediction_file} and "
                f"{other.prediction_file}. Each case belongs to one fold; correct the splits.")
    names = {key: summary.names.get(key, key) for summary in summaries for key in summary.mean}
    failed = {case: reason for summary in summaries for case, reason in summary.failed.items()}
    return _summarize(cases, names, failed, tolerances[0] if tolerances else TOLERANCE_MM)


def metric_values(cases: Iterable[CaseSummary], key: str, metric: str) -> list[float]:
    """Return a class's metric in each case, absolute_volume_error_ml included; nan where the case's file does not have it."""
    if metric == "absolute_volume_error_ml":
        return [abs(value) for value in metric_values(cases, key, "volume_error_ml")]
    return [float(case.metrics.get(key, {}).get(metric, math.nan)) for case in cases]


def has_several_lesions(summary: Summary, key: str) -> bool:
    """Tell whether any reference holds more than one component of the class, so that its lesion-wise F1 is useful."""
    found = [metric_values(summary.metric_per_case, key, name) for name in ("lesion_TP", "lesion_FN")]
    return any(tp + fn > 1 for tp, fn in zip(*found, strict=True))


def write_summary(path: Path, summary: Summary) -> None:
    """Write summary.json; nan and inf are written as NaN and Infinity, as nnU-Net and Python's json do."""
    write_json(path, summary)


def write_csv(path: Path, summary: Summary) -> None:
    """Write a table with one row per case and class; what is not defined (nan) is left empty, infinite is "inf".

    Columns: case, class (key), name, the metrics of `CaseSummary`, tolerance_mm (of NSD), prediction_ml, reference_ml.
    """
    metrics = [name for name in (*RATED, *COUNTED) if name != "absolute_volume_error_ml"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*CASE_COLUMNS, *metrics, "tolerance_mm", "prediction_ml", "reference_ml"])
    for case in summary.metric_per_case:
        for key, of_class in case.metrics.items():
            cells = [of_class.get(name, math.nan) for name in metrics]
            volumes = case.volumes_ml[key]
            writer.writerow([
                case.case, key, summary.names.get(key, key), *("" if math.isnan(cell) else cell for cell in cells),
                summary.tolerance_mm, volumes.prediction, volumes.reference])
    write_text(path, text.getvalue())


def _summarize(
    cases: Sequence[CaseSummary], names: Mapping[str, str], failed: dict[str, str], tolerance_mm: float
) -> Summary:
    """Summarize cases. names: of all classes, by class key, in their order."""
    mean = {
        key: {name: mean_of_finite(metric_values(cases, key, name)) for name in (*RATED, *COUNTED)} for key in names
    }
    rated = np.array([metric_values(cases, key, name) for key in names for name in RATED], float)
    resampled = resampled_means(rated.reshape(len(names) * len(RATED), len(cases)).T)
    resampled = resampled.reshape(len(resampled), len(names), len(RATED))
    return Summary(
        foreground_mean={
            name: mean_of_finite([of_class[name] for of_class in mean.values()]) for name in (*RATED, *COUNTED)},
        mean=mean, metric_per_case=tuple(cases), names=dict(names), failed=failed,
        confidence={
            key: dict(zip(RATED, percentile_intervals(resampled[:, index]), strict=True)) for index, key in enumerate(names)},
        foreground_confidence=dict(zip(RATED, percentile_intervals(_mean_over_classes(resampled)), strict=True)),
        missed={key: _found_alone(cases, key, "n_ref", "n_pred") for key in names},
        false_alarms={key: _found_alone(cases, key, "n_pred", "n_ref") for key in names},
        never_predicted=tuple(key for key in names if _is_never_predicted(cases, key)), tolerance_mm=tolerance_mm)


def _mean_over_classes(resampled: np.ndarray) -> np.ndarray:
    """Average (resamples, classes, metrics) to (resamples, metrics); classes that a resample does not hold are left out."""
    known = ~np.isnan(resampled)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = np.where(known, resampled, 0).sum(axis=1) / known.sum(axis=1)
    return means


def _found_alone(cases: Sequence[CaseSummary], key: str, there: str, absent: str) -> int:
    """Return the number of cases with voxels of the one kind and none of the other."""
    pairs = zip(metric_values(cases, key, there), metric_values(cases, key, absent), strict=True)
    return sum(here > 0 and gone == 0 for here, gone in pairs)


def _is_never_predicted(cases: Sequence[CaseSummary], key: str) -> bool:
    references, predictions = (metric_values(cases, key, name) for name in ("n_ref", "n_pred"))
    return any(voxels > 0 for voxels in references) and not any(voxels > 0 for voxels in predictions)


def label_files(folder: Path) -> dict[str, Path]:
    """Return a folder's label files by case name. Raises AutosegError where it is no folder, or two files are of one case."""
    if not folder.is_dir():
        raise AutosegError(f"{folder} is no folder. Expected a folder of label files.")
    files: dict[str, Path] = {}
    for path in layouts.image_files(folder):
        other = files.setdefault(layouts.stem(path), path)
        if other != path:
            raise AutosegError(f"{other} and {path} are both called {layouts.stem(path)}. Leave only one of them.")
    return files


def _names(files: Mapping[str, Path]) -> str:
    return some((path.name for path in files.values()), 3) or "none"


def labels_beside(reference_dir: Path, prediction_dir: Path) -> Labels | None:
    """Return the meaning of the values from a dataset.json in either folder or the one above the references; None without one."""
    for folder in (prediction_dir, reference_dir, reference_dir.resolve().parent):
        if (folder / "dataset.json").is_file():
            return load_labels(folder / "dataset.json")
    return None
