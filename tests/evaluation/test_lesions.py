"""Lesions found, missed and invented, in drawings small enough to count by eye."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autoseg.errors import AutosegError
from autoseg.evaluation.lesions import LesionCounts, lesion_counts, lesion_counts_by_value


def drawn(*rows: str) -> np.ndarray:
    """(1, Y, X) uint8 from rows of digits; "." is 0."""
    return np.array([[[0 if cell == "." else int(cell) for cell in row] for row in rows]], np.uint8)


REFERENCE = drawn("11..1...", "1...1...", "......1.", "........")
PREDICTION = drawn(".1......", "........", "......11", "1.1.....")


def test_lesions_are_counted_as_by_eye() -> None:
    counts = lesion_counts(REFERENCE == 1, PREDICTION == 1)
    assert counts == LesionCounts(tp=2, fp=2, fn=1)
    assert counts.f1 == pytest.approx(4 / 7)


def test_one_predicted_component_finds_all_lesions_that_it_overlaps() -> None:
    assert lesion_counts(drawn("1.1.1"), drawn("1111.")) == LesionCounts(tp=2, fp=0, fn=1)


def test_several_predicted_components_find_one_lesion_once() -> None:
    assert lesion_counts(drawn("11111"), drawn("1.1.1")) == LesionCounts(tp=1, fp=0, fn=0)


def test_voxels_that_touch_at_a_corner_are_one_lesion() -> None:
    corner = np.zeros((2, 2, 2), bool)
    corner[0, 0, 0] = corner[1, 1, 1] = True
    assert lesion_counts(corner, corner) == LesionCounts(tp=1, fp=0, fn=0)


def test_without_any_lesion_f1_is_nan_and_with_one_side_only_it_is_zero() -> None:
    nothing = np.zeros((1, 4, 8), bool)
    assert math.isnan(lesion_counts(nothing, nothing).f1)
    assert lesion_counts(REFERENCE, nothing) == LesionCounts(tp=0, fp=0, fn=3) and lesion_counts(REFERENCE, nothing).f1 == 0
    assert lesion_counts(nothing, REFERENCE) == LesionCounts(tp=0, fp=3, fn=0) and lesion_counts(nothing, REFERENCE).f1 == 0


def test_each_value_is_counted_for_itself() -> None:
    reference, prediction = drawn("112..2.3"), drawn("122..1..")
    assert lesion_counts_by_value(reference, prediction) == {
        1: LesionCounts(tp=1, fp=1, fn=0), 2: LesionCounts(tp=1, fp=0, fn=1), 3: LesionCounts(tp=0, fp=0, fn=1)}


def test_values_of_a_volume_are_counted_as_their_masks() -> None:
    rng = np.random.default_rng(0)
    reference, prediction = (rng.integers(0, 9, (12, 20, 20)).astype(np.uint16) // 3 * 1000 for _ in range(2))
    counts = lesion_counts_by_value(reference, prediction)
    assert counts == {value: lesion_counts(reference == value, prediction == value) for value in (1000, 2000)}


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(AutosegError, match=r"\(1, 1, 2\), its reference \(1, 1, 3\)"):
        lesion_counts(np.ones((1, 1, 3), bool), np.ones((1, 1, 2), bool))
