"""Which files make which case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image
from autoseg.inference.inputs import list_inputs, read_input
from autoseg.inference.studies import Searched
from tests.dicom.series import oblique, write_series


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def found(path: Path, description: Any) -> dict[str, list[str]]:
    return {item.name: [image.name for image in item.images] for item in list_inputs(path, description) if not item.problem}


def problems(path: Path, description: Any) -> dict[str, str]:
    return {item.name: item.problem for item in list_inputs(path, description) if item.problem}


def test_one_channel_models_take_numbered_and_plain_files_of_any_ending(describe: Any, tmp_path: Path) -> None:
    touch(tmp_path, "b_0000.nii.gz", "a_0000.nrrd", "scan.mha", "patient_0007.nii.gz")
    touch(tmp_path, "._b_0000.nii.gz", ".DS_Store", "readme.txt", "dataset.json")
    assert found(tmp_path, describe()) == {
        "a": ["a_0000.nrrd"], "b": ["b_0000.nii.gz"], "patient_0007": ["patient_0007.nii.gz"], "scan": ["scan.mha"]}


def test_channels_are_gathered_in_order_and_a_case_that_lacks_one_stops_no_other(describe: Any, tmp_path: Path) -> None:
    touch(tmp_path, "a_0001.nii.gz", "a_0000.nii.gz", "b_0001.nii.gz", "c.nii.gz")
    description = describe(channels=2)
    assert found(tmp_path, description) == {"a": ["a_0000.nii.gz", "a_0001.nii.gz"], "c": ["c.nii.gz"]}
    assert problems(tmp_path, description) == {
        "b": "channel 0000 (channel0) is missing: the model takes 2 (channel0, channel1). There is: b_0001.nii.gz."}


@pytest.mark.parametrize(("name", "meant"), [
    ("a_001.nii.gz", "a_0001.nii.gz"), ("a.nii.gz", "a_0000.nii.gz"), ("a_00001.nii.gz", "a_0001.nii.gz"),
    ("a_c1.nii.gz", "a_0001.nii.gz"), ("a_7.nii.gz", "a_7_0000.nii.gz"),
])
def test_a_channel_with_nearly_the_right_name_is_told_what_it_should_be(
    describe: Any, tmp_path: Path, name: str, meant: str
) -> None:
    image = Image(np.zeros((1, 3, 4, 5), np.uint8), Geometry((1.0, 1.0, 1.0)))
    write_image(tmp_path / name, image.array, image)
    write_image(tmp_path / "a_0001.nii.gz" if name == "a.nii.gz" else tmp_path / "a_0000.nii.gz", image.array, image)
    wrong = {item.images[0].name: item.problem or "" for item in list_inputs(tmp_path, describe(channels=2))}
    assert wrong[name].startswith(f"{name} holds 1 channel, but the model takes 2 (channel0, channel1)")
    assert wrong.pop(name).endswith(f"rename it, such as to {meant}.")
    [other] = wrong.values()
    assert other.endswith(f"{name} has nearly the right name.")


def test_surplus_doubled_and_colliding_files_are_named(describe: Any, tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0000.nrrd", "c.nii.gz", "c.nrrd")
    assert found(tmp_path, describe()) == {"c": ["c.nii.gz"]}
    wrong = problems(tmp_path, describe())
    assert wrong["a"].startswith("channel 0001 is too much")
    assert wrong["b"].startswith("channel 0000 is there in several files")
    assert wrong["c"].startswith("c.nrrd has the same case name as c.nii.gz")


def test_one_numbered_file_may_hold_all_channels(describe: Any, tmp_path: Path) -> None:
    image = Image(np.zeros((3, 1, 4, 5), np.uint8), Geometry((1.0, 1.0, 1.0)))
    write_image(tmp_path / "a_0000.png", image.array, image)
    assert found(tmp_path, describe(channels=3)) == {"a": ["a_0000.png"]}
    assert problems(tmp_path, describe(channels=2)).keys() == {"a"}


def test_a_single_file_brings_the_other_channels_of_its_case(describe: Any, tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "ab_0000.nii.gz")
    assert found(tmp_path / "a_0001.nii.gz", describe(channels=2)) == {"a": ["a_0000.nii.gz", "a_0001.nii.gz"]}
    assert found(tmp_path / "ab_0000.nii.gz", describe()) == {"ab": ["ab_0000.nii.gz"]}


def test_what_is_no_image_is_refused(describe: Any, tmp_path: Path) -> None:
    with pytest.raises(AutosegError, match="does not exist"):
        list_inputs(tmp_path / "nowhere", describe())
    with pytest.raises(AutosegError, match=r"holds no image\. Images end in \.nii\.gz"):
        list_inputs(tmp_path, describe())
    with pytest.raises(AutosegError, match="is no image that autoseg reads"):
        list_inputs(touch(tmp_path, "notes.txt") / "notes.txt", describe())


def test_channels_are_stacked_if_they_lie_on_one_grid(describe: Any, tmp_path: Path) -> None:
    near, far = Geometry((2.0, 1.0, 1.0)), Geometry((2.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 5.0))
    for name, geometry in (("a_0000", near), ("a_0001", near), ("b_0000", near), ("b_0001", far)):
        image = Image(np.full((1, 3, 4, 5), int(name[-1]), np.int16), geometry)
        write_image(tmp_path / f"{name}.nii.gz", image.array, image)
    a, b = list_inputs(tmp_path, describe(channels=2))
    stacked = read_input(a)
    assert stacked.array.shape == (2, 3, 4, 5)
    assert [int(channel.max()) for channel in stacked.array] == [0, 1]
    with pytest.raises(AutosegError, match=r"case b: .*b_0001\.nii\.gz does not lie on the grid of .*b_0000\.nii\.gz"):
        read_input(b)


SERIES = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)


def write_study(folder: Path) -> None:
    """Write a study as a disk from a hospital has it: two volumes, a localizer, a single image, a series that lacks a slice, and
    other files."""
    write_series(folder / "DICOM/A", SERIES, oblique(), names=list("edcba"), SeriesNumber=3, SeriesDescription="T1 axial")
    write_series(folder / "DICOM/A", SERIES + 1, oblique(), names=list("54321"), SeriesNumber=4, SeriesDescription="T2/axial")
    write_series(folder / "DICOM/B", SERIES, oblique(), SeriesNumber=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series(folder / "DICOM/C", SERIES[:1], oblique(), SeriesNumber=2, SeriesDescription="Key image")
    write_series(folder / "DICOM/D", SERIES, oblique(), SeriesNumber=5, SeriesDescription="Lost")[2].unlink()
    (folder / "DICOM/README").write_text("Viewer: run autorun.exe")
    (folder / "preview.png").write_bytes(b"x")


def test_series_below_a_folder_are_cases_and_what_is_no_volume_is_named(describe: Any, tmp_path: Path) -> None:
    write_study(tmp_path)
    items = {item.name: item for item in list_inputs(tmp_path, describe())}
    assert sorted(items) == ["DICOM_A_s003_T1_axial", "DICOM_A_s004_T2_axial", "DICOM_D"]
    np.testing.assert_array_equal(read_input(items["DICOM_A_s003_T1_axial"]).array[0], SERIES)
    np.testing.assert_array_equal(read_input(items["DICOM_A_s004_T2_axial"]).array[0], SERIES + 1)
    problem = items["DICOM_D"].problem
    assert problem and "series 5" in problem and "1 slice of 5 is missing" in problem and "--repair" in problem
    notes = Searched(tmp_path).notes()
    assert len(notes) == 2 and "localizer" in notes[0] and "single image" in notes[1]
    repaired = {item.name: item for item in list_inputs(tmp_path, describe(), repair=True)}["DICOM_D"]
    assert repaired.problem is None
    np.testing.assert_array_equal(read_input(repaired).array[0], SERIES)  # the values rise evenly


def test_one_file_of_a_series_means_the_series(describe: Any, tmp_path: Path) -> None:
    write_study(tmp_path)
    (item,) = list_inputs(tmp_path / "DICOM/A/c", describe())
    np.testing.assert_array_equal(read_input(item).array[0], SERIES)


def test_series_in_numbered_folders_are_channels(describe: Any, tmp_path: Path) -> None:
    for channel in range(2):
        write_series(tmp_path / f"a_000{channel}", SERIES + channel, oblique())
    write_series(tmp_path / "b_0001", SERIES, oblique())
    write_series(tmp_path / "c", SERIES, oblique())
    (a,) = [item for item in list_inputs(tmp_path, describe(channels=2)) if not item.problem]
    assert a.name == "a"
    np.testing.assert_array_equal(read_input(a).array, np.stack([SERIES, SERIES + 1]))
    wrong = problems(tmp_path, describe(channels=2))
    assert "channel 0000 (channel0) is missing" in wrong["b"] and "c_0000, c_0001" in wrong["c"]


def test_series_and_other_images_are_predicted_side_by_side(describe: Any, tmp_path: Path) -> None:
    write_series(tmp_path / "a", SERIES, oblique())
    touch(tmp_path, "b.nii.gz")
    assert sorted(found(tmp_path, describe())) == ["a", "b"]


def test_a_series_of_colours_is_refused_where_gray_images_are_taken(describe: Any, tmp_path: Path) -> None:
    for path in write_series(tmp_path / "a", SERIES, oblique()):
        image = pydicom.dcmread(path)
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
        image.PixelData = bytes(3 * image.Rows * image.Columns)
        image.save_as(path)
    assert "holds colours (3 channels), but the model takes gray images" in problems(tmp_path, describe())["a"]
    assert not problems(tmp_path, describe(channels=3))
