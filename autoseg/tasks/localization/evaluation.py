"""Evaluation of a cross-validation: how far a locator's answers are from the true level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoseg.console import ShowProgress
from autoseg.dataset import Labels
from autoseg.errors import AutosegError, many
from autoseg.evaluation.csv_table import columns_of, read_rows
from autoseg.files import write_json
from autoseg.plan import Frozen
from autoseg.task import Evaluated
from autoseg.tasks.localization.locations import LOCATIONS, ValidatedLocation
from autoseg.tasks.localization.summary import LocationSummary, summarize
from autoseg.tasks.localization.tables import in_words, location_table
from autoseg.workspace import ModelFolder, Workspace


def holds(prediction: Path) -> bool:
    """Tell whether a folder holds what a locator found, by its table."""
    return "found" in columns_of(prediction / LOCATIONS)


def evaluate(
    reference: str, prediction: Path, labels: Labels | None, output: Path, options: Frozen, place: Workspace,
    workers: int | None, report: ShowProgress,
) -> Evaluated:
    """Raise AutosegError: there is nothing to compare a locator's answers with."""
    raise AutosegError(
        f"{prediction} holds the answers of a locator ({LOCATIONS}), and no segmentations. There is no reference to compare "
        "them with here: locators are validated when they are trained, which autoseg report DATASET shows.")


def pooled(model: ModelFolder, folds: int) -> LocationSummary:
    """Return the pooled results of a locator whose folds are all complete; written to the model's summary.json.

    Every case counts once, as the fold that did not train on it located it. Raises AutosegError where a fold's file is missing or
    damaged.
    """
    files = [model.fold(fold).validated(LOCATIONS) for fold in range(folds)]
    summary = summarize([row for file in files for row in read_rows(file, ValidatedLocation)])
    write_json(model.summary_json, summary)
    return summary


SUMMARY = LocationSummary


def failings(summary: LocationSummary) -> dict[str, str]:
    """Return in a sentence what a locator with these results does not do at all: find the level."""
    if not summary.cases or summary.found:
        return {}
    return {"": f"The level is found in none of {many(summary.cases, 'validation case')} with it. Train longer, or give a lower "
                "threshold when predicting (--set threshold=0.2)"}


def shown(summary: LocationSummary) -> list[Any]:
    """Return the results of a validation for a terminal."""
    return [location_table(summary), *in_words(summary)]


def result(summary: LocationSummary) -> str:
    """Return the results of a fold in a few words."""
    return "error not known" if summary.error_mm is None else f"mean error {summary.error_mm.mean:.2f} mm"
