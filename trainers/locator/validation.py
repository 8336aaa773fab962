"""A fold's validation: where the locator that it trained finds the level in its held-out cases, and in parts without it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autoseg.console import Report
from autoseg.files import remove_leftovers
from autoseg.tasks.localization.locator import Located, Locator
from autoseg.tasks.localization.model import load_locator
from autoseg.tasks.localization.picture import draw_location
from autoseg.tasks.localization.store import StoredProjection
from autoseg.tasks.localization.summary import LocationSummary, summarize, write_summary
from autoseg.tasks.localization.validated import ValidatedLocation, read_validated, write_validated
from autoseg.trainers.job import Job
from autoseg.trainers.locator.batches import parts_without
from autoseg.trainers.locator.job import LocatorData, require_same_projections
from autoseg.trainers.settings.locator import LocatorSettings
from autoseg.workspace import FoldFolder

SAME_SLICE = 0.01  # rows on disk are rounded


def validate_locator(
    job: Job[LocatorSettings], data: LocatorData, device: torch.device, report: Report
) -> LocationSummary | None:
    """Locate the level in the validation cases: `locations.csv`, pictures, and last `summary.json`, in `validation/`.

    Of a case with the level, its rows before and those after what is to be found are looked at, too: there it must not be found.
    Cases that have rows already are left as they are. Raises AutosegError where a case cannot be looked at.
    """
    if not data.validation:
        return None
    place = job.fold_folder
    remove_leftovers(place.validation)
    loaded = load_locator(job.model, [job.fold], device)
    require_same_projections(job, loaded.description, data.plans)
    locator = Locator(loaded, device)
    rows = read_validated(place.locations_csv) if place.locations_csv.exists() else []
    outdated = {row.case for row in rows if not _is_true_still(row, data)}
    rows = [row for row in rows if row.case not in outdated]
    for number, name in enumerate(data.validation):
        if not any(row.case == name for row in rows):
            rows += _validate(locator, data.stored[name], place)
            write_validated(place.locations_csv, rows)
        report(1.0, f"validation: case {number + 1}/{len(data.validation)}")
    summary = summarize(rows)
    write_summary(place.summary_json, summary)
    return summary


def _validate(locator: Locator, case: StoredProjection, place: FoldFolder) -> Iterator[ValidatedLocation]:
    """The row of the whole case, then those of its parts without the level."""
    channels, level = case.read(), case.level
    located = locator.locate(channels, case.name)
    whole = _row(case, "whole", located, 0, None if level is None else case.slice_of(level.row))
    true_row = None if level is None else level.row
    draw_location(place.picture_png(case.name), channels, located.response, located.answer.row, located.found, true_row,
                  _title(whole))
    yield whole
    if level is None:
        return
    for start, stop in parts_without(level, channels.shape[1], locator.description.band):
        part = locator.locate(channels[:, start:stop], case.name)
        yield _row(case, "after" if start else "before", part, start, None)


def _is_true_still(row: ValidatedLocation, data: LocatorData) -> bool:
    """Whether what an earlier run held for true is so today: labels and points may have been corrected since."""
    case = data.stored.get(row.case)
    if case is None or row.part != "whole":
        return case is not None
    if case.level is None or row.true_slice is None:
        return case.level is None and row.true_slice is None
    return abs(case.slice_of(case.level.row) - row.true_slice) < SAME_SLICE


def _row(case: StoredProjection, part: str, located: Located, start: int, true_slice: float | None) -> ValidatedLocation:
    """Rounded as a prediction is (see `autoseg.tasks.localization.outputs.location_of`)."""
    return ValidatedLocation.model_validate({
        "case": case.name, "part": part, "is_there": true_slice is not None, "found": located.found,
        "confidence": round(located.answer.confidence, 4), "slice": round(case.slice_of(start + located.answer.row), 3),
        "true_slice": None if true_slice is None else round(true_slice, 3), "slice_mm": case.description.slice_mm})


def _title(row: ValidatedLocation) -> str:
    answer = f"slice {row.slice:.1f}" if row.found else "not found"
    error = f", {row.error_mm:.1f} mm off" if row.error_mm is not None and row.found else ""
    return f"{row.case}: {answer}{error} (confidence {row.confidence:.2f})"
