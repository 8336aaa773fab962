"""A fold's `validation/locations.csv`: what a locator answered of cases of which the level is known."""

from __future__ import annotations

from typing import Literal

from autoseg.plan import Frozen

Part = Literal["whole", "before", "after"]


class ValidatedLocation(Frozen):
    """A row: one case, or one part of it.

    part: the whole case, or its rows before or after what is to be found, which is then not there. is_there: whether the level is
    in it. found: whether the confidence reaches the threshold. confidence: 0 to 1. slice: that of the strongest response, found
    or not; true_slice: of the level, None where it is not there; both may lie between slices, and count in the case's own order.
    slice_mm: distance of neighbouring slices.
    """

    case: str
    part: Part
    is_there: bool
    found: bool
    confidence: float
    slice: float
    true_slice: float | None = None
    slice_mm: float

    @property
    def error_slices(self) -> float | None:
        """How far the strongest response is from the level; None where it is not there."""
        return None if self.true_slice is None else abs(self.slice - self.true_slice)

    @property
    def error_mm(self) -> float | None:
        return None if self.error_slices is None else self.error_slices * self.slice_mm
