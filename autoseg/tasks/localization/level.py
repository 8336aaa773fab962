"""The level that is to be found, and its place in a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.tasks.localization.placement import Axes, ProjectionPlacement
from autoseg.tasks.localization.plan import Target

Values = tuple[int, ...]


@dataclass(frozen=True)
class Level:
    """The level in a volume. slice: its own, along the located array axis, may lie between two. first, last: slices that what is
    found reaches; of a point both are its slice. column: the middle of what is found along the array axis of the columns; None
    where that is not known. is_cut_off: whether it reaches the volume's end, so that its middle may lie elsewhere."""

    slice: float
    first: float
    last: float
    column: float | None = None
    is_cut_off: bool = False


def values_of(labels: Labels, target: Target) -> list[Values]:
    """Return the label values of each of the target's labels, which may be regions.

    Raises AutosegError where the dataset has no label of that name.
    """
    known = labels.foreground
    if unknown := [name for name in target.labels if name not in known]:
        raise AutosegError(f"There is no label {', '.join(unknown)} to be found. There are: {', '.join(known) or 'none'}.")
    return [known[name] for name in target.labels]


def level_of_label(label: np.ndarray, values: Sequence[Values], axes: Axes) -> Level | None:
    """Return the middle of a label's extent along the axis, or with two labels the middle between their middles.

    label: (Z, Y, X) integers. values: of each label. None where one of them is not there.
    """
    found = [_extent(label, each, axes) for each in values]
    extents = [level for level in found if level is not None]
    if not extents or len(extents) < len(found):
        return None
    columns = [level.column for level in extents if level.column is not None]
    return Level(
        slice=float(np.mean([level.slice for level in extents])), first=min(level.first for level in extents),
        last=max(level.last for level in extents), column=float(np.mean(columns)),
        is_cut_off=any(level.is_cut_off for level in extents))


def _extent(label: np.ndarray, values: Values, axes: Axes) -> Level | None:
    seen = np.any(np.isin(label, values).transpose(axes.rows, axes.columns, axes.projected), axis=2)
    rows, columns = np.flatnonzero(np.any(seen, axis=1)), np.flatnonzero(np.any(seen, axis=0))
    if not len(rows):
        return None
    first, last = int(rows[0]), int(rows[-1])
    return Level(
        slice=(first + last) / 2, first=first, last=last, column=(int(columns[0]) + int(columns[-1])) / 2,
        is_cut_off=first == 0 or last == label.shape[axes.rows] - 1)


class Known(NamedTuple):
    """The truth of a case. is_known: whether it is known if the level is there, and where. level: None where it is not there, or
    that is not known."""

    is_known: bool
    level: Level | None


def known_level(target: Target, labels: Labels, case: str, label: np.ndarray | None, placement: ProjectionPlacement) -> Known:
    """Return what the dataset says of a case. label: (Z, Y, X) integers, or None. placement: of the case's projection."""
    if target.labels:
        return Known(False, None) if label is None else Known(
            True, level_of_label(label, values_of(labels, target), placement.axes))
    if case not in target.points:
        return Known(False, None)
    mm = target.points[case]
    return Known(True, None if mm is None else level_of_point(mm, placement))


def level_of_point(mm: float, placement: ProjectionPlacement) -> Level | None:
    """Return the level of a point along the axis, mm in DICOM's frame; None where it is outside of the volume."""
    slice_ = placement.slice_at(mm)
    return Level(slice_, slice_, slice_) if -0.5 <= slice_ <= placement.slices - 0.5 else None


def middle_half(label: np.ndarray, values: Sequence[Values], axes: Axes) -> tuple[float, float] | None:
    """Return the indices along the projected array axis between which the middle half of the labels' voxels lies."""
    mask = np.isin(label, [value for each in values for value in each])
    others = tuple(axis for axis in range(3) if axis != axes.projected)
    counts = mask.sum(others)
    if not counts.any():
        return None
    shares = np.cumsum(counts) / counts.sum()
    return float(np.searchsorted(shares, 0.25)), float(np.searchsorted(shares, 0.75))
