"""`locations.csv`: where a locator found what it looks for, in the validation of a fold and in new images."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from autoseg.evaluation.csv_table import Row, YesNo

Part = Literal["whole", "before", "after"]
LOCATIONS = "locations.csv"


class ValidatedLocation(Row):
    """A row: one case, or one part of it.

    part: the whole case, or its rows before or after what is to be found, which is then not there. is_there: whether the level is
    in it. found: whether the confidence reaches the threshold. confidence: 0 to 1. slice: that of the strongest response, found
    or not; true_slice: of the level, None where it is not there; both may lie between slices, and count in the case's own order.
    slice_mm: distance of neighbouring slices.
    """

    remedy: ClassVar[str] = "Remove the file, and run the command that wrote it again: autoseg_train with --continue."
    derived: ClassVar[tuple[str, ...]] = ("error_slices", "error_mm")

    part: Part
    is_there: YesNo
    found: YesNo
    confidence: float = Field(ge=0, le=1)
    slice: float
    true_slice: float | None = None
    slice_mm: float = Field(gt=0)

    @model_validator(mode="after")
    def _the_level_has_a_slice_where_it_is_there(self) -> ValidatedLocation:
        if self.is_there != (self.true_slice is not None):
            raise ValueError("true_slice must be given where the level is there, and nowhere else")
        return self

    @property
    def about(self) -> str:
        return f"{super().about}, {self.part}"

    @property
    def error_slices(self) -> float | None:
        """Return how far the strongest response is from the level, to 0.001; None where it is not there."""
        return None if self.true_slice is None else round(abs(self.slice - self.true_slice), 3)

    @property
    def error_mm(self) -> float | None:
        """Return the same in mm."""
        return None if self.true_slice is None else round(abs(self.slice - self.true_slice) * self.slice_mm, 3)


class Location(Row):
    """A row: one case. What is not found has no slice and no position.

    slice: index of the nearest slice, from 0, as the file stores it, along `index_axis` of its array ("i", "j" or "k": its first,
    second or third axis, x, y or z of the array's (Z, Y, X)). slice_exact: between slices. mm: where that is along the patient's
    axis; x_mm, y_mm, z_mm: the middle of the plane there; all in world coordinates, DICOM's frame (left, back, head).
    confidence: 0 to 1, whether it was found or not.
    """

    remedy: ClassVar[str] = "Remove the file, and run autoseg_predict again, which wrote it."

    found: YesNo
    slice: int | None = None
    slice_exact: float | None = None
    index_axis: str
    mm: float | None = None
    x_mm: float | None = None
    y_mm: float | None = None
    z_mm: float | None = None
    confidence: float
