"""One fold of a detector from its slices to its validation."""

from __future__ import annotations

import torch

from autoseg.console import Report
from autoseg.device import is_out_of_memory, keep_large_blocks, release_cached_memory, resolve_device
from autoseg.errors import AutosegError
from autoseg.evaluation.anomaly.samples import draw_samples
from autoseg.evaluation.anomaly.summary import AnomalySummary
from autoseg.trainers.anomaly.batches import SliceBatches, normal_slices
from autoseg.trainers.anomaly.job import DetectorData, describe_detector
from autoseg.trainers.anomaly.task import GanTask, gan_shape
from autoseg.trainers.anomaly.validation import validate_detector
from autoseg.trainers.cases import settle_cases
from autoseg.trainers.fold import forget_validation
from autoseg.trainers.job import Job, settle_settings
from autoseg.trainers.loop import Run, train
from autoseg.trainers.recipes import anomaly_defaults, find_recipe
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.settings.anomaly import AnomalySettings

SAMPLES = 64  # in a picture
KEPT_FOR_VALIDATION = 0.2  # of --max-hours


def train_detector_fold(job: Job[AnomalySettings], data: DetectorData, report: Report) -> AnomalySummary | None:
    """Train a fold to its end, then score its validation cases; the summary of that (None for "all").

    Goes on where an earlier run stopped. Raises AutosegError that says what is missing or does not fit.
    """
    settings = settle_settings(job, anomaly_defaults(job.recipe))
    device = resolve_device(job.device)
    if device.type == "cpu":
        keep_large_blocks()
    settle_cases(job.fold_folder, data.cases_of(job.fold))
    is_trained = job.fold_folder.checkpoint_final.exists()
    if not is_trained or not job.model.model_json.exists():
        describe_detector(job, data, settings)
    if not is_trained:
        forget_validation(job.fold_folder)
        try:
            train_networks(job, data, settings, device, report)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            where = "Memory" if device.type == "cpu" else f"The memory of {device}"
            raise AutosegError(
                f"{where} ran out while fold {job.fold} was trained on {settings.batch_size} slices at a time. Take fewer (--set "
                f"batch_size={max(2, settings.batch_size // 2)}), or plan smaller ones (--image-size).") from error
        release_cached_memory(device)
    return validate_detector(job, data, settings, device, report)


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
