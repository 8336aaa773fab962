"""Fill values and labelled voxels that are cropped away: named by the checks, and never a network that sees nothing."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import load_dataset
from autoseg.errors import AutosegError
from autoseg.image_io import read_image, read_label, write_image, write_label
from autoseg.intensities import extreme_values, require_usable_values
from autoseg.preprocessing.pipeline import normalize
from autoseg.verification.inspection import verify_dataset

LOWEST = float(np.finfo(np.float32).min)


@pytest.mark.parametrize("value", [1e20, LOWEST])
def test_a_fill_value_is_an_error_that_names_case_file_and_values(tiny_dataset: Path, value: float) -> None:
    path = next((tiny_dataset / "imagesTr").glob("*_0000.nii.gz"))
    image = read_image(path)
    array = image.array.astype(np.float32)
    array[0, 0, 0, :2] = value
    write_image(path, array, image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [finding] = verify_dataset(load_dataset(tiny_dataset), workers=1)
    assert (finding.severity, finding.code, Path(finding.file).name) == ("error", "extreme", path.name)
    assert finding.problem == f"2 voxel(s) hold values up to {value:.4g}, which are fill values or damage"


def test_usual_values_are_not_extreme_and_clipped_channels_may_hold_them() -> None:
    assert extreme_values(np.array([[[-1e14, 1e14]]], np.float32)) == ""
    array = np.array([[[[0, 1, LOWEST]]]], np.float32)
    require_usable_values(array, "a", clipped=[True])
    with pytest.raises(AutosegError, match=r"case a: channel 0: 1 voxel\(s\) hold values up to -3.403e\+38"):
        require_usable_values(array, "a")


@pytest.mark.parametrize("scheme", ["zscore", "rescale_0_1"])
def test_sums_of_extreme_values_do_not_overflow(scheme: str) -> None:
    values = np.array([[[1e20, -1e20, 1e20, -1e20]]], np.float32)
    if scheme == "rescale_0_1":
        values *= np.float32(3e18)  # 3e38: their difference is no float32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        normalize(values, scheme, None)  # type: ignore[arg-type]
    expected = [1, -1, 1, -1] if scheme == "zscore" else [1, 0, 1, 0]  # mean 0, std 1e20; the range becomes 0 to 1
    np.testing.assert_allclose(values[0, 0], expected, rtol=1e-6)


def test_labelled_voxels_outside_of_the_nonzero_box_are_counted(tiny_dataset: Path) -> None:
    path = next((tiny_dataset / "imagesTr").glob("*_0000.nii.gz"))
    label_path = tiny_dataset / "labelsTr" / path.name.replace("_0000", "")
    image, label = read_image(path), read_label(label_path)
    for channel in (tiny_dataset / "imagesTr").glob(path.name.replace("_0000", "_*")):
        array = read_image(channel).array.copy()
        array[:, :2] = 0
        write_image(channel, array, image)
    painted = np.zeros(label.array.shape[1:], np.uint8)
    painted[1, 0, :3] = painted[2, 0, :2] = 1
    write_label(label_path, painted, label)
    findings = {finding.code: finding for finding in verify_dataset(load_dataset(tiny_dataset), workers=1)}
    finding = findings["cropped_away"]
    assert finding.severity == "warning"
    assert finding.problem.startswith("3 of 5 labelled voxels lie where preprocessing crops the image")
    assert "Dice counts them as missed" in finding.remedy
