"""Target spacing, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import AutosegError
from autoseg.planners.segmentation.spacing import coarser, resampled_shape, slice_axis_first, target_spacing


def test_the_target_is_the_median_along_each_axis() -> None:
    target = target_spacing(np.array([[1, 1, 2], [2, 3, 2], [3, 2, 8]]), np.full((3, 3), 100))
    assert target.spacing_mm == (2, 2, 2)
    assert target.coarse_axis is None


def test_a_coarse_and_short_axis_takes_its_tenth_percentile() -> None:
    across_mm = np.arange(5.0, 16.0)  # 5, 6, ..., 15: median 10, 10th percentile 6
    spacings_mm = np.stack([across_mm, np.full(11, 1.5), np.full(11, 1.4)], axis=1)
    target = target_spacing(spacings_mm, np.tile([10, 200, 200], (11, 1)))
    assert target.spacing_mm == pytest.approx((6, 1.5, 1.4))
    assert target.median_mm == pytest.approx((10, 1.5, 1.4))
    assert target.coarse_axis == 0


def test_the_tenth_percentile_does_not_fall_below_the_other_axes() -> None:
    spacings_mm = np.array([[1, 2, 2], [10, 2, 2], [10, 2, 2]])
    target = target_spacing(spacings_mm, np.tile([10, 200, 200], (3, 1)))
    assert np.percentile([1, 10, 10], 10) > 2  # 2.8: not yet
    assert target.spacing_mm[0] == pytest.approx(2.8)
    target = target_spacing(np.array([[1, 2, 2]] * 2 + [[10, 2, 2]] * 3), np.tile([10, 200, 200], (5, 1)))
    assert target.spacing_mm == pytest.approx((2.00001, 2, 2), abs=1e-9)


@pytest.mark.parametrize(
    ("spacing_mm", "shape"),
    [((3, 1, 1), (10, 200, 200)), ((5, 1, 1), (67, 200, 200))],
    ids=["not more than three times coarser", "not less than a third of the voxels"],
)
def test_an_axis_that_is_only_coarse_or_only_short_keeps_its_median(
    spacing_mm: tuple[float, ...], shape: tuple[int, ...]
) -> None:
    spacings_mm = np.array([spacing_mm] * 3, dtype=float)
    spacings_mm[0, 0] = 0.9 * spacing_mm[0]
    assert target_spacing(spacings_mm, np.array([shape] * 3)).spacing_mm == spacing_mm


def test_no_cases_and_impossible_spacings_are_refused() -> None:
    with pytest.raises(AutosegError, match="No training case is left"):
        target_spacing(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(AutosegError, match="not positive"):
        target_spacing(np.array([[1, 0, 1]]), np.array([[8, 8, 8]]))


def test_the_coarsest_axis_comes_first_and_the_others_keep_their_order() -> None:
    assert slice_axis_first((1.0, 1.0, 1.0), np.array([30, 40, 50])) == (0, 1, 2)
    assert slice_axis_first((1.0, 3.0, 3.0), np.array([30, 40, 50])) == (1, 0, 2)
    assert slice_axis_first((0.6, 0.6, 4.0), np.array([300, 300, 20])) == (2, 0, 1)


def test_an_axis_of_one_voxel_comes_first_even_where_it_is_not_the_coarsest() -> None:
    assert slice_axis_first((1.0, 1.5, 2.0), np.array([1, 256, 256])) == (0, 1, 2)
    assert slice_axis_first((2.0, 1.5, 1.0), np.array([256, 256, 1])) == (2, 0, 1)


def test_resampled_shapes_are_rounded_and_never_empty() -> None:
    assert resampled_shape((10, 200, 99), (5.0, 0.8, 1.0), (1.0, 1.0, 2.0)) == (50, 160, 50)  # 49.5 to even
    assert resampled_shape((1, 8, 8), (1.0, 1.0, 1.0), (5.0, 1.0, 1.0)) == (1, 8, 8)


def test_finer_axes_grow_alone_until_they_are_within_twice_the_coarsest() -> None:
    assert coarser(np.array([5.0, 1.0, 2.5])).tolist() == pytest.approx([5, 1.03, 2.5])
    assert coarser(np.array([2.0, 1.0, 1.0])).tolist() == pytest.approx([2.06, 1.03, 1.03])
