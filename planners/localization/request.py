"""Requests to plan projections, checked against the dataset before any image is read."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from autoseg.dataset import Dataset, Labels
from autoseg.errors import AutosegError, did_you_mean, many, some
from autoseg.evaluation.csv_table import read_table
from autoseg.planners import request
from autoseg.tasks.localization.options import PlanOptions
from autoseg.tasks.localization.plan import SEEN, Target, WorldAxis

REMEDY = ("Each row is a case and where the level lies along the axis in the middle of its slice, in mm of world coordinates "
          "(DICOM's frame: left, back, head); without a number it is known not to be in the case.")


def read_points(path: Path, cases: Collection[str]) -> dict[str, float | None]:
    """Read the mm along the axis of each case, None where the level is not there. cases: names of those that the dataset has.

    Raises AutosegError where the file cannot be read, has other columns, names a case twice or one that is not there, or where
    an entry is no number.
    """
    points: dict[str, float | None] = {}
    for line in read_table(path, ["case", "mm"], remedy=REMEDY):
        case, text = line.cells["case"], line.cells["mm"]
        if case in points:
            raise AutosegError(f"{path}, line {line.number}: case {case} is named a second time. Give each case one row.")
        points[case] = _number(path, line.number, text)
    if unknown := sorted(points.keys() - set(cases)):
        raise AutosegError(f"{path} names {many(len(unknown), 'case')} that the dataset does not have: {some(unknown)}. It has "
                           f"{some(sorted(cases))}.")
    return points


def _number(path: Path, number: int, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AutosegError(f'{path}, line {number}: "{text}" is no number of mm. {REMEDY}')
    return value


PROJECTED: dict[WorldAxis, WorldAxis] = {"x": "y", "y": "x", "z": "x"}  # axis along which: axis projected away, by default


@dataclass(frozen=True)
class Request(request.Request[PlanOptions]):
    """A request. target: what is found. axis: the patient's axis along which it is found. project: the axis to project away.

    dataset: where a list of points says where the target is, the dataset has no labels: its own may be missing or wrong.
    """

    target: Target
    axis: WorldAxis
    project: WorldAxis


def prepare(source: Dataset, options: PlanOptions) -> Request:
    """Check what was asked for, and read the list of points where there is one.

    Raises AutosegError for an axis, a number, a channel or a label that cannot be, and for a list that cannot be read.
    """
    axis, project = _axes(options)
    _require_numbers(options)
    _require_channels(options)
    if options.points is None:
        return Request(source, options, target_of(source.labels, options.find), axis, project)
    points = read_points(options.points, [case.name for case in source.training])
    options = options.model_copy(update={"points": options.points.absolute()})  # a path that is valid from any folder
    target = Target(name=" ".join(options.find) or "the point", points=points)
    return Request(_without_labels(source), options, target, axis, project)


def _axes(options: PlanOptions) -> tuple[WorldAxis, WorldAxis]:
    """Return the axis along which something is found, and the one that is projected away."""
    known: dict[str, WorldAxis] = {name: name for name in get_args(WorldAxis)}
    for name in (options.axis, options.project):
        if name is not None and name not in known:
            raise AutosegError(f'There is no axis "{name}" to find something along, or to project along. There are: x (left to '
                               "right), y (front to back), z (feet to head).")
    along = known[options.axis]
    away = known[options.project or PROJECTED[along]]
    if away == along:
        raise AutosegError(f"--axis and --project are both {along}: what is found along an axis cannot be seen once that is "
                           "projected away. Choose another one of x, y, z with --project.")
    return along, away


def _require_numbers(options: PlanOptions) -> None:
    slab, window, spacing, size, depth = options.slab, options.window, options.spacing, options.size, options.depth
    if slab is not None and not 0 < slab <= 1:
        raise AutosegError(f"A slab of {slab} was asked for, but it is a share of the extent, more than 0 and at most 1.")
    if window is not None and not 0 <= window[0] < window[1] <= 100:
        raise AutosegError(f"A window between the percentiles {window} was asked for, but two rising numbers of 0 to 100 are "
                           "needed.")
    if spacing is not None and not 0 < spacing < math.inf:
        raise AutosegError(f"Pixels of {spacing} mm were asked for, but their edge must be longer than 0.")
    if size is not None and min(size) < 8:
        raise AutosegError(f"A size of {size} pixels was asked for, but 8 × 8 are needed at least.")
    if depth is not None and not 1 < depth <= 8:
        raise AutosegError(f"A depth of {depth} was asked for, but networks have 2 to 8 stages.")


def _require_channels(options: PlanOptions) -> None:
    if options.channels is None:
        return
    if unknown := [name for name in options.channels if name not in SEEN]:
        raise AutosegError(f"There is no channel {' and no channel '.join(unknown)} of a projection. There are: "
                           f"{', '.join(SEEN)} (both: the mean of maximum and mean).")
    if not options.channels or len(set(options.channels)) < len(options.channels):
        raise AutosegError(f"The channels {' '.join(options.channels) or '(none)'} were asked for. Name each of "
                           f"{', '.join(SEEN)} once at most, and one at least.")


def target_of(labels: Labels, find: Sequence[str]) -> Target:
    """Return the target that --find asks for. find: names or values of one label or two.

    Raises AutosegError that lists the labels there are.
    """
    by_value = {str(values[0]): name for name, values in labels.foreground.items() if len(values) == 1}
    named = [name if name in labels.foreground else by_value.get(name, name) for name in find]
    listed = some(labels.foreground, 30) or "none but background"
    if not named or len(named) > 2:
        asked = f"{len(named)} labels were asked for" if named else "It was not said what is to be found"
        raise AutosegError(f"{asked}. Name one label with --find, or two to find the middle between them, or give a list of "
                           f"points with --points. There are: {listed}.")
    if unknown := [name for name in named if name not in labels.foreground]:
        raise AutosegError(f"There is no label {' and no label '.join(unknown)} to be found."
                           f"{did_you_mean(unknown[0], labels.foreground)} There are: {listed}.")
    if len(set(named)) < len(named):
        raise AutosegError(f"{named[0]} was named twice. Name one label, or two different ones.")
    return Target(name=named[0] if len(named) == 1 else f"the middle between {named[0]} and {named[1]}", labels=tuple(named))


def _without_labels(source: Dataset) -> Dataset:
    return source.model_copy(update={
        "labels": Labels(values={"background": 0}),
        "training": tuple(case.model_copy(update={"label": None}) for case in source.training)})
