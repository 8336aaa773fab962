"""Exports of locators: what the model card says of them. They have no format for other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autoseg.workspace import ModelFolder, read_model

if TYPE_CHECKING:
    from autoseg.tasks.localization.summary import LocationSummary

__all__ = ["FORMATS", "PIPELINE_TAG", "facts", "results"]

PIPELINE_TAG = "keypoint-detection"  # the nearest word of the model hub
FORMATS: Mapping[str, Callable[..., Any]] = {}


def facts(model: ModelFolder) -> dict[str, str]:
    """Return what a locator is, by what each is called. Raises AutosegError where model.json is damaged."""
    from autoseg.tasks.localization.model import LocatorDescription

    its = read_model(model.model_json, LocatorDescription)
    return {"finds": f"{its.plans.target.name}, along {its.plans.axis}, in a projection along {its.plans.project}",
            "channels": ", ".join(its.channel_names), "network": f"{its.network.name}, pixels of {its.plans.pixel_mm:.3g} mm",
            "recipe": its.recipe}


def results(summary: LocationSummary) -> list[tuple[str, ...]]:
    """Return how far what a cross-validation found is from the true level, as rows of cells."""
    rows: list[tuple[str, ...]] = [("cases", "found in", "mean error (mm)", "worst error (mm)")]
    errors = summary.error_mm
    return [*rows, (str(summary.cases), str(summary.found), *(("–", "–") if errors is None else (
        f"{errors.mean:.1f}", f"{errors.worst:.1f}")))]
