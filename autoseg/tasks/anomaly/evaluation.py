"""Evaluation of anomaly scores: of a folder, compared with what is known of its cases, and of a cross-validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autoseg import image_io, layouts
from autoseg.console import ShowProgress, counted
from autoseg.dataset import Labels, find_dataset, grid_differences, load_dataset
from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.csv_table import columns_of, read_rows
from autoseg.evaluation.summary import labels_beside
from autoseg.evaluation.tables import failures_table
from autoseg.files import write_json
from autoseg.image import Image
from autoseg.image_io import file_ending, float_ending, read_image, read_label
from autoseg.layouts import has_labelled_folders, image_files, is_decathlon
from autoseg.parallel import run_parallel
from autoseg.plan import Frozen
from autoseg.plotting import is_our_png
from autoseg.provenance import holds_model, require_replaceable
from autoseg.task import Evaluated
from autoseg.tasks.anomaly.figure import draw_scores
from autoseg.tasks.anomaly.maps import MapCounts, localization, map_counts
from autoseg.tasks.anomaly.reference import Reference, references_of_dataset, references_of_labels, references_of_table
from autoseg.tasks.anomaly.scores import SCORES, SLICE_SCORES, CaseScore, SliceScore
from autoseg.tasks.anomaly.summary import AnomalySummary, Evaluation, summarize
from autoseg.tasks.anomaly.tables import anomaly_table, case_scores_table, in_words
from autoseg.tasks.anomaly.truth import slice_truths, truth_of_case
from autoseg.workspace import ModelFolder, Workspace, read_json

CHANCE = 0.5  # AUROC of scores that know nothing
FEW_VALUES = 32  # up to so many it may be a label, whatever it looks like
SAME_BESIDE = 0.5  # share of neighbours with one value: regions of 3 voxels across have more, gray values that vary have less


def read_regions(path: Path, like: Path | None = None) -> Image:
    """Read a label file as `read_label` does, whose arguments these are.

    Raises AutosegError as that does, and where the file must be an image: where it holds more values than FEW_VALUES, and
    neighbouring voxels (along y or x, the file's most frequent value left out) are more often different than the same. A label of
    many organs, or of an own number for each cell, consists of regions.
    """
    label = read_label(path, like)
    counts: Counter[int] = Counter()
    for plane in label.array[0]:
        counts.update(dict(zip(*(entries.tolist() for entries in np.unique(plane, return_counts=True)), strict=True)))
    if len(counts) > FEW_VALUES and (same := _same_beside(label.array[0], counts.most_common(1)[0][0])) < SAME_BESIDE:
        raise AutosegError(
            f"{path} must be an image, and no label file: it holds {len(counts)} different values ({min(counts)} to "
            f"{max(counts)}), and only {same:.0%} of neighbouring voxels have the same one. Expected are labels: 0 where it is "
            "normal, regions of other whole numbers where it is not. Where whole images are normal or abnormal, give the folder "
            "that holds the folders normal and abnormal, or a table with the columns case, truth.")
    return label


def _same_beside(array: np.ndarray, common: int) -> float:
    """Return the share of neighbours in the planes of (Z, Y, X), both of another value than `common`, that have one value."""
    same = pairs = 0
    for plane in array:
        for left, right in ((plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])):
            counts = (left != common) & (right != common)
            pairs += int(counts.sum())
            same += int((counts & (left == right)).sum())
    return same / pairs if pairs else 1.0


BYTES_PER_VOXEL = 16  # a label and a map, and a slice of each as it is worked on
WORTH_A_PROCESS = 2**25  # voxels of all labels below which further processes cost more than they save


class _Work(NamedTuple):
    case: CaseScore
    slices: list[SliceScore]
    reference: Reference
    map: Path | None

    def __str__(self) -> str:
        return self.case.case


class _Judged(NamedTuple):
    """problem: why the map could not be compared; "" where it could, or where there is none."""

    case: CaseScore
    slices: list[SliceScore]
    counts: MapCounts | None
    problem: str


def evaluate_scores(
    prediction: Path, references: Mapping[str, Reference], workers: int | None = None, report: ShowProgress | None = None,
) -> Evaluation:
    """Compare `scores.csv`, `slice_scores.csv` and the anomaly maps of a folder with `references` (by case name).

    A case whose label or map cannot be used is entered in the summary's `failed`; the others are evaluated. Raises
    AutosegError where the scores cannot be read, where nothing is known of any case, or where none can be used.
    """
    cases, slices = read_rows(prediction / SCORES, CaseScore), read_rows(prediction / SLICE_SCORES, SliceScore)
    names = {case.case for case in cases}
    if not names & references.keys():
        raise AutosegError(f"Nothing is known of any case in {prediction / SCORES}: it has {some(sorted(names)) or 'no case'}; "
                           f"what is known is of {some(sorted(references))}. Give the truth of the cases that were predicted.")
    maps = {layouts.stem(path): path for path in layouts.image_files(prediction) if _may_be_a_map(path)}
    work = [_Work(case, [entry for entry in slices if entry.case == case.case], references[case.case], maps.get(case.case))
            for case in cases if case.case in references]
    judged, failed = _judge_all(work, workers, report)
    if not judged:
        raise AutosegError(f"Not one of {many(len(failed), 'case')} could be evaluated. {next(iter(failed.values()))}")
    truths = {one.case.case: one for one in judged}
    cases = [truths[case.case].case if case.case in truths else case for case in cases]
    slices = [entry for one in judged for entry in one.slices] + [entry for entry in slices if entry.case not in truths]
    summary = summarize(cases, slices)
    summary = summary.model_copy(update={
        "without_truth": tuple(case for case in summary.without_truth if case not in failed),
        "localization": localization([one.counts for one in judged if one.counts is not None]),
        "without_score": tuple(sorted(references.keys() - names)), "failed": failed})
    return Evaluation(summary, cases, slices)


def _may_be_a_map(path: Path) -> bool:
    """Tell whether a file may be a map. Pictures are not: the figure of an earlier evaluation, scores.png, lies among the maps,
    which hold floating point."""
    ending = file_ending(path)
    return float_ending(ending) == ending


def _judge_all(work: list[_Work], workers: int | None, report: ShowProgress | None) -> tuple[list[_Judged], dict[str, str]]:
    voxels = [image_io.number_of_voxels(one.reference.label) if one.reference.label else 0 for one in work]
    finished = counted(report or (lambda share, text: None), len(work))
    judged, failed = [], {}
    for outcome in run_parallel(_judge, work, BYTES_PER_VOXEL * max(voxels), workers if sum(voxels) > WORTH_A_PROCESS else 1):
        if outcome.error is None:
            judged.append(outcome.value)
        if problem := outcome.value.problem if outcome.error is None else str(outcome.error):
            failed[str(outcome.item)] = problem
        finished(outcome.item)
    return sorted(judged, key=lambda one: one.case.case), dict(sorted(failed.items()))


def _judge(work: _Work) -> _Judged:
    """Find the truth of a case and its slices, and where there is a label, how well the map shows it."""
    reference, counts, problem = work.reference, None, ""
    if reference.label is None:
        known = slice_truths(None, reference.truth, 0, len(work.slices), "case_labels")
        truths = [reference.slices.get(entry.slice, usual) for entry, usual in zip(work.slices, known, strict=True)]
        whole = reference.truth
    else:
        label = read_regions(reference.label, work.map)
        axis = _cut_axis(work, label.array.shape[1:])
        known = slice_truths(label.array[0], reference.truth, axis, label.array.shape[1 + axis],
                             "foreground" if reference.truth is None else "case_labels", reference.ignore)
        truths = [known[entry.slice] for entry in work.slices]
        whole = truth_of_case(known, reference.truth)
        counts, problem = _compare_map(work, label, axis)
    slices = [entry.model_copy(update={"truth": truth}) for entry, truth in zip(work.slices, truths, strict=True)]
    return _Judged(work.case.model_copy(update={"truth": whole}), slices, counts, problem)


def _cut_axis(work: _Work, shape: tuple[int, ...]) -> int:
    """Return the array axis (Z, Y, X) that the slices count along. Raises AutosegError where it is not known, or does not fit."""
    case, label = work.case.case, work.reference.label
    recorded = {entry.axis for entry in work.slices}
    axis = next(iter(recorded)) if len(recorded) == 1 else None
    if axis is None:
        fitting = [i for i in range(3) if shape[i] == len(work.slices)]
        if len(fitting) != 1:
            raise AutosegError(
                f"case {case}: {SLICE_SCORES} does not say along which axis it was cut, and its {len(work.slices)} slices do not "
                f"tell, as its label {label} has shape (z, y, x) {shape}. Predict it again with --overwrite.")
        axis = fitting[0]
    if max((entry.slice for entry in work.slices), default=0) >= shape[axis]:
        raise AutosegError(
            f"case {case}: {SLICE_SCORES} has a slice {max(entry.slice for entry in work.slices)}, but its label {label} has "
            f"{shape[axis]} slices (0 to {shape[axis] - 1}) along {'zyx'[axis]}. Is it the label of another image?")
    return axis


def _compare_map(work: _Work, label: Image, axis: int) -> tuple[MapCounts | None, str]:
    """Count voxels of the map; None, with the reason where there is one, without a map that lies on the label's grid."""
    if work.map is None:
        return None, ""
    try:
        found = read_image(work.map)
    except AutosegError as error:
        return None, str(error)
    if differing := grid_differences(label, found):
        return None, f"{work.map} does not lie on the grid of {work.reference.label}: {differing}."
    scored = [entry.slice for entry in work.slices if entry.score is not None]
    return map_counts(found.array[0], label.array[0], axis, scored, work.reference.ignore), ""


def holds(prediction: Path) -> bool:
    """Tell whether a folder holds what an anomaly detector predicted, by its scores.csv, as far as that is not the table of
    another task: an evaluation of segmentations writes one where `-o` says scores.json."""
    path = prediction / SCORES
    if not path.is_file():
        return False
    columns = columns_of(path)
    return not columns or "score" in columns


def evaluate(
    reference: str, prediction: Path, labels: Labels | None, output: Path, options: Frozen, place: Workspace,
    workers: int | None, report: ShowProgress,
) -> Evaluated:
    """Measure how well the anomaly scores of a folder tell abnormal from normal, and whether its maps show where.

    reference: a dataset (folder, name or number) with case_labels, folders normal and abnormal, or label files; a folder of
    label files, abnormal where they hold foreground; or a CSV file with the columns case, truth (normal or abnormal) and perhaps
    slice. labels: whose ignore label counts for nothing in a folder of label files. output: JSON file; the figure of the scores,
    `scores.png`, lies beside it. Raises AutosegError where nothing can be compared.
    """
    figure = output.with_name("scores.png")
    require_replaceable(output, lambda path: holds_model(path, AnomalySummary))
    require_replaceable(figure, is_our_png)
    found = evaluate_scores(prediction, _references(reference, prediction, labels, place), workers, report)
    write_json(output, found.summary)
    draw_scores(figure, found, f"Anomaly scores in {prediction}")
    its = found.summary
    return Evaluated(its, (output, figure), tuple(_shown(found)), len(its.failed),
                     its.cases.normal + its.cases.abnormal + its.cases.unknown)


def validation_scores(model: ModelFolder, folds: Iterable[int | str]) -> tuple[list[CaseScore], list[SliceScore]]:
    """Return the scores of the cases and slices that these folds validated on. Raises AutosegError where a file is missing or
    damaged."""
    places = [model.fold(fold) for fold in folds]
    cases = [row for place in places for row in read_rows(place.validated(SCORES), CaseScore)]
    return cases, [row for place in places for row in read_rows(place.validated(SLICE_SCORES), SliceScore)]


def pooled(model: ModelFolder, folds: int) -> AnomalySummary:
    """Return the pooled results of a detector whose folds are all complete; written to the model's summary.json.

    Every case counts once, as the fold that did not train on it scored it. Each fold has networks of its own, whose scores differ
    a little in scale: a pooled AUROC is rather too low than too high.
    """
    summary = summarize(*validation_scores(model, range(folds)))
    write_json(model.summary_json, summary)
    return summary


SUMMARY = AnomalySummary


def failings(summary: AnomalySummary) -> dict[str, str]:
    """Return in a sentence what a detector with these results does not do: tell abnormal from normal."""
    of_cases = summary.cases.auroc is not None
    auroc = summary.cases.auroc if of_cases else summary.slices.auroc
    if auroc is None or auroc > CHANCE:
        return {}
    return {"": f"The scores do not tell abnormal from normal {'cases' if of_cases else 'slices'}: their AUROC is {auroc:.3f}, "
                f"and {CHANCE} is chance. Train longer, or look whether normal and abnormal are called right"}


def shown(summary: AnomalySummary) -> list[Any]:
    """Return the results of a validation for a terminal."""
    return [anomaly_table(summary)]


def result(summary: AnomalySummary) -> str:
    """Return the results of a fold in a few words."""
    return "AUROC not known" if summary.cases.auroc is None else f"AUROC of cases {summary.cases.auroc:.3f}"


def _references(truth: str, prediction: Path, labels: Labels | None, place: Workspace) -> dict[str, Reference]:
    """Return what is known of cases, in whichever of its forms it was given."""
    if Path(truth).is_file():
        return references_of_table(Path(truth))
    if Path(truth).is_dir() and image_files(Path(truth)) and not _is_dataset(Path(truth)):
        known = labels or labels_beside(Path(truth), prediction)
        return references_of_labels(Path(truth), known.ignore if known else None)
    return references_of_dataset(load_dataset(find_dataset(truth, place)))


def _is_dataset(folder: Path) -> bool:
    """Tell whether a folder with image files is a dataset beside which they lie. A dataset.json without cases may lie among label
    files to say what their values mean (see `labels_beside`)."""
    if not (folder / "dataset.json").is_file():
        return has_labelled_folders(folder)
    content = read_json(folder / "dataset.json")
    return (folder / "imagesTr").is_dir() or (isinstance(content, dict) and (
        is_decathlon(content) or "dataset" in content or "layout" in content))


def _shown(found: Evaluation) -> list[Any]:
    its = found.summary
    notes: list[Any] = [case_scores_table(found.cases), anomaly_table(its), *in_words(its)]
    if its.without_truth:
        notes.append(f"Note: nothing is known of {many(len(its.without_truth), 'predicted case')}: {some(its.without_truth)}.")
    if its.without_score:
        notes.append(f"Note: {many(len(its.without_score), 'case')} of which the truth is known "
                     f"{'has' if len(its.without_score) == 1 else 'have'} no score: {some(its.without_score)}.")
    return [*notes, *([failures_table(its.failed)] if its.failed else [])]
