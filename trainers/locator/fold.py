"""One fold of a locator from its projections to its validation."""

from __future__ import annotations

import math

import torch

from autoseg.console import Report
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.localization.summary import LocationSummary
from autoseg.trainers.job import Job
from autoseg.trainers.locator.batches import LocatorBatches, read_projections
from autoseg.trainers.locator.job import LocatorData, describe_locator
from autoseg.trainers.locator.task import LocatorTask, sees_position
from autoseg.trainers.locator.validation import validate_locator
from autoseg.trainers.loop import Run, train
from autoseg.trainers.recipes import find_recipe, locator_defaults
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.settings.locator import LocatorSettings
from autoseg.trainers.walk import FoldWork, walk_fold

KEPT_FOR_VALIDATION = 0.02  # of --max-hours
FEWEST = 2  # projections of a batch


def train_locator_fold(job: Job[LocatorSettings], data: LocatorData, report: Report) -> LocationSummary | None:
    """Train a fold to its end, then locate the level in its validation cases (see `autoseg.trainers.walk`)."""
    return walk_fold(job, FoldWork(
        defaults=locator_defaults(job.recipe, data.plans),
        cases=data.cases_of(job.fold),
        describe=lambda settings: describe_locator(job, data, settings),
        train=lambda settings, device: train_locator(job, data, settings, device, report),
        too_large=lambda settings: _too_large(data.plans, settings),
        validate=lambda settings, device: validate_locator(job, data, device, report)))


def train_locator(
    job: Job[LocatorSettings], data: LocatorData, settings: LocatorSettings, device: torch.device, report: Report
) -> None:
    """Build the recipe's task and its batches, and run the loop."""
    plans = data.plans
    task: LocatorTask = find_recipe(job.recipe).build(plans, settings, device)
    batch_size = settings.batch_size or plans.batch_size
    mirrors = {plans.axis, plans.project} == {"y", "z"}  # then columns run from left to right
    training = LocatorBatches(
        read_projections([data.stored[name] for name in data.training]), plans.size, batch_size, settings, mirrors, device,
        position=sees_position(plans, settings))
    held_out = [data.stored[name] for name in data.validation]
    validation = LocatorBatches(
        read_projections(held_out), plans.size, batch_size, settings, False, device, is_augmented=False,
        position=sees_position(plans, settings)) if held_out else None
    train(Run(
        task, training, validation, [plans.target.name], settings, job.fold_folder,
        Schedule(settings, reserve=KEPT_FOR_VALIDATION), report,
        validation_batches=math.ceil(len(held_out) / batch_size)))


def _too_large(plans: ProjectionPlans, settings: LocatorSettings) -> str:
    batch_size = settings.batch_size or plans.batch_size
    rows, columns = plans.size
    fewer = max(FEWEST, batch_size // 2)
    instead = f"Take fewer (--set batch_size={fewer}), or plan" if fewer < batch_size else "Plan"
    return f"{batch_size} projections of {rows} × {columns} pixels at a time. {instead} larger pixels (--spacing MM)."
