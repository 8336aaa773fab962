"""The steps of one fold of a locator."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from autoseg.console import ShowProgress
from autoseg.distributed import world
from autoseg.evaluation.csv_table import read_rows, write_rows
from autoseg.files import remove_leftovers, write_json
from autoseg.tasks.localization.locations import LOCATIONS, ValidatedLocation
from autoseg.tasks.localization.locator import Located, Locator
from autoseg.tasks.localization.model import load_locator
from autoseg.tasks.localization.picture import draw_location, picture_png
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.localization.store import StoredProjection
from autoseg.tasks.localization.summary import LocationSummary, summarize
from autoseg.trainers.background import made_ahead
from autoseg.trainers.fold import FoldSteps
from autoseg.trainers.job import Job
from autoseg.trainers.localization.batches import LocatorBatches, parts_without, read_projections
from autoseg.trainers.localization.data import AGREEMENT, LocalizationData, description
from autoseg.trainers.localization.learner import LocatorLearner, sees_position
from autoseg.trainers.localization.settings import LocalizationSettings
from autoseg.trainers.loop import Run, train
from autoseg.trainers.schedule import Schedule
from autoseg.workspace import FoldFolder

KEPT_FOR_VALIDATION = 0.02  # share of --max-hours
FEWEST = 2  # projections of a batch
SAME_SLICE = 0.01  # rows on disk are rounded


def steps(
    job: Job[LocalizationSettings], data: LocalizationData, report: ShowProgress
) -> FoldSteps[LocalizationSettings, LocationSummary]:
    """Return the steps that train a fold to its end, then locate the level in its validation cases."""
    return FoldSteps(
        cases=data.cases_of(job.fold),
        describe=lambda settings: AGREEMENT.describe(job, description(job, data, settings)),
        train=lambda settings, device: train_locator(job, data, settings, device, report),
        too_large=lambda settings: _too_large(data.plans, settings),
        validate=lambda settings, device: validate_fold(job, data, device, report))


def train_locator(
    job: Job[LocalizationSettings], data: LocalizationData, settings: LocalizationSettings, device: torch.device,
    report: ShowProgress,
) -> None:
    """Build the recipe's learner and its batches, and run the loop."""
    plans = data.plans
    learner: LocatorLearner = job.built_by.build(plans, settings, device)
    batch_size = settings.batch_size or plans.batch_size
    mirrors = {plans.axis, plans.project} == {"y", "z"}  # then columns run from left to right, and are mirrored
    training = LocatorBatches(
        read_projections([data.stored[name] for name in data.training]), plans.size, batch_size, settings, mirrors, device,
        position=sees_position(plans, settings), share=world().share_of_each(batch_size))
    held_out = [data.stored[name] for name in data.validation]
    validation = LocatorBatches(
        read_projections(held_out), plans.size, batch_size, settings, False, device, is_augmented=False,
        position=sees_position(plans, settings), share=world().whole_batches(batch_size)) if held_out else None
    with made_ahead(training, device, settings.batch_processes) as batches:
        train(Run(
            learner, batches, validation, [plans.target.name], settings, job.fold_folder,
            Schedule(settings, reserve=KEPT_FOR_VALIDATION), report,
            validation_batches=math.ceil(len(held_out) / batch_size)))


def _too_large(plans: ProjectionPlans, settings: LocalizationSettings) -> str:
    batch_size = settings.batch_size or plans.batch_size
    rows, columns = plans.size
    fewer = max(FEWEST, batch_size // 2)
    instead = f"Take fewer (--set batch_size={fewer}), or plan" if fewer < batch_size else "Plan"
    return f"{batch_size} projections of {rows} × {columns} pixels at a time. {instead} larger pixels (--spacing MM)."


def validate_fold(
    job: Job[LocalizationSettings], data: LocalizationData, device: torch.device, report: ShowProgress
) -> LocationSummary | None:
    """Locate the level in the validation cases: write `locations.csv`, pictures, and last `summary.json` into `validation/`.

    In a case with the level, the rows before and those after it are looked at, too: there it must not be found. Cases that have
    rows already are left as they are. Raises AutosegError where a case cannot be looked at.
    """
    if not data.validation:
        return None
    place = job.fold_folder
    remove_leftovers(place.validation)
    loaded = load_locator(job.model, [job.fold], device)
    AGREEMENT.require_same_plans(job, loaded.description, data.plans.without_cases())
    locator = Locator(loaded, device)
    rows = read_rows(place.validated(LOCATIONS), ValidatedLocation) if place.validated(LOCATIONS).exists() else []
    outdated = {row.case for row in rows if not _is_true_still(row, data)}
    rows = [row for row in rows if row.case not in outdated]
    for number, name in enumerate(data.validation):
        if not any(row.case == name for row in rows):
            rows += _validate(locator, data.stored[name], place)
            write_rows(place.validated(LOCATIONS), ValidatedLocation, rows)
        report(1.0, f"validation: case {number + 1}/{len(data.validation)}")
    summary = summarize(rows)
    write_json(place.summary_json, summary)
    return summary


def _validate(locator: Locator, case: StoredProjection, place: FoldFolder) -> Iterator[ValidatedLocation]:
    """Yield the row of the whole case, then those of its parts without the level."""
    channels, level = case.read(), case.level
    located = locator.locate(channels, case.name)
    whole = _row(case, "whole", located, 0, None if level is None else case.slice_of(level.row))
    true_row = None if level is None else level.row
    draw_location(picture_png(place, case.name), channels, located.response, located.answer.row, located.found, true_row,
                  _title(whole))
    yield whole
    if level is None:
        return
    for start, stop in parts_without(level, channels.shape[1], locator.description.band):
        part = locator.locate(channels[:, start:stop], case.name)
        yield _row(case, "after" if start else "before", part, start, None)


def _is_true_still(row: ValidatedLocation, data: LocalizationData) -> bool:
    """Tell whether the true slice of an earlier run is still the same: labels and points may have been corrected since."""
    case = data.stored.get(row.case)
    if case is None or row.part != "whole":
        return case is not None
    if case.level is None or row.true_slice is None:
        return case.level is None and row.true_slice is None
    return abs(case.slice_of(case.level.row) - row.true_slice) < SAME_SLICE


def _row(case: StoredProjection, part: str, located: Located, start: int, true_slice: float | None) -> ValidatedLocation:
    """Return what was found in a part of a case, rounded as in `autoseg.tasks.localization.prediction.location_of`."""
    return ValidatedLocation.model_validate({
        "case": case.name, "part": part, "is_there": true_slice is not None, "found": located.found,
        "confidence": round(located.answer.confidence, 4), "slice": round(case.slice_of(start + located.answer.row), 3),
        "true_slice": None if true_slice is None else round(true_slice, 3), "slice_mm": case.description.slice_mm})


def _title(row: ValidatedLocation) -> str:
    answer = f"slice {row.slice:.1f}" if row.found else "not found"
    error = f", {row.error_mm:.1f} mm off" if row.error_mm is not None and row.found else ""
    return f"{row.case}: {answer}{error} (confidence {row.confidence:.2f})"
