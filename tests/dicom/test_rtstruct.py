"""RTSTRUCT as it is written: voxels and world coordinates, references, what a validator says, and the check after writing."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from autoseg import image_io
from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io.dicom import rtstruct
from autoseg.image_io.dicom.rtstruct import write_rtstruct
from autoseg.image_io.dicom.structure_sets import mask_of, read_structure_set
from autoseg.image_io.dicom.structures import Maker, structures_of
from autoseg.image_io.dicom.study import scan
from tests.dicom.multiframe import write_multiframe
from tests.dicom.series import geometries_of_48, oblique, write_series

MAKER = Maker("Dataset001_Test, 3d_fullres", "autoseg", "1.2.3")
VALUES = {"liver": 1, "tumor": 2, "spots": 3, "liver and tumor": (1, 2), "spleen": 4}
SPOTS = [(0, 1, 7), (1, 4, 2), (3, 6, 8), (3, 1, 1)]


def labels() -> np.ndarray:
    """Regions with holes and single voxels; value 4 nowhere."""
    array = np.random.default_rng(1).choice([0, 1, 2], p=[0.4, 0.4, 0.2], size=(4, 8, 10)).astype(np.int16)
    for z, y, x in SPOTS:
        array[z, max(y - 1, 0):y + 2, max(x - 1, 0):x + 2] = 0
        array[z, y, x] = 3
    return array


def read_back(path: Path, like: Image) -> dict[str, np.ndarray]:
    content = read_structure_set(path)
    volume = replace(like.header, shape=like.array.shape[1:], geometry=like.geometry)
    return {region.name: mask_of(region, path, volume)[0] for region in content.regions}


def written(folder: Path, geometry: Geometry, array: np.ndarray | None = None) -> tuple[Path, Image]:
    """Write a series whose voxels are its labels, read it, and write these as structures."""
    write_series(folder / "series", labels() if array is None else array, geometry)
    like = image_io.read_image(folder / "series")
    path = folder / "structures.dcm"
    write_rtstruct(path, like.array[0], like, structures_of(VALUES), MAKER)
    return path, like


@pytest.mark.parametrize("geometry", [*geometries_of_48(), oblique()], ids=lambda its: f"{its.orientation}{its.direction[0]:.2f}")
def test_structures_lie_where_they_lay_whatever_the_axes(tmp_path: Path, geometry: Geometry) -> None:
    path, like = written(tmp_path, geometry)
    masks = read_back(path, like)
    for name, values in VALUES.items():
        assert np.array_equal(masks[name], np.isin(like.array[0], values)), name
    content = pydicom.dcmread(path)
    spots = next(item for item, roi in zip(content.ROIContourSequence, content.StructureSetROISequence, strict=True)
                 if roi.ROIName == "spots")
    centres = np.array([np.reshape(contour.ContourData, (-1, 3)).mean(axis=0) for contour in spots.ContourSequence], float)
    expected = np.array([(geometry.affine() @ [x, y, z, 1])[:3] for z, y, x in SPOTS])
    assert np.allclose(np.sort(centres, axis=0), np.sort(expected, axis=0), atol=1e-3)
    assert all(np.abs(expected - centre).max(axis=1).min() < 1e-3 for centre in centres)


def test_every_contour_lies_on_the_image_that_it_refers_to(tmp_path: Path) -> None:
    path, like = written(tmp_path, oblique())
    images = {frame.instance: pydicom.dcmread(frame.path) for frame in like.header.frames}
    contours = [contour for item in pydicom.dcmread(path).ROIContourSequence for contour in item.get("ContourSequence", [])]
    assert len(contours) > 10
    for contour in contours:
        image = images[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        normal = np.cross(image.ImageOrientationPatient[:3], image.ImageOrientationPatient[3:])
        away = np.reshape(contour.ContourData, (-1, 3)).astype(float) - np.array(image.ImagePositionPatient, float)
        assert np.abs(away @ normal).max() < 1e-3
        assert contour.NumberOfContourPoints == len(away)


def test_a_box_has_the_corners_that_are_worked_out_by_hand(tmp_path: Path) -> None:
    """Voxels of 2 mm along x and 1 mm along y, the first centre at (10, 20): the box of x 2..4, y 1..2 on the slice at z = 33."""
    array = np.zeros((3, 5, 8), np.int16)
    array[1, 1:3, 2:5] = 1
    path, _ = written(tmp_path, Geometry((3.0, 1.0, 2.0), (10.0, 20.0, 30.0)), array)
    contour, = pydicom.dcmread(path).ROIContourSequence[1].ContourSequence
    points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
    left, right, top, bottom = 10 + 2 * 1.501, 10 + 2 * 4.499, 20 + 0.501, 20 + 2.499
    expected = [(left, 21, 33), (left, 22, 33), (14, top, 33), (14, bottom, 33), (18, top, 33), (18, bottom, 33), (right, 21, 33),
                (right, 22, 33)]
    assert np.allclose(sorted(map(tuple, points)), expected, rtol=0, atol=1e-4)


def test_patient_study_and_space_are_those_of_the_images(tmp_path: Path) -> None:
    write_series(tmp_path / "series", labels(), oblique(), SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg",
                 StudyDescription="Fuß",)
    like = image_io.read_image(tmp_path / "series")
    write_rtstruct(tmp_path / "a.dcm", like.array[0], like, structures_of({"Nerv, großer": 1}), MAKER)
    content, image = pydicom.dcmread(tmp_path / "a.dcm"), pydicom.dcmread(like.header.frames[0].path)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
                    "StudyTime", "StudyID", "AccessionNumber", "StudyDescription", "FrameOfReferenceUID"):
        assert content[keyword].value == image[keyword].value, keyword
    assert content.SeriesInstanceUID != image.SeriesInstanceUID and content.SoftwareVersions == "1.2.3"
    assert content.StructureSetROISequence[0].ROIName == "Nerv, großer"
    space, = content.ReferencedFrameOfReferenceSequence
    referenced = space.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert space.FrameOfReferenceUID == image.FrameOfReferenceUID and referenced.SeriesInstanceUID == image.SeriesInstanceUID
    assert len(referenced.ContourImageSequence) == 4


def test_a_structure_without_voxels_is_listed_and_numbers_are_short(tmp_path: Path) -> None:
    path, like = written(tmp_path, Geometry((3.0, 0.7013671875, 0.7013671875), (-179.6494140625, -1131.5, 0.123456)))
    content = pydicom.dcmread(path)
    assert [roi.ROIName for roi in content.StructureSetROISequence] == ["liver and tumor", "liver", "tumor", "spots", "spleen"]
    assert "ContourSequence" not in content.ROIContourSequence[4] and not read_back(path, like)["spleen"].any()
    assert {item.RTROIInterpretedType for item in content.RTROIObservationsSequence} == {"ORGAN"}
    raw = [contour.get_item("ContourData").value for item in pydicom.dcmread(path).ROIContourSequence
           for contour in item.get("ContourSequence", [])]
    assert max(len(number) for text in raw for number in text.strip().split(b"\\")) <= 16


def test_contours_of_a_mended_volume_refer_to_images_where_there_are_some(tmp_path: Path) -> None:
    files = write_series(tmp_path / "series", np.ones((8, 6, 6), np.int16), Geometry((3.0, 1.0, 1.0)))
    files[3].unlink()
    found, = scan(tmp_path / "series", repair=True).found
    like = image_io.read_image(found.path)
    assert like.header.repairs and like.array.shape == (1, 8, 6, 6)
    write_rtstruct(tmp_path / "a.dcm", np.ones((8, 6, 6), np.uint8), like, structures_of({"all": 1}), MAKER)
    assert read_back(tmp_path / "a.dcm", like)["all"].all()
    contours = pydicom.dcmread(tmp_path / "a.dcm").ROIContourSequence[0].ContourSequence
    assert ["ContourImageSequence" in contour for contour in contours] == [z != 3 for z in range(8)]


def test_frames_of_one_file_are_told_by_number(tmp_path: Path) -> None:
    """Slice 0 is the second frame of the file, slice 1 the fourth, and so on."""
    file = write_multiframe(tmp_path / "series" / "frames.dcm", labels(), oblique(), order=[2, 0, 3, 1])
    like = image_io.read_image(tmp_path / "series")
    write_rtstruct(tmp_path / "a.dcm", np.ones((4, 8, 10), np.uint8), like, structures_of({"all": 1}), MAKER)
    content = pydicom.dcmread(tmp_path / "a.dcm")
    images = [contour.ContourImageSequence[0] for contour in content.ROIContourSequence[0].ContourSequence]
    assert [image.ReferencedFrameNumber for image in images] == [2, 4, 1, 3]
    assert {image.ReferencedSOPInstanceUID for image in images} == {pydicom.dcmread(file).SOPInstanceUID}
    series = content.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert len(series.ContourImageSequence) == 1 and not _errors(tmp_path / "a.dcm")


def test_part_of_a_volume_keeps_its_place(tmp_path: Path) -> None:
    path, like = written(tmp_path, oblique())
    part = image_io.part_of(like, 0, 1, 4)
    write_rtstruct(tmp_path / "part.dcm", part.array[0], part, structures_of(VALUES), MAKER)
    assert np.array_equal(read_back(tmp_path / "part.dcm", like)["tumor"][1:], read_back(path, like)["tumor"][1:])


def _shifted(mask: np.ndarray) -> list[np.ndarray]:
    return [points + (1, 0) for points in closed_contours(mask)]


closed_contours = rtstruct.closed_contours


@pytest.mark.parametrize("wrong", [
    lambda mask: closed_contours(mask)[:-1], _shifted, lambda mask: closed_contours(np.ones_like(mask)),
], ids=["one left out", "one voxel aside", "filled"])
def test_what_is_not_the_segmentation_is_an_error_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: object,
) -> None:
    write_series(tmp_path / "series", labels(), oblique())
    like = image_io.read_image(tmp_path / "series")
    monkeypatch.setattr(rtstruct, "closed_contours", wrong)
    with pytest.raises(AutosegError, match=r"(?s)out.dcm: the structure \"liver and tumor\".*differs in \d+ voxel"):
        write_rtstruct(tmp_path / "out.dcm", like.array[0], like, structures_of(VALUES), MAKER)
    assert [path.name for path in tmp_path.iterdir()] == ["series"]


def _errors(path: Path) -> list[str]:
    """Return what dciodvfy calls an error; nothing where it is not installed."""
    if shutil.which("dciodvfy") is None:
        return []
    said = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
    assert "RTStructureSet" in said.stderr + said.stdout
    return [line for line in (said.stderr + said.stdout).splitlines() if line.startswith("Error")]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy of Debian's dicom3tools is not installed")
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize("anonymous", [False, True])
def test_the_validator_finds_no_error(tmp_path: Path, anonymous: bool) -> None:
    empty = dict.fromkeys(("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                           "AccessionNumber"), "") if anonymous else {}
    write_series(tmp_path / "series", labels(), oblique(), PatientAge="0Y", **empty)  # an age that is none
    like = image_io.read_image(tmp_path / "series")
    write_rtstruct(tmp_path / "a.dcm", like.array[0], like, structures_of(VALUES), MAKER)
    assert not _errors(tmp_path / "a.dcm")
