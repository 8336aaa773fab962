"""One fold of a detector from its slices to its validation."""

from __future__ import annotations

import torch

from autoseg.console import Report
from autoseg.tasks.anomaly.samples import draw_samples
from autoseg.tasks.anomaly.summary import AnomalySummary
from autoseg.trainers.anomaly.batches import SliceBatches, normal_slices
from autoseg.trainers.anomaly.job import DetectorData, describe_detector
from autoseg.trainers.anomaly.task import GanTask, gan_shape
from autoseg.trainers.anomaly.validation import validate_detector
from autoseg.trainers.job import Job
from autoseg.trainers.loop import Run, train
from autoseg.trainers.recipes import anomaly_defaults, find_recipe
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.settings.anomaly import AnomalySettings
from autoseg.trainers.walk import FoldWork, walk_fold

SAMPLES = 64  # in a picture
KEPT_FOR_VALIDATION = 0.2  # of --max-hours


def train_detector_fold(job: Job[AnomalySettings], data: DetectorData, report: Report) -> AnomalySummary | None:
    """Train a fold to its end, then score its validation cases (see `autoseg.trainers.walk`)."""
    return walk_fold(job, FoldWork(
        defaults=anomaly_defaults(job.recipe),
        cases=data.cases_of(job.fold),
        describe=lambda settings: describe_detector(job, data, settings),
        train=lambda settings, device: train_networks(job, data, settings, device, report),
        too_large=lambda settings: f"{settings.batch_size} slices at a time. Take fewer (--set batch_size="
                                   f"{max(2, settings.batch_size // 2)}), or plan smaller ones (--image-size).",
        validate=lambda settings, device: validate_detector(job, data, settings, device, report)))


def train_networks(
    job: Job[AnomalySettings], data: DetectorData, settings: AnomalySettings, device: torch.device, report: Report
) -> None:
    """Build the recipe's task and its batches, and run the loop; every few epochs a picture of what is generated."""
    slices = normal_slices(data.training_cases)
    task: GanTask = find_recipe(job.recipe).build(gan_shape(data.plans, settings), settings, device)
    schedule = Schedule(settings, reserve=KEPT_FOR_VALIDATION if data.validation else 0.02)

    def draw(epochs_done: int) -> None:
        if epochs_done % settings.sample_epochs == 0 or epochs_done >= schedule.epochs:
            draw_samples(job.fold_folder.samples_png(epochs_done), task.samples(SAMPLES).numpy(),
                         f"{job.model.recipe}, fold {job.fold}: generated after epoch {epochs_done}")

    train(Run(
        task, SliceBatches(slices, settings.batch_size, settings.seed, device), None, [], settings, job.fold_folder, schedule,
        report, after_epoch=draw))
