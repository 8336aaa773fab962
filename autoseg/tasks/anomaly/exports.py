"""Exports of anomaly detectors: what the model card says of them. They have no format for other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autoseg.workspace import ModelFolder, read_model

if TYPE_CHECKING:
    from autoseg.tasks.anomaly.summary import AnomalySummary

__all__ = ["FORMATS", "PIPELINE_TAG", "facts", "results"]

PIPELINE_TAG = None  # the model hub has no word for it
FORMATS: Mapping[str, Callable[..., Any]] = {}


def facts(model: ModelFolder) -> dict[str, str]:
    """Return what a detector is, by what each is called. Raises AutosegError where model.json is damaged."""
    from autoseg.tasks.anomaly.model import AnomalyDescription

    its = read_model(model.model_json, AnomalyDescription)
    return {"channels": ", ".join(its.channel_names), "network": f"slices of {its.gan.image_size} × {its.gan.image_size} pixels",
            "recipe": its.recipe}


def results(summary: AnomalySummary) -> list[tuple[str, ...]]:
    """Return how well the scores of a cross-validation tell abnormal from normal, as rows of cells."""
    rows: list[tuple[str, ...]] = [("scores of", "normal", "abnormal", "AUROC")]
    for name, its in (("cases", summary.cases), ("slices", summary.slices)):
        rows.append((name, str(its.normal), str(its.abnormal), "not known" if its.auroc is None else f"{its.auroc:.3f}"))
    return rows
