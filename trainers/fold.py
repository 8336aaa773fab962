"""One fold from its plans to its validation; the same for every task."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from autoseg.device import is_out_of_memory, keep_large_blocks, machine_in_words, release_cached_memory, resolve_device
from autoseg.distributed import world
from autoseg.errors import AutosegError
from autoseg.files import remove_leftovers
from autoseg.provenance import Origin
from autoseg.trainers.job import Job, SettingsType, pin_cases, pin_settings, record_training
from autoseg.workspace import FoldFolder

SummaryType = TypeVar("SummaryType")


@dataclass(frozen=True)
class FoldSteps(Generic[SettingsType, SummaryType]):
    """The steps of a fold of one task.

    cases: those of the fold. describe: writes model.json, or checks the existing one. train: ends with final weights. too_large:
    says, where memory ran out, what was trained on and what to take instead: "64 images at a time. Take fewer ...". predict:
    the part of the validation that several processes share. validate: returns the summary of the validation, None where there is
    none; the main process alone calls it. warnings: says, in sentences, what of that became worse by
    the training.
    """

    cases: Origin
    describe: Callable[[SettingsType], None]
    train: Callable[[SettingsType, torch.device], None]
    too_large: Callable[[SettingsType], str]
    validate: Callable[[SettingsType, torch.device], SummaryType | None]
    predict: Callable[[SettingsType, torch.device], None] = lambda settings, device: None
    warnings: Callable[[SummaryType], list[str]] = lambda summary: []


def run_fold(
    job: Job[SettingsType], steps: FoldSteps[SettingsType, SummaryType], check_data: Callable[[], object] = lambda: None,
    begins: Callable[[SettingsType], object] = lambda settings: None,
) -> SummaryType | None:
    """Train a fold to its end, then validate it; return the summary of that (None for "all").

    check_data: raises AutosegError where the data is not any more what the fold was trained on. It is called between the two, as
    a training takes long. begins: called before a training, with the settings that the fold was started with. Continues where an
    earlier run stopped. Raises AutosegError that says what is missing or does not fit.
    """
    settings, here = pin_settings(job), world()
    device = resolve_device(job.device)
    if device.type == "cpu":
        keep_large_blocks()
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = settings.cudnn_benchmark
    is_trained = job.fold_folder.checkpoint_final.exists()
    here.wait()  # until all have read what the main process now changes
    if here.is_main:
        _record(job, steps, settings, device, is_trained)
    if not is_trained:
        if here.is_main:
            begins(settings)
        _train(job, steps, settings, device)
        release_cached_memory(device)
        check_data()
    steps.predict(settings, device)
    here.wait()
    summary = steps.validate(settings, device) if here.is_main else None
    if here.is_main:
        job.fold_folder.training_state.unlink(missing_ok=True)  # nothing goes on from it any more
    here.wait()
    return summary


def _record(
    job: Job[SettingsType], steps: FoldSteps[SettingsType, SummaryType], settings: SettingsType, device: torch.device,
    is_trained: bool,
) -> None:
    """Write what the fold is trained on, and by what settings; remove a validation of weights that are gone."""
    pin_cases(job, steps.cases)
    if not is_trained or not job.model.model_json.exists():
        steps.describe(settings)
    if not is_trained:
        forget_validation(job.fold_folder)
        several = f", {world().size} processes" if world().size > 1 else ""
        record_training(job, settings, f"{machine_in_words(device)}{several}")


def _train(
    job: Job[SettingsType], steps: FoldSteps[SettingsType, SummaryType], settings: SettingsType, device: torch.device
) -> None:
    """Train to the end. Raises AutosegError where memory runs out, with what takes less."""
    try:
        steps.train(settings, device)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        where = "Memory" if device.type == "cpu" else f"The memory of {device}"
        raise AutosegError(f"{where} ran out while fold {job.fold} of {job.configuration} was trained on "
                           f"{steps.too_large(settings)}") from error


def forget_validation(folder: FoldFolder) -> None:
    """Remove what a killed run left, and a validation of weights that are gone (a --restart that was killed leaves it)."""
    remove_leftovers(folder.root)
    if folder.validation.exists():
        shutil.rmtree(folder.validation)
