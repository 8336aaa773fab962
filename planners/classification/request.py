"""Requests to plan classifiers, checked against the dataset and its table before any image is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset import Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.planners import request
from autoseg.tasks.classification.options import PlanOptions
from autoseg.tasks.classification.regions import OWN_LABELS, region_files
from autoseg.tasks.classification.targets import Known, read_targets

SMALLEST, LARGEST = 8, 1024  # voxels along the longest edge of what is seen


@dataclass(frozen=True)
class Request(request.Request[PlanOptions]):
    """A request. known: what is to be told of the cases, and their covariates.

    dataset: with the training cases that have a target. It has no labels, unless the labelled region is to be looked at: they may
    be missing or wrong.
    """

    known: Known


def prepare(source: Dataset, options: PlanOptions) -> Request:
    """Check what was asked for, and read the targets.

    Raises AutosegError for an option that cannot be, and for a table that cannot be used, with all that is wrong with it.
    """
    _require_numbers(options)
    known = read_targets(source, options)
    if options.roi == OWN_LABELS and not source.labels.foreground:
        raise AutosegError(f"{source.name} has no labels, but --roi labels asks to look at the labelled region. Give a folder "
                           "of label files or a model that makes them, or leave it out.")
    if options.roi not in (None, OWN_LABELS):
        region_files(Path(str(options.roi)))
        options = options.model_copy(update={"roi": str(Path(str(options.roi)).absolute())})
    if options.targets is not None:
        options = options.model_copy(update={"targets": options.targets.absolute()})  # a path that is valid from any folder
    return Request(_with_targets(source, known, options.roi == OWN_LABELS), options, known)


def _with_targets(source: Dataset, known: Known, with_labels: bool) -> Dataset:
    training = tuple(case for case in source.training if case.name in known.target.of_case)
    if with_labels:
        return source.model_copy(update={"training": training})
    return source.model_copy(update={
        "labels": Labels(values={"background": 0}),
        "training": tuple(case.model_copy(update={"label": None}) for case in training)})


def _require_numbers(options: PlanOptions) -> None:
    if options.edge is not None and not SMALLEST <= options.edge <= LARGEST:
        raise AutosegError(f"A size of {options.edge} voxels was asked for, but {SMALLEST} to {LARGEST} are possible.")
    if options.depth is not None and not 1 < options.depth <= 8:
        raise AutosegError(f"A depth of {options.depth} was asked for, but networks have 2 to 8 stages.")
