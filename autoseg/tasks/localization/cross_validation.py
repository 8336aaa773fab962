"""The validated locations of a locator's folds together."""

from __future__ import annotations

from autoseg.tasks.localization.summary import LocationSummary, summarize, write_summary
from autoseg.tasks.localization.validated import read_validated
from autoseg.workspace import ModelFolder


def pooled_locator_folds(model: ModelFolder, folds: int) -> LocationSummary:
    """The pooled results of a locator whose folds are all complete; written to the model's summary.json.

    Every case counts once, as the fold that did not train on it located it. Raises AutosegError where a fold's file is missing or
    damaged.
    """
    summary = summarize([row for fold in range(folds) for row in read_validated(model.fold(fold).locations_csv)])
    write_summary(model.summary_json, summary)
    return summary
