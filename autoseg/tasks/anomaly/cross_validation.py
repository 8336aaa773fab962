"""The validation scores of a detector's folds together."""

from __future__ import annotations

from collections.abc import Iterable

from autoseg.tasks.anomaly.scores import CaseScore, SliceScore, read_scores, read_slice_scores
from autoseg.tasks.anomaly.summary import AnomalySummary, summarize, write_summary
from autoseg.workspace import ModelFolder


def validation_scores(model: ModelFolder, folds: Iterable[int | str]) -> tuple[list[CaseScore], list[SliceScore]]:
    """Of the cases and slices that these folds validated on. Raises AutosegError where a file is missing or damaged."""
    places = [model.fold(fold) for fold in folds]
    cases = [row for place in places for row in read_scores(place.scores_csv)]
    return cases, [row for place in places for row in read_slice_scores(place.slice_scores_csv)]


def pooled_detector_folds(model: ModelFolder, folds: int) -> AnomalySummary:
    """The pooled results of a detector whose folds are all complete; written to the model's summary.json.

    Every case counts once, as the fold that did not train on it scored it. Each fold has networks of its own, whose scores differ
    a little in scale: a pooled AUROC is rather too low than too high.
    """
    summary = summarize(*validation_scores(model, range(folds)))
    write_summary(model.summary_json, summary)
    return summary
