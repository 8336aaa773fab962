"""Requests to plan slices, checked against the dataset before any image is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError
from autoseg.planners import request
from autoseg.tasks.anomaly.options import Axis, NormalBy, PlanOptions
from autoseg.tasks.anomaly.truth import truths_of

IMAGE_SIZES = (64, 128, 256)


@dataclass(frozen=True)
class Request(request.Request[PlanOptions]):
    """A request. axis: the one that slices are perpendicular to; None if images decide. normal_by: what makes a slice normal."""

    axis: Axis | None
    normal_by: NormalBy


def prepare(source: Dataset, options: PlanOptions) -> Request:
    """Check what was asked for, and what the dataset calls its cases. Raises AutosegError for an axis or a size that there is
    not, and where the dataset does not say which slices are normal in the way that was asked for."""
    truths_of(source)
    return Request(source, options, _axis(options), _normal_by(source, options))


def _axis(options: PlanOptions) -> Axis | None:
    if options.image_size not in IMAGE_SIZES:
        raise AutosegError(f"An image size of {options.image_size} was asked for, but slices are squares of "
                           f"{_either(IMAGE_SIZES)} pixels. Images of any size are fitted into them. Choose one with "
                           "--image-size.")
    known = next((name for name in get_args(Axis) if name == options.axis), None)
    if options.axis is not None and known is None:
        raise AutosegError(f'There is no axis "{options.axis}". There are: {", ".join(get_args(Axis))}.')
    return known


def _normal_by(dataset: Dataset, options: PlanOptions) -> NormalBy:
    """Return how normal slices are told: as was asked for, or by case_labels where the dataset has any, else by foreground where
    it has foreground labels, else all are normal."""
    if options.normal == "auto":
        return "case_labels" if dataset.case_labels else "foreground" if dataset.labels.foreground else "all"
    if options.normal == "case_labels" and not dataset.case_labels:
        raise AutosegError(f'{dataset.name} does not say which cases are normal. Add "case_labels" to its dataset.json, such as '
                           '{"case_a": "normal", "case_b": "abnormal"}, or leave out --normal.')
    if options.normal == "foreground" and not dataset.labels.foreground:
        raise AutosegError(f"{dataset.name} has no foreground labels to tell normal slices by. Leave out --normal.")
    return options.normal


def _either(values: Sequence[object]) -> str:
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}"
