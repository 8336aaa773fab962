"""A fold's validation: the scores of its held-out cases, normal and abnormal, by the detector that it trained."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from autoseg.console import Report
from autoseg.files import remove_leftovers
from autoseg.tasks.anomaly.detector import AnomalyDetector
from autoseg.tasks.anomaly.model import load_detector
from autoseg.tasks.anomaly.outputs import draw_highest
from autoseg.tasks.anomaly.scores import (
    CaseScore,
    SliceScore,
    read_scores,
    read_slice_scores,
    write_scores,
    write_slice_scores,
)
from autoseg.tasks.anomaly.summary import AnomalySummary, summarize, write_summary
from autoseg.trainers.anomaly.job import DetectorData, require_same_slices
from autoseg.trainers.job import Job
from autoseg.trainers.settings.anomaly import AnomalySettings
from autoseg.workspace import FoldFolder


def validate_detector(
    job: Job[AnomalySettings], data: DetectorData, settings: AnomalySettings, device: torch.device, report: Report
) -> AnomalySummary | None:
    """Score the validation cases: `scores.csv`, `slice_scores.csv`, panels, and last `summary.json`, in `validation/`.

    Of each case at most `validation_slices` slices are scored. Cases that have scores already are left as they are. Raises
    AutosegError where a case cannot be scored.
    """
    if not data.validation:
        return None
    place = job.fold_folder
    remove_leftovers(place.validation)
    cases, slices = _scores_there(place)
    loaded = load_detector(job.model, [job.fold], device)
    require_same_slices(job, loaded.description, data.plans)
    detector = AnomalyDetector(loaded, device, most_slices=settings.validation_slices)

    def tell(number: int, share: float) -> None:
        report(1.0, f"validation: case {number + 1}/{len(data.validation)}, {share:.0%}")

    for number, name in enumerate(data.validation):
        stored = data.stored[name]
        if name not in cases and not all(stored.blank):
            scored = detector.score_case(
                name, stored.read(), np.array(stored.blank), truths=stored.truths, truth=stored.case_truth,
                progress=partial(tell, number))
            draw_highest(place.panels_png(name), scored)
            cases[name], slices[name] = scored.case, scored.slices
            write_slice_scores(place.slice_scores_csv, [row for rows in slices.values() for row in rows])
            write_scores(place.scores_csv, list(cases.values()))  # last: a case that is there has all its slices
        tell(number, 1.0)
    summary = summarize(list(cases.values()), [row for rows in slices.values() for row in rows])
    write_summary(place.summary_json, summary)
    return summary


def _scores_there(place: FoldFolder) -> tuple[dict[str, CaseScore], dict[str, list[SliceScore]]]:
    """What an earlier run wrote, by case."""
    cases = {case.case: case for case in read_scores(place.scores_csv)} if place.scores_csv.exists() else {}
    slices: dict[str, list[SliceScore]] = {name: [] for name in cases}
    for row in read_slice_scores(place.slice_scores_csv) if place.slice_scores_csv.exists() else ():
        if row.case in slices:
            slices[row.case].append(row)
    return cases, slices

