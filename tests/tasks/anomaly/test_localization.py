"""Whether maps show where: worked out by hand, and against Mann and Whitney's U."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from autoseg.tasks.anomaly.maps import localization, map_counts


def case(axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Map and label of 3 slices of 2 × 2 along `axis`: normal, hit, missed."""
    label = np.zeros((3, 2, 2), np.uint8)
    label[1, 0, 0] = label[2, 0] = 4
    values = np.array([[[0.1, 0.2], [0.3, 0.4]], [[1.9, 0.2], [0.1, 0.1]], [[0.5, 0.6], [0.7, 0.1]]], np.float32)
    return np.moveaxis(values, 0, axis), np.moveaxis(label, 0, axis)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_hits_are_slices_whose_highest_voxel_lies_in_the_foreground(axis: int) -> None:
    values, label = case(axis)
    found = localization([map_counts(values, label, axis, [0, 1, 2])])
    assert found is not None
    assert (found.slices, found.hits, found.chance) == (2, 1, pytest.approx((1 / 4 + 2 / 4) / 2))
    u = mannwhitneyu(values[label > 0], values[label == 0]).statistic
    assert found.voxel_auroc == pytest.approx(u / ((label > 0).sum() * (label == 0).sum()))


def test_slices_that_were_not_scored_and_ignored_voxels_count_for_nothing() -> None:
    values, label = case(0)
    label[2, 1, 0] = 9  # the highest voxel of the slice that was missed
    counts = map_counts(values, label, 0, [0, 2], ignore=9)
    assert (counts.slices, counts.hits, counts.shares) == (1, 1, pytest.approx(2 / 3))
    assert (counts.normal.sum(), counts.abnormal.sum()) == (4 + 1, 2)


def test_where_every_voxel_is_abnormal_the_voxels_tell_nothing() -> None:
    values, label = case(0)
    found = localization([map_counts(values, np.ones_like(label), 0, [0, 1, 2])])
    assert found is not None and (found.hits, found.chance, found.voxel_auroc) == (3, 1.0, None)


def test_without_an_abnormal_slice_nothing_can_be_said() -> None:
    values, label = case(0)
    assert localization([map_counts(values, label, 0, [0])]) is None
    assert localization([]) is None
