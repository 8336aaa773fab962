"""Exports of classifiers: what the model card says of them. They have no format for other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autoseg.workspace import ModelFolder, read_model

if TYPE_CHECKING:
    from autoseg.tasks.classification.summary import ClassSummary

__all__ = ["FORMATS", "PIPELINE_TAG", "facts", "results"]

PIPELINE_TAG = "image-classification"
FORMATS: Mapping[str, Callable[..., Any]] = {}


def facts(model: ModelFolder) -> dict[str, str]:
    """Return what a classifier is, by what each is called. Raises AutosegError where model.json is damaged."""
    from autoseg.tasks.classification.model import ClassifierDescription

    its = read_model(model.model_json, ClassifierDescription)
    covariates = ", ".join(covariate.name for covariate in its.plans.covariates) or "none"
    return {"tells": f"{its.plans.target.name}: {', '.join(its.plans.target.classes)}", "channels": ", ".join(its.channel_names),
            "covariates": covariates if its.shape.covariates else "none", "network": f"encoder of {its.shape.encoder.name}",
            "recipe": its.recipe}


def results(summary: ClassSummary) -> list[tuple[str, ...]]:
    """Return how well a cross-validation told the classes, as rows of cells."""
    from autoseg.wording import with_interval

    rows: list[tuple[str, ...]] = [("", "AUROC", "balanced accuracy", "calibration error")]
    return [*rows, *((name, *(with_interval(one.value, one.interval) for one in (
        its.mean_auroc, its.balanced_accuracy, its.calibration_error))) for name, its in summary.numbers.items())]
