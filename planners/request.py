"""Types that all rooms of this wing share: what a planning is asked, and what it gives. Each room has the same names:

    SUMMARIES                                        its planners, each with what it is in a line
    prepare(source, options) -> Request              checks the options before any image is read
    measure(checked, dataset, request)               measures one case
    findings(request, inspections)                   lists all that is wrong with the dataset
    plan(request, usable, inspections, ...)          decides
    chosen(plans, options)                           lists the configurations that are to be preprocessed
    counts(plans, folder)                            says what is worth saying of the preprocessed cases; may be None
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from autoseg.dataset import Dataset
from autoseg.fingerprint import Fingerprint
from autoseg.image import UNKNOWN, AxisOrder, Image, axis_order, most_frequent_orientation
from autoseg.preprocessing.store import read_header
from autoseg.verification.case import without_cases
from autoseg.verification.inspection import Inspection, run_inspections

Options = TypeVar("Options", bound=BaseModel)
PlansType = TypeVar("PlansType", bound=BaseModel)
Measured = TypeVar("Measured")
Progress = Callable[[object], None]  # called with each case that is done


@dataclass(frozen=True)
class Request(Generic[Options]):
    """A request for plans. dataset: the one whose cases are inspected. options: as the user gave them. check: raises AutosegError
    where these plans cannot be made, before images are read for them; plans that are there need no such check. orientation: the
    most frequent of the training cases by their headers, where they are measured (see `inspect`)."""

    dataset: Dataset
    options: Options
    check: Callable[[], object] = field(default=tuple, kw_only=True)
    orientation: str | None = field(default=None, kw_only=True)

    def order_of(self, image: Image) -> AxisOrder:
        """Return the order in which intensities of an image are drawn, so that they are the same ones however it is stored."""
        return axis_order(image.geometry.orientation, self.orientation, image.array.shape[1:])


@dataclass(frozen=True)
class Planned(Generic[PlansType]):
    """The result of planning. fingerprint: None where the task has none."""

    plans: PlansType
    fingerprint: Fingerprint | None = None


def inspect(
    request: Request[Any], measure: Callable[..., Measured | None], workers: int | None = None
) -> Iterator[Inspection[Measured]]:
    """Check and measure every case of the request's dataset (see `run_inspections`). measure: the function of the task's room."""
    headers = [header for case in request.dataset.training if (header := read_header(case)) is not None]
    orientation = most_frequent_orientation(Counter(header.geometry.orientation or UNKNOWN for header in headers))
    alone = replace(request, dataset=without_cases(request.dataset), orientation=orientation)  # sent to the workers with each
    return run_inspections(request.dataset, functools.partial(measure, request=alone), workers)


def measured_cases(usable: Dataset, inspections: Sequence[Inspection[Measured]]) -> dict[str, Measured]:
    """Return what was measured of the training cases of `usable`, by name, in the dataset's order."""
    measured = {entry.case: entry.measured for entry in inspections if entry.measured is not None}
    return {case.name: measured[case] for case in usable.training if case in measured}
