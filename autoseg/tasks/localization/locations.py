"""`locations.csv`: where a locator found what it looks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict

from autoseg.evaluation.csv_table import YesNo, read_rows, write_rows
from autoseg.plan import Frozen

LOCATIONS = "locations.csv"
AGAIN = "Remove the file, and run autoseg_predict again, which wrote it."


class Location(Frozen):
    """A row: one case. What is not found has no slice and no position.

    slice: index of the nearest slice, from 0, as the file stores it, along `index_axis` of its array ("i", "j" or "k": its first,
    second or third axis, x, y or z of the array's (Z, Y, X)). slice_exact: between slices. mm: where that is along the patient's
    axis; x_mm, y_mm, z_mm: the middle of the plane there; all in world coordinates, DICOM's frame (left, back, head).
    confidence: 0 to 1, whether it was found or not.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    case: str
    found: YesNo
    slice: int | None = None
    slice_exact: float | None = None
    index_axis: str
    mm: float | None = None
    x_mm: float | None = None
    y_mm: float | None = None
    z_mm: float | None = None
    confidence: float


def write_locations(path: Path, rows: Sequence[Location]) -> None:
    """A row for each case, its columns the fields of Location; None is an empty cell."""
    write_rows(path, Location, rows)


def read_locations(path: Path) -> list[Location]:
    """In the file's order. Raises AutosegError where it is missing or damaged, or holds a case twice."""
    return read_rows(path, Location, lambda row: f"case {row.case}", AGAIN)
