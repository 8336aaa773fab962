"""`locations.csv`: where a locator found what it looks for."""

from __future__ import annotations

from autoseg.plan import Frozen

LOCATIONS = "locations.csv"


class Location(Frozen):
    """A row: one case. What is not found has no slice and no position.

    slice: index of the nearest slice, from 0, as the file stores it, along `index_axis` of its array ("i", "j" or "k": its first,
    second or third axis, x, y or z of the array's (Z, Y, X)). slice_exact: between slices. mm: of the slice's middle along the
    patient's axis; x_mm, y_mm, z_mm: the same place; all in world coordinates, DICOM's frame (left, back, head). confidence: 0 to
    1, whether it was found or not.
    """

    case: str
    found: bool
    slice: int | None = None
    slice_exact: float | None = None
    index_axis: str
    mm: float | None = None
    x_mm: float | None = None
    y_mm: float | None = None
    z_mm: float | None = None
    confidence: float
