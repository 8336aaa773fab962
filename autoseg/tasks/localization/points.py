"""A list of points instead of masks: a CSV file with the columns case and mm."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path

from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.csv_table import read_table

REMEDY = ("Each row is a case and where the level lies along the axis in the middle of its slice, in mm of world coordinates "
          "(DICOM's frame: left, back, head); without a number it is known not to be in the case.")


def read_points(path: Path, cases: Collection[str]) -> dict[str, float | None]:
    """Case to mm along the axis, None where it is not there. cases: names of those that the dataset has.

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
