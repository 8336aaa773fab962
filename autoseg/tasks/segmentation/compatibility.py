"""Whether models can be averaged: they must give the same classes of the same images, on grids of one axis order."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.errors import AutosegError
from autoseg.preprocessing.store import CaseProperties
from autoseg.tasks.segmentation.model import ModelDescription


def require_same_task(descriptions: Sequence[ModelDescription]) -> None:
    """Raise AutosegError that says what differs: labels, channels, or the order of axes in the plans."""
    first, *others = descriptions
    for other in others:
        names = f"{_name(first)} and {_name(other)} cannot be averaged"
        for what, ours, theirs in (
            ("labels", _labels(first), _labels(other)),
            ("channels", ", ".join(first.channel_names), ", ".join(other.channel_names)),
        ):
            if ours != theirs:
                raise AutosegError(f"{names}: their {what} differ ({ours} against {theirs}). Name models of one dataset.")
        if first.plans.transpose != other.plans.transpose:
            raise AutosegError(
                f"{names}: they were planned with different axis orders ({first.plans.transpose} against "
                f"{other.plans.transpose}). Train both from the same plans.")


def require_same_grid(properties: Sequence[CaseProperties]) -> CaseProperties:
    """The first one's. Raises AutosegError where a case was cropped differently for the models: its image changed."""
    first, *others = properties
    for field in ("case", "shape_original", "spacing_mm", "transpose", "crop_box", "shape_cropped"):
        for other in others:
            if getattr(first, field) != getattr(other, field):
                raise AutosegError(
                    f"case {first.case}: its preprocessed versions do not come from one image: {field} is "
                    f"{getattr(first, field)} for one model and {getattr(other, field)} for another. Run "
                    "autoseg_plan_and_preprocess again.")
    return first


def _name(description: ModelDescription) -> str:
    return f"{description.dataset} {description.configuration_name} {description.called}"


def _labels(description: ModelDescription) -> str:
    """Which output means what, in words."""
    labels = description.labels
    named = list(labels.foreground.items()) if labels.has_regions else sorted(labels.foreground.items(), key=lambda e: e[1])
    text = ", ".join(f"{name} {'+'.join(map(str, values))}" for name, values in named) or "none"
    return f"{text}; painted as {labels.regions_class_order}" if labels.has_regions else text
