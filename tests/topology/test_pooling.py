"""Depth, strides and kernels, worked by hand from the rules in the design."""

from __future__ import annotations

import math

import pytest

from autoseg.planners.segmentation.memory import first_patch_size
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import topology_of


def test_the_first_patch_has_equal_extent_in_mm_and_the_voxels_of_a_cube_of_256() -> None:
    unlimited = (math.inf,) * 3
    assert first_patch_size((1, 1, 1), unlimited) == (256, 256, 256)
    z, y, x = first_patch_size((8, 1, 1), unlimited)
    assert (z, y, x) == (64, 512, 512)
    assert first_patch_size((1, 4), (math.inf, math.inf)) == (4096, 1024)


def test_the_first_patch_is_clipped_to_the_median_shape() -> None:
    assert first_patch_size((1, 1, 1), (36, 50.5, 999)) == (36, 50.5, 256)


def test_an_isotropic_patch_is_pooled_while_eight_voxels_are_left() -> None:
    pooling = pool((1, 1, 1), (36, 50, 35))  # 36 50 35 -> 18 25 18 -> 9 13 9 -> 5 7 5
    assert pooling.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    assert pooling.kernel_sizes == ((3, 3, 3),) * 4
    assert pooling.patch_size == (40, 56, 40)
    assert pooling.divisors == (8, 8, 8)


def test_a_coarse_axis_waits_with_pooling_and_with_wide_kernels() -> None:
    pooling = pool((4, 1, 1), (16, 64, 64))
    # spacing: 4 1 1 (ratio 4) -> 4 2 2 (ratio 2, not below) -> 4 4 4 -> 8 8 8 -> 8 8 left? sizes 16 64 -> 16 16 -> 8 8 -> 4 4
    assert pooling.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert pooling.kernel_sizes == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
    assert pooling.patch_size == (16, 64, 64)


def test_a_single_last_axis_is_pooled_only_from_twelve_voxels_on() -> None:
    assert pool((1, 1), (4, 11)).strides == ((1, 1),)
    assert pool((1, 1), (4, 12)).strides == ((1, 1), (1, 2))
    assert pool((1, 1), (8, 8)).strides == ((1, 1), (2, 2))


def test_a_patch_that_cannot_be_pooled_has_one_stage() -> None:
    pooling = pool((1, 1, 1), (3, 7.5, 1))
    assert pooling.stages == 1
    assert pooling.kernel_sizes == ((3, 3, 3),)
    assert pooling.patch_size == (3, 8, 1)


@pytest.mark.parametrize(("dimensions", "most"), [(3, 320), (2, 512)])
def test_features_double_up_to_a_limit(dimensions: int, most: int) -> None:
    topology = topology_of("unet", pool((1,) * dimensions, (256,) * dimensions))
    assert topology.features == (32, 64, 128, 256, most, most, most)
    assert topology.convs_per_stage == (2,) * 7
