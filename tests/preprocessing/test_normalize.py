"""Normalization against answers worked out by hand and numpy's own mean and std."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import AutosegError
from autoseg.plan import IntensityStatistics
from autoseg.preprocessing.pipeline import normalize

CT = IntensityStatistics(mean=100, std=50, median=100, percentile_00_5=0, percentile_99_5=300)


def volume_of(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, -1)


def test_ct_clips_to_the_percentiles_and_takes_the_datasets_mean_and_std() -> None:
    volume = volume_of(-1000, 0, 100, 200, 3000)
    normalize(volume, "ct", CT)
    assert volume.ravel().tolist() == [-2, -2, 0, 2, 4]


def test_ct_without_statistics_is_refused() -> None:
    with pytest.raises(AutosegError, match="foreground intensities"):
        normalize(volume_of(1, 2), "ct", None)


def test_zscore_has_mean_zero_and_std_one() -> None:
    values = np.random.default_rng(0).normal(5000, 3, (6, 7, 8)).astype(np.float32)
    volume = values.copy()
    normalize(volume, "zscore", None)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(volume, (exact - exact.mean()) / exact.std(), atol=1e-3)


def test_zscore_inside_a_mask_leaves_the_rest_as_it_is() -> None:
    volume = volume_of(0, 10, 30, 0)
    normalize(volume, "zscore", None, np.array([False, True, True, False]).reshape(1, 1, 4))
    assert volume.ravel().tolist() == [0, -1, 1, 0]


def test_zscore_with_an_empty_mask_changes_nothing() -> None:
    volume = volume_of(0, 0)
    normalize(volume, "zscore", None, np.zeros((1, 1, 2), bool))
    assert volume.ravel().tolist() == [0, 0]


@pytest.mark.parametrize("scheme", ["zscore", "rescale_0_1"])
@pytest.mark.parametrize("value", [0, 7, -1000.1])
def test_a_constant_image_becomes_zeros(scheme: str, value: float) -> None:
    volume = np.full((3, 4, 5), value, np.float32)
    normalize(volume, scheme, None)  # type: ignore[arg-type]
    assert not volume.any()


def test_the_range_becomes_0_to_1() -> None:
    volume = volume_of(-10, 0, 30)
    normalize(volume, "rescale_0_1", None)
    assert volume.ravel().tolist() == [0, 0.25, 1]


def test_rgb_is_divided_by_255_and_other_ranges_are_refused() -> None:
    volume = volume_of(0, 51, 255)
    normalize(volume, "rgb", None)
    np.testing.assert_allclose(volume.ravel(), [0, 0.2, 1])
    with pytest.raises(AutosegError, match="-3 to 9"):
        normalize(volume_of(-3, 9), "rgb", None)


def test_none_changes_nothing() -> None:
    volume = volume_of(-3, 9)
    normalize(volume, "none", None)
    assert volume.ravel().tolist() == [-3, 9]
