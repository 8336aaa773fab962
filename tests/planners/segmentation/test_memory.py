"""Patch and batch against hand-worked numbers."""

from __future__ import annotations

import pytest

from autoseg.errors import AutosegError
from autoseg.planners.segmentation.memory import Fit, batch_size, fit_patch
from autoseg.planners.segmentation.planners import PLANNERS
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import topology_of

DEFAULT = PLANNERS["default"].budget


def test_the_budget_grows_with_the_memory() -> None:
    assert DEFAULT.values == {2: 8.5e7, 3: 5.6e8}
    assert DEFAULT.at(24).values == {2: 3 * 8.5e7, 3: 3 * 5.6e8}
    assert PLANNERS["resenc_l"].budget.at(8).values[3] == pytest.approx(7e8)


def test_a_cube_too_large_shrinks_its_last_axis_first_and_returns_to_a_cube() -> None:
    fit = fit_patch((1.0, 1.0, 1.0), (138.0, 170.0, 138.0), classes=4, budget=DEFAULT)
    assert fit.first == (160, 192, 160)
    assert fit.pooling.patch_size == (128, 128, 128)  # nnU-Net 2.8.1 on a brain of this shape
    assert fit.values <= DEFAULT.values[3]


def test_shrinking_does_not_skip_sizes_that_fewer_poolings_allow() -> None:
    # 448 = 7·2⁶; one divisor less is 384 = 6·2⁶, and both are pooled six times. From 512 = 4·2⁷ the next is 448.
    fit = fit_patch((1.0, 1.0), (512.0, 512.0), classes=2, budget=DEFAULT.at(0.9))
    assert fit.first == (512, 512)
    assert fit.pooling.patch_size == (448, 384)  # nnU-Net 2.8.1


def test_memory_that_no_patch_fits_into_is_refused() -> None:
    with pytest.raises(AutosegError, match="--memory-gb"):
        fit_patch((1.0, 1.0, 1.0), (64.0, 64.0, 64.0), classes=2, budget=DEFAULT.at(1e-6))


@pytest.mark.parametrize(
    ("voxels_of_dataset", "expected"),
    [(1e12, 9), (20 * 5 * 1000, 5), (20 * 1.4 * 1000, 2), (0, 2)],
    ids=["memory", "five percent of the dataset", "at least two", "nothing"],
)
def test_the_batch_is_bounded_by_memory_dataset_and_two(voxels_of_dataset: float, expected: int) -> None:
    pooling = pool((1.0, 1.0, 1.0), (10, 10, 10))
    pooling = type(pooling)((10, 10, 10), pooling.strides, pooling.kernel_sizes, pooling.divisors)
    values = round(5.6e8 * 2 / 9.2)  # 9.2 patches fit into 8 GB
    fit = Fit(pooling, topology_of("unet", pooling), values, (10, 10, 10), 0)
    assert batch_size(fit, DEFAULT, voxels_of_dataset) == expected
