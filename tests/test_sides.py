"""Left and right: which label values and channels change places, against answers by hand."""

from __future__ import annotations

import pytest

from autoseg.dataset import Labels
from autoseg.sides import Mirroring, swapped_channels, swapped_values, swaps

KIDNEYS = Labels(values={"background": 0, "liver": 3, "kidney_l": 1, "kidney_r": 4, "ignore": 5}, ignore=5)
REGIONS = Labels(
    values={"background": 0, "any": (1, 2, 3, 4, 5), "left": (1, 3), "right": (2, 4), "left_tumour": 3, "right_tumour": 4},
    regions_class_order=(5, 1, 2, 3, 4))


def test_values_and_channels_of_classes_are_those_of_the_pair() -> None:
    assert swapped_values(KIDNEYS, [("kidney_l", "kidney_r")]) == {1: 4, 4: 1}
    assert swapped_channels(KIDNEYS, [("kidney_l", "kidney_r")]) == [0, 4, 2, 3, 1]
    assert swapped_values(KIDNEYS, []) == {} and swapped_channels(KIDNEYS, []) == [0, 1, 2, 3, 4]


def test_values_of_regions_go_where_the_mirrored_regions_overlap() -> None:
    both = [("left", "right"), ("left_tumour", "right_tumour")]
    assert swapped_values(REGIONS, both) == {1: 2, 2: 1, 3: 4, 4: 3}
    assert swapped_channels(REGIONS, both) == [0, 2, 1, 4, 3]
    # a left tumour would lie in the right kidney, and no label value does
    assert swapped_values(REGIONS, both[:1]) is None


def test_values_that_no_region_tells_apart_become_the_same() -> None:
    labels = Labels(values={"background": 0, "left": (1, 2), "right": 3}, regions_class_order=(1, 3))
    assert swapped_values(labels, [("left", "right")]) == {1: 3, 2: 3, 3: 1}


@pytest.mark.parametrize(("mirrored", "answer"), [((), False), ((0,), False), ((2,), True), ((0, 1), True), ((1, 2), False)])
def test_an_odd_number_of_axes_swaps(mirrored: tuple[int, ...], answer: bool) -> None:
    assert swaps((1, 2), mirrored) is answer


def test_mirroring_is_said_in_words() -> None:
    assert Mirroring().in_words == "no axis" and Mirroring((0, 1)).in_words == "axes 0, 1"
    assert Mirroring((0, 1, 2), (2,), (("l", "r"),)).in_words == "axes 0, 1, 2; along axis 2, l and r change places"
