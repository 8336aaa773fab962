"""The steps of one fold of an anomaly detector."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from autoseg.console import ShowProgress
from autoseg.evaluation.csv_table import read_rows, write_rows
from autoseg.files import remove_leftovers, write_json
from autoseg.tasks.anomaly.detector import AnomalyDetector
from autoseg.tasks.anomaly.model import load_detector
from autoseg.tasks.anomaly.pictures import draw_samples, panels_png, samples_png
from autoseg.tasks.anomaly.prediction import draw_highest
from autoseg.tasks.anomaly.scores import SCORES, SLICE_SCORES, CaseScore, SliceScore
from autoseg.tasks.anomaly.summary import AnomalySummary, summarize
from autoseg.trainers.anomaly.batches import SliceBatches, normal_slices
from autoseg.trainers.anomaly.data import AGREEMENT, AnomalyData, description
from autoseg.trainers.anomaly.learner import GanLearner, gan_shape
from autoseg.trainers.anomaly.settings import AnomalySettings
from autoseg.trainers.fold import FoldSteps
from autoseg.trainers.job import Job
from autoseg.trainers.loop import Run, train
from autoseg.trainers.schedule import Schedule
from autoseg.workspace import FoldFolder

SAMPLES = 64  # images in a picture
KEPT_FOR_VALIDATION = 0.2  # share of --max-hours


def steps(job: Job[AnomalySettings], data: AnomalyData, report: ShowProgress) -> FoldSteps[AnomalySettings, AnomalySummary]:
    """Return the steps that train a fold to its end, then score its validation cases."""
    return FoldSteps(
        cases=data.cases_of(job.fold),
        describe=lambda settings: AGREEMENT.describe(job, description(job, data, settings)),
        train=lambda settings, device: train_networks(job, data, settings, device, report),
        too_large=lambda settings: f"{settings.batch_size} slices at a time. Take fewer (--set batch_size="
                                   f"{max(2, settings.batch_size // 2)}), or plan smaller ones (--image-size).",
        validate=lambda settings, device: validate_fold(job, data, settings, device, report))


def train_networks(
    job: Job[AnomalySettings], data: AnomalyData, settings: AnomalySettings, device: torch.device, report: ShowProgress
) -> None:
    """Build the recipe's learner and its batches, and run the loop; every few epochs a picture of what is generated."""
    slices = normal_slices(data.training_cases)
    learner: GanLearner = job.built_by.build(gan_shape(data.plans, settings), settings, device)
    schedule = Schedule(settings, reserve=KEPT_FOR_VALIDATION if data.validation else 0.02)

    def draw(epochs_done: int) -> None:
        if epochs_done % settings.sample_epochs == 0 or epochs_done >= schedule.epochs:
            draw_samples(samples_png(job.fold_folder, epochs_done), learner.samples(SAMPLES).numpy(),
                         f"{job.model.recipe}, fold {job.fold}: generated after epoch {epochs_done}")

    train(Run(
        learner, SliceBatches(slices, settings.batch_size, settings.seed, device), None, [], settings, job.fold_folder, schedule,
        report, after_epoch=draw))


def validate_fold(
    job: Job[AnomalySettings], data: AnomalyData, settings: AnomalySettings, device: torch.device, report: ShowProgress
) -> AnomalySummary | None:
    """Score the validation cases: write `scores.csv`, `slice_scores.csv`, panels, and last `summary.json` into `validation/`.

    Of each case at most `validation_slices` slices are scored. Cases that have scores already are left as they are. Raises
    AutosegError where a case cannot be scored.
    """
    if not data.validation:
        return None
    place = job.fold_folder
    remove_leftovers(place.validation)
    cases, slices = _existing_scores(place)
    loaded = load_detector(job.model, [job.fold], device)
    AGREEMENT.require_same_plans(job, loaded.description, data.plans.without_cases())
    detector = AnomalyDetector(loaded, device, most_slices=settings.validation_slices)

    def tell(number: int, share: float) -> None:
        report(1.0, f"validation: case {number + 1}/{len(data.validation)}, {share:.0%}")

    for number, name in enumerate(data.validation):
        stored = data.stored[name]
        if name not in cases and not all(stored.blank):
            scored = detector.score_case(
                name, stored.read(), np.array(stored.blank), truths=stored.truths, truth=stored.case_truth,
                progress=partial(tell, number))
            draw_highest(panels_png(place, name), scored)
            cases[name], slices[name] = scored.case, scored.slices
            write_rows(place.validated(SLICE_SCORES), SliceScore, [row for rows in slices.values() for row in rows])
            write_rows(place.validated(SCORES), CaseScore, list(cases.values()))  # last: a case in it has all its slices
        tell(number, 1.0)
    summary = summarize(list(cases.values()), [row for rows in slices.values() for row in rows])
    write_json(place.summary_json, summary)
    return summary


def _existing_scores(place: FoldFolder) -> tuple[dict[str, CaseScore], dict[str, list[SliceScore]]]:
    """Return what an earlier run wrote, by case."""
    table = place.validated(SCORES)
    cases = {case.case: case for case in (read_rows(table, CaseScore) if table.exists() else ())}
    slices: dict[str, list[SliceScore]] = {name: [] for name in cases}
    for row in read_rows(place.validated(SLICE_SCORES), SliceScore) if place.validated(SLICE_SCORES).exists() else ():
        if row.case in slices:
            slices[row.case].append(row)
    return cases, slices

