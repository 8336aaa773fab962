"""Where the level is, by hand: of one label, of two, of a region, of a point; and how far to the sides it reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.image import Geometry
from autoseg.tasks.localization.level import Known, Level, known_level, level_of_label, level_of_point, middle_half, values_of
from autoseg.tasks.localization.placement import ProjectionPlacement, axes_of
from autoseg.tasks.localization.plan import ProjectionPlans, Target

GEOMETRY = Geometry((2.0, 1.0, 1.0), (0.0, 0.0, 100.0))  # slices lie at 100, 102, ..., 118 mm
AXES = axes_of(GEOMETRY, "z", "x")
ONE, TWO = Target(name="L3", labels=("L3",)), Target(name="between", labels=("L3", "L4"))
LABELS = Labels(values={"background": 0, "L3": 1, "L4": 2})


def label_with(*parts: tuple[int, tuple[int, int], tuple[int, int]]) -> np.ndarray:
    """(10, 8, 6) voxels. parts: value, and half open, slices and rows (y)."""
    label = np.zeros((10, 8, 6), np.uint8)
    for value, (first, stop), (front, back) in parts:
        label[first:stop, front:back, 2:5] = value
    return label


def placement() -> ProjectionPlacement:
    return ProjectionPlacement(GEOMETRY, (10, 8, 6), "z", AXES, ((0, 10), (0, 8), (0, 6)), (10, 8))


def test_the_level_is_the_middle_of_the_labels_extent() -> None:
    label = label_with((1, (3, 7), (1, 3)))
    assert level_of_label(label, [(1,)], AXES) == Level(slice=4.5, first=3, last=6, column=1.5)
    label[5] = 0  # a gap in it changes nothing, nor does another label
    label[0, 7] = 2
    assert level_of_label(label, [(1,)], AXES) == Level(slice=4.5, first=3, last=6, column=1.5)


def test_with_two_labels_it_is_the_middle_between_their_middles() -> None:
    label = label_with((1, (2, 4), (0, 2)), (2, (6, 9), (4, 5)))
    assert level_of_label(label, [(1,), (2,)], AXES) == Level(slice=(2.5 + 7) / 2, first=2, last=8, column=(0.5 + 4) / 2)


def test_a_region_is_all_of_its_values_together() -> None:
    label = label_with((1, (2, 4), (0, 2)), (2, (6, 9), (4, 5)))
    assert level_of_label(label, [(1, 2)], AXES) == Level(slice=5, first=2, last=8, column=2)


def test_along_another_axis_it_is_the_middle_there() -> None:
    label = label_with((1, (3, 7), (1, 4)))
    assert level_of_label(label, [(1,)], axes_of(GEOMETRY, "y", "x")) == Level(slice=2, first=1, last=3, column=4.5)
    assert level_of_label(label, [(1,)], axes_of(GEOMETRY, "x", "y")) == Level(slice=3, first=2, last=4, column=4.5)


@pytest.mark.parametrize("span", [(0, 3), (8, 10)])
def test_a_label_that_reaches_the_volumes_end_may_be_cut_off(span: tuple[int, int]) -> None:
    level = level_of_label(label_with((1, (4, 6), (1, 3)), (2, span, (1, 3))), [(1,), (2,)], AXES)
    assert level is not None and level.is_cut_off
    other = level_of_label(label_with((1, (4, 6), (0, 8)), (2, span, (1, 3))), [(1,)], AXES)
    assert other is not None and not other.is_cut_off


def test_where_one_of_the_labels_is_absent_there_is_no_level() -> None:
    assert level_of_label(label_with((1, (3, 7), (1, 3))), [(2,)], AXES) is None
    assert level_of_label(label_with((1, (3, 7), (1, 3))), [(1,), (2,)], AXES) is None
    assert level_of_label(label_with(), [(1,), (2,)], AXES) is None


def test_a_label_that_the_dataset_does_not_have_is_told() -> None:
    regions = Labels(values={"background": 0, "spine": (1, 2), "disc": 2}, regions_class_order=(1, 2))
    assert values_of(regions, Target(name="spine", labels=("spine", "disc"))) == [(1, 2), (2,)]
    with pytest.raises(AutosegError, match="There is no label L9 to be found. There are: L3, L4."):
        values_of(LABELS, Target(name="L9", labels=("L3", "L9")))


@pytest.mark.parametrize(("mm", "slice_"), [(100, 0), (109, 4.5), (99, -0.5), (119, 9.5), (98.9, None), (119.1, None)])
def test_a_point_has_its_slice_where_it_is_inside(mm: float, slice_: float | None) -> None:
    expected = None if slice_ is None else Level(slice_, slice_, slice_)
    assert level_of_point(mm, placement()) == expected


def test_what_is_known_of_a_case() -> None:
    label = label_with((1, (3, 7), (1, 3)))
    points = Target(name="a point", points={"there": 109.0, "absent": None, "outside": 900.0})

    def known(target: Target, case: str = "a", label: np.ndarray | None = label) -> Known:
        return known_level(target, LABELS, case, label, placement())

    assert known(ONE) == Known(True, Level(4.5, 3, 6, 1.5))
    assert known(TWO) == Known(True, None)
    assert known(ONE, label=None) == Known(False, None)
    assert known(points, "there", None) == known(points, "there") == Known(True, Level(4.5, 4.5, 4.5))
    assert known(points, "absent") == Known(True, None)
    assert known(points, "outside") == Known(True, None)
    assert known(points, "of which nothing is said") == Known(False, None)


def test_the_middle_half_is_between_the_quartiles_of_the_voxels() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        label = (random.random((10, 8, 25)) < random.random(25) ** 2).astype(np.uint8)
        label[random.random(label.shape) < 0.1] = 2
        inside = np.nonzero((label == 1) | (label == 2))[2]
        expected = np.percentile(inside, [25, 75], method="inverted_cdf")
        assert middle_half(label, [(1,), (2,)], AXES) == tuple(expected)
        assert middle_half(label, [(1, 2)], AXES) == tuple(expected)
    assert middle_half(np.zeros((10, 8, 25), np.uint8), [(1,)], AXES) is None


def test_the_middle_half_lies_along_the_axis_that_is_projected_away() -> None:
    label = label_with((1, (3, 7), (1, 5)))
    assert middle_half(label, [(1,)], axes_of(GEOMETRY, "z", "y")) == (1, 3)
    assert middle_half(label, [(1,)], axes_of(GEOMETRY, "x", "z")) == (3, 5)


def test_plans_hold_the_target_as_it_was_named(projection_plans: Callable[..., ProjectionPlans]) -> None:
    plans: Any = projection_plans(target={"name": "a point", "points": {"a": 3.0}})
    without = plans.without_cases()
    assert without.target == Target(name="a point") and not without.source.training and without.channels == 3
