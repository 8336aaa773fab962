"""Anomaly scores of a prediction against what is known of its cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autoseg import image_io, layouts
from autoseg.console import Report, counted
from autoseg.dataset import grid_differences
from autoseg.errors import AutosegError, many, some
from autoseg.image import Image
from autoseg.image_io import file_ending, float_ending, read_image
from autoseg.parallel import run_parallel
from autoseg.tasks.anomaly.labels import read_regions
from autoseg.tasks.anomaly.maps import MapCounts, localization, map_counts
from autoseg.tasks.anomaly.reference import Reference
from autoseg.tasks.anomaly.scores import (
    SCORES,
    SLICE_SCORES,
    CaseScore,
    SliceScore,
    read_scores,
    read_slice_scores,
)
from autoseg.tasks.anomaly.summary import AnomalySummary, summarize
from autoseg.tasks.anomaly.truth import slice_truths, truth_of_case

BYTES_PER_VOXEL = 16  # a label and a map, and a slice of each as it is worked on
WORTH_A_PROCESS = 2**25  # voxels of all labels below which further processes cost more than they save


@dataclass(frozen=True)
class Evaluation:
    """cases, slices: with their truth."""

    summary: AnomalySummary
    cases: list[CaseScore]
    slices: list[SliceScore]


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
    prediction: Path, references: Mapping[str, Reference], workers: int | None = None, report: Report | None = None,
) -> Evaluation:
    """`scores.csv`, `slice_scores.csv` and the anomaly maps of a folder against `references` (by case name).

    A case whose label or map cannot be used is entered in the summary's `failed`; the others are evaluated. Raises
    AutosegError where the scores cannot be read, where nothing is known of any case, or where none can be used.
    """
    cases, slices = read_scores(prediction / SCORES), read_slice_scores(prediction / SLICE_SCORES)
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
    """Pictures are not: the figure of an earlier evaluation, scores.png, lies among the maps, which hold floating point."""
    ending = file_ending(path)
    return float_ending(ending) == ending


def _judge_all(work: list[_Work], workers: int | None, report: Report | None) -> tuple[list[_Judged], dict[str, str]]:
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
    """The truth of a case and its slices, and where there is a label, how well the map shows it."""
    reference, counts, problem = work.reference, None, ""
    if reference.label is None:
        known = slice_truths(None, reference.truth, 0, len(work.slices), "case_labels")
        truths = [reference.slices.get(entry.slice, usual) for entry, usual in zip(work.slices, known, strict=True)]
        whole = reference.truth
    else:
        label = read_regions(reference.label)
        axis = _cut_axis(work, label.array.shape[1:])
        known = slice_truths(label.array[0], reference.truth, axis, label.array.shape[1 + axis],
                             "foreground" if reference.truth is None else "case_labels", reference.ignore)
        truths = [known[entry.slice] for entry in work.slices]
        whole = truth_of_case(known, reference.truth)
        counts, problem = _compare_map(work, label, axis)
    slices = [entry.model_copy(update={"truth": truth}) for entry, truth in zip(work.slices, truths, strict=True)]
    return _Judged(work.case.model_copy(update={"truth": whole}), slices, counts, problem)


def _cut_axis(work: _Work, shape: tuple[int, ...]) -> int:
    """Array axis (Z, Y, X) that the slices count along. Raises AutosegError where that is not known, or does not fit."""
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
    """None, with the reason where there is one, where there is no map that lies on the label's grid."""
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
