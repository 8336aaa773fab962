"""What tells empty parts of images: measured around labels, and given up where one training case speaks against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.fingerprint import CaseFingerprint, Fingerprint, LabelOfCase, NearLabels
from autoseg.plan import IntensityStatistics
from autoseg.planners.segmentation.emptiness import emptiness, near_labels


def test_the_least_of_what_any_labelled_voxel_has_near_it() -> None:
    image, labels = np.full((1, 20, 20, 20), -1000, np.int16), np.zeros((20, 20, 20), np.uint8)
    image[0, 10, 10, 10:14] = (40, 80, 60, 70)
    labels[10, 10, 10:14] = 1
    assert near_labels(image, labels, (5.0, 5.0, 5.0))[0].highest == 70  # at its end, of 60 and 70
    assert near_labels(image, labels, (6.0, 6.0, 6.0))[0].highest == 40  # nothing but the voxel itself is near
    labels[2, 2, 2] = 1
    assert near_labels(image, labels, (5.0, 5.0, 5.0)) == (NearLabels(highest=-1000, varies=0),)
    assert near_labels(image, labels * 0, (5.0, 5.0, 5.0)) == ()


def test_it_is_the_same_as_from_distances_between_all_voxels() -> None:
    rng = np.random.default_rng(0)
    image, labels = rng.normal(size=(2, 9, 8, 11)).astype(np.float32), (rng.random((9, 8, 11)) > 0.98).astype(np.uint8)
    grid = np.stack(np.meshgrid(*map(np.arange, labels.shape), indexing="ij"), -1) * (4.0, 2.4, 1.0)
    near = [np.abs(grid - grid[tuple(at)]).max(-1) <= 5 for at in np.argwhere(labels)]
    for channel, found in zip(image, near_labels(image, labels, (4.0, 2.4, 1.0)), strict=True):
        assert found.highest == pytest.approx(min(channel[where].max() for where in near))
        assert found.varies == pytest.approx(min(np.ptp(channel[where]) for where in near) / np.ptp(channel), abs=1e-6)


def learned(*cases: tuple[float, float], scheme: Any = "ct", ignore: int | None = None) -> Any:
    label = LabelOfCase(volume_ml=1, components=1, smallest_ml=1, largest_ml=1)
    labels = Labels(values={"background": 0, "a": 1} | ({} if ignore is None else {"ignore": ignore}), ignore=ignore)
    dataset = Dataset(name="Dataset001_A", folder=Path("."), layout="nnunet", channel_names=("CT",), labels=labels,
                      file_ending=".nii.gz", training=(Case(name="a", images=(Path("a"),)),))
    of_cases = {str(index): CaseFingerprint(
        spacing_mm=(1, 1, 1), shape=(9, 9, 9), shape_after_crop=(9, 9, 9), share_kept=1, orientation=None, labels={"1": label},
        near_labels=(NearLabels(highest=highest, varies=varies),)) for index, (highest, varies) in enumerate(cases)}
    intensities = IntensityStatistics(mean=50, std=50, median=50, percentile_00_5=-60, percentile_99_5=200)
    fingerprint = Fingerprint(
        dataset="Dataset001_A", versions={}, channel_names=("CT",), foreground_intensities={"0": intensities}, orientations={},
        foreground_components=None, labels={}, cases=of_cases)
    return emptiness(dataset, fingerprint, (scheme,))


def test_the_level_lies_halfway_to_what_counts_as_darkest() -> None:
    assert learned((60, 0.5), (100, 0.5)).levels == (0,)  # between -60 and 60
    assert learned((60, 0.5), (100, 0.5), scheme="zscore").levels == (None,)


@pytest.mark.parametrize(("cases", "scheme", "says"), [
    (((-900, 0.5), (100, 0.5)), "ct", "case 0 have no value above -900"),
    (((-55, 0.5), (-54, 0.5)), "ct", "no value above -55"),
    (((10, 0.5), (200, 0.5)), "ct", "case 0"),  # the other case alone would have made the level 70
    (((60, 0.005), (100, 0.5)), "zscore", "constant around labelled voxels of 0"),
    (((60, 0.5), (100, 0.5)), "none", "unit of channel 0"),
    (((60, 0.5),), "ct", "two labelled training cases"),
])
def test_one_case_that_speaks_against_it_is_enough(cases: Any, scheme: str, says: str) -> None:
    found = learned(*cases, scheme=scheme)
    assert found.levels == () and says in found.reason


def test_it_is_not_known_where_a_part_of_the_labels_is_to_be_ignored() -> None:
    assert learned((60, 0.5), (100, 0.5), ignore=2).levels == ()
