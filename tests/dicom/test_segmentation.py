"""DICOM SEG as it is written: voxels and world coordinates by dcmqi and by hand, what it refers to, and what a validator says."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from autoseg import image_io
from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io.dicom import segmentation, verified
from autoseg.image_io.dicom.codes import Code, Coding
from autoseg.image_io.dicom.segmentation import Kind, write_segmentation
from autoseg.image_io.dicom.segments import open_segments, read_label
from autoseg.image_io.dicom.structures import Maker, structures_of
from autoseg.image_io.dicom.study import scan
from tests.dicom.multiframe import write_multiframe
from tests.dicom.series import geometries_of_48, oblique, write_series

MAKER = Maker("Dataset001_Test, 3d_fullres, default, fold 0", "autoseg", "1.2.3")
VALUES = {"liver": 1, "tumor": 2, "absent": 3}
REGIONS = {"whole": (1, 2), "core": (2,)}
DCMQI = verified.dcmqi()
needs_dcmqi = pytest.mark.skipif(DCMQI is None, reason="segimage2itkimage of dcmqi is not installed")
needs_validator = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy of Debian's dicom3tools is not installed")
EVERYWHERE = [*geometries_of_48(), oblique(), oblique((4.0, 0.5, 1.1))]


@pytest.fixture(autouse=True)
def _only_by_hand(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """After writing, files are read by hand alone, which is faster; dcmqi is asked where a test says so."""
    if "with_dcmqi" not in request.fixturenames:
        monkeypatch.setattr(verified, "dcmqi", lambda: None)


@pytest.fixture
def with_dcmqi() -> None:
    """Let files be read by dcmqi, too, after writing."""


def labels() -> np.ndarray:
    """(5, 6, 7) uint8 of 0, 1, 2; plane 1 is empty, and 2 is in plane 3 alone."""
    array = np.random.default_rng(0).integers(0, 2, (5, 6, 7)).astype(np.uint8)
    array[1], array[3, 2:4, 1:5] = 0, 2
    return array


def series(folder: Path, geometry: Geometry, **tags: object) -> Image:
    write_series(folder / "series", labels(), geometry, **tags)  # type: ignore[arg-type]
    return image_io.read_image(folder / "series")


def written(folder: Path, like: Image, values: dict[str, object] = VALUES, kind: Kind = "binary") -> Path:  # type: ignore[assignment]
    """Write the voxels of an image as labels."""
    path = folder / "seg.dcm"
    write_segmentation(path, like.array[0].astype(np.uint8), like, structures_of(values), MAKER, kind)  # type: ignore[arg-type]
    return path


def points(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return the world positions of a mask's voxels, sorted."""
    z, y, x = np.nonzero(mask)
    found = (geometry.affine() @ [x, y, z, np.ones(len(x))])[:3].T.round(3)
    return np.array(sorted(map(tuple, found)))


def points_by_dcmqi(path: Path, folder: Path) -> dict[int, np.ndarray]:
    """Return the world positions of each segment's voxels, as dcmqi and SimpleITK have them."""
    folder.mkdir()
    subprocess.run([str(DCMQI), "--inputDICOM", str(path), "--outputDirectory", str(folder), "--outputType", "nrrd"], check=True,
                   capture_output=True)
    found = {}
    for file in folder.glob("*.nrrd"):
        image = sitk.ReadImage(str(file))
        voxels = np.argwhere(sitk.GetArrayFromImage(image)).tolist()
        places = [tuple(round(v, 3) for v in image.TransformIndexToPhysicalPoint(voxel[::-1])) for voxel in voxels]
        found[int(file.stem)] = np.array(sorted(places))
    return found


@needs_dcmqi
@pytest.mark.parametrize("geometry", EVERYWHERE, ids=lambda its: f"{its.orientation}{its.spacing_mm[2]}")
def test_segments_lie_where_they_lay_whatever_the_axes(tmp_path: Path, geometry: Geometry) -> None:
    path = written(tmp_path, series(tmp_path, geometry))
    found = points_by_dcmqi(path, tmp_path / "dcmqi")
    for number in (1, 2):
        known = points(labels() == number, geometry)
        assert np.allclose(found[number], known, atol=0.002), number
    assert not len(found.get(3, ()))


@pytest.mark.parametrize("geometry", EVERYWHERE[::7], ids=lambda its: f"{its.orientation}{its.spacing_mm[2]}")
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_the_own_reader_gives_the_labels_on_the_grid_of_the_series(tmp_path: Path, geometry: Geometry, kind: Kind) -> None:
    like = series(tmp_path, geometry)
    path = written(tmp_path, like, kind=kind)
    back = read_label(path, (like.geometry, like.array.shape[1:]))
    assert back.array.dtype == np.uint8 and np.array_equal(back.array, like.array)
    alone = read_label(path)
    assert np.array_equal(points(alone.array[0] == 2, alone.geometry), points(like.array[0] == 2, like.geometry))
    assert read_label(path).array.shape == (1, 5, 6, 7) and not back.geometry.differences(alone.geometry, (5, 6, 7))


@needs_validator
@pytest.mark.parametrize("tags", [{}, dict.fromkeys(("PatientName", "PatientID", "StudyID", "AccessionNumber"), "")],
                         ids=["named", "anonymous"])
def test_the_validator_finds_no_error(tmp_path: Path, tags: dict[str, object]) -> None:
    write_multiframe(tmp_path / "frames" / "a.dcm", labels().astype(np.int16), oblique())
    for like, values in ((series(tmp_path, oblique(), **tags), VALUES), (series(tmp_path, oblique(), **tags), REGIONS),
                         (image_io.read_image(tmp_path / "frames"), {"one": 1})):
        path = written(tmp_path, like, values)  # type: ignore[arg-type]
        said = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        assert "Segmentation" in said.stderr + said.stdout
        assert not [line for line in (said.stderr + said.stdout).splitlines() if line.startswith("Error")]


def test_patient_study_series_and_images_are_those_of_the_source(tmp_path: Path) -> None:
    like = series(tmp_path, oblique(), PatientName="Müller^Jürgen", SpecificCharacterSet="ISO_IR 100", StudyDescription="Leber")
    path = written(tmp_path, like)
    source, made = pydicom.dcmread(like.header.frames[0].path), pydicom.dcmread(path)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate",
                    "StudyTime", "AccessionNumber", "FrameOfReferenceUID", "StudyDescription"):
        assert made[keyword].value == source[keyword].value and made[keyword].value, keyword
    assert str(made.PatientName) == "Müller^Jürgen" and made.SeriesNumber == 1005
    (referenced,) = made.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == source.SeriesInstanceUID
    instances = [frame.instance for frame in like.header.frames]
    assert [image.ReferencedSOPInstanceUID for image in referenced.ReferencedInstanceSequence] == instances
    for frame in made.PerFrameFunctionalGroupsSequence:
        image = pydicom.dcmread(next(one.path for one in like.header.frames if one.instance == frame.DerivationImageSequence[0]
                                     .SourceImageSequence[0].ReferencedSOPInstanceUID))
        assert np.allclose(image.ImagePositionPatient, frame.PlanePositionSequence[0].ImagePositionPatient, atol=1e-6)


def test_segments_say_what_they_are_and_who_made_them(tmp_path: Path) -> None:
    kidney = Coding(Code("64033007", "SCT", "Kidney"), modifier=Code("7771000", "SCT", "Left"))
    like = series(tmp_path, oblique())
    structures = structures_of({"left\\kidney\n": 1, "x" * 100: 2}, {"left\\kidney\n": kidney})
    write_segmentation(tmp_path / "a.dcm", like.array[0].astype(np.uint8), like, structures, MAKER)
    made = pydicom.dcmread(tmp_path / "a.dcm")
    one, two = made.SegmentSequence
    assert [one.SegmentNumber, one.SegmentLabel, two.SegmentLabel] == [1, "left/kidney", "x" * 64]
    kind = one.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning) == ("64033007", "Left")
    assert one.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Anatomical Structure"
    assert two.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"
    assert (one.SegmentAlgorithmType, one.SegmentAlgorithmName) == ("AUTOMATIC", "autoseg")
    algorithm = one.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmVersion == "1.2.3" and "Dataset001_Test, 3d_fullres" in "".join(algorithm.AlgorithmParameters)
    assert one.TrackingUID != two.TrackingUID and one.TrackingID
    assert made.SegmentationType == "BINARY" and made.SegmentsOverlap == "NO"
    assert open_segments(tmp_path / "a.dcm").segments[0].coding == kidney


def test_colours_are_those_of_the_structures(tmp_path: Path) -> None:
    from highdicom.color import CIELabColor

    made = pydicom.dcmread(written(tmp_path, series(tmp_path, oblique())))
    stored = [np.array(item.RecommendedDisplayCIELabValue) / 65535 for item in made.SegmentSequence]
    colours = [CIELabColor(*(value * (100, 255, 255) - (0, 128, 128)).tolist()).to_rgb() for value in stored]
    for found, structure in zip(colours, structures_of(VALUES), strict=True):  # type: ignore[arg-type]
        assert np.abs(np.subtract(found, structure.rgb)).max() <= 2


@needs_dcmqi
def test_regions_are_segments_that_overlap(tmp_path: Path, with_dcmqi: None) -> None:
    like = series(tmp_path, oblique())
    path = written(tmp_path, like, REGIONS)  # type: ignore[arg-type]
    assert pydicom.dcmread(path).SegmentsOverlap == "YES"
    grid = (like.geometry, like.array.shape[1:])
    assert np.array_equal(open_segments(path).mask(1, grid), like.array[0] > 0)
    assert np.array_equal(open_segments(path).mask(2, grid), like.array[0] == 2)
    with pytest.raises(AutosegError, match=r'segments overlap.*: 1 \("whole"\) and 2 \("core"\)'):
        read_label(path)
    with pytest.raises(AutosegError, match="whole is a region of several label values"):
        written(tmp_path, like, REGIONS, "labelmap")  # type: ignore[arg-type]


@needs_dcmqi
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_a_segmentation_without_any_voxel_has_one_empty_frame(tmp_path: Path, kind: Kind, with_dcmqi: None) -> None:
    like = series(tmp_path, oblique())
    path = tmp_path / "seg.dcm"
    write_segmentation(path, np.zeros((5, 6, 7), np.uint8), like, structures_of(VALUES), MAKER, kind)
    made = pydicom.dcmread(path)
    assert (made.NumberOfFrames, len(made.SegmentSequence) - (kind == "labelmap")) == (1, 3)
    assert not read_label(path, (like.geometry, (5, 6, 7))).array.any()
    if kind == "binary" and shutil.which("dciodvfy"):
        said = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        assert "Error" not in said.stderr + said.stdout


@needs_dcmqi
@pytest.mark.parametrize("wide", [False, True])
def test_a_label_map_keeps_label_values_with_gaps(tmp_path: Path, wide: bool, with_dcmqi: None) -> None:
    like = series(tmp_path, oblique())
    step, path = 400 if wide else 40, tmp_path / "seg.dcm"
    array = like.array[0].astype(np.uint16) * step
    write_segmentation(path, array, like, structures_of({"one": step, "two": 2 * step}), MAKER, "labelmap")
    assert pydicom.dcmread(path).SegmentationType == "LABELMAP"
    assert np.array_equal(read_label(path).array[0], array)


@needs_dcmqi
def test_values_that_are_no_structure_are_left_out(tmp_path: Path, with_dcmqi: None) -> None:
    like = series(tmp_path, oblique())
    for kind in ("binary", "labelmap"):
        path = written(tmp_path, like, {"tumor": 2}, kind)  # type: ignore[arg-type]
        number = 2 if kind == "labelmap" else 1
        assert np.array_equal(open_segments(path).mask(number, (like.geometry, (5, 6, 7))), like.array[0] == 2)


@needs_dcmqi
def test_frames_of_one_file_are_told_by_number(tmp_path: Path, with_dcmqi: None) -> None:
    order, echoes = [4, 2, 0, 1, 3] * 2, [10.0] * 5 + [90.0] * 5
    write_multiframe(tmp_path / "series" / "a.dcm", labels().astype(np.int16), oblique(), order, echoes)
    found = scan(tmp_path / "series").found
    assert len(found) == 2
    like = image_io.read_image(found[1].path)
    made = pydicom.dcmread(written(tmp_path, like))
    numbers = {round(float(frame.PlanePositionSequence[0].ImagePositionPatient[2]), 3): int(
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for frame in made.PerFrameFunctionalGroupsSequence}
    affine = oblique().affine()
    assert numbers == {round(float((affine @ [0, 0, z, 1])[2]), 3): 6 + order.index(z) for z in (0, 2, 3, 4)}
    assert len(made.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1


@needs_dcmqi
def test_mended_volumes_keep_their_place_and_refer_to_images_where_there_are_some(tmp_path: Path, with_dcmqi: None) -> None:
    files = write_series(tmp_path / "series", np.repeat(labels(), 2, 0).astype(np.int16), oblique())
    files[4].unlink()
    like = image_io.read_image(scan(tmp_path / "series", repair=True).found[0].path)
    assert like.header.repairs and like.array.shape == (1, 10, 6, 7)
    mask = np.ones((10, 6, 7), np.uint8)
    write_segmentation(tmp_path / "a.dcm", mask, like, structures_of({"all": 1}), MAKER)
    made = pydicom.dcmread(tmp_path / "a.dcm")
    sources = [frame.DerivationImageSequence for frame in made.PerFrameFunctionalGroupsSequence]
    assert sorted(len(source) for source in sources) == [0] + [1] * 9
    assert {source[0].SourceImageSequence[0].SpatialLocationsPreserved for source in sources if source} == {"NO"}
    assert read_label(tmp_path / "a.dcm").array.sum() == mask.sum()


def test_part_of_a_volume_keeps_its_place(tmp_path: Path) -> None:
    like = series(tmp_path, oblique())
    for axis in range(3):
        part = image_io.part_of(like, axis, 2, 5)
        back = read_label(written(tmp_path, part), (like.geometry, like.array.shape[1:]))
        assert np.array_equal(image_io.part_of(back, axis, 2, 5).array, part.array) and back.array.sum() == part.array.sum()


def test_a_single_plane_and_frames_that_fill_no_whole_byte(tmp_path: Path) -> None:
    like = image_io.part_of(series(tmp_path, oblique()), 0, 3, 4)
    back = read_label(written(tmp_path, like))
    assert np.array_equal(back.array, like.array) and back.geometry.spacing_mm[0] == pytest.approx(2.5)


@pytest.mark.parametrize("tags", [
    {"PatientSex": "X?", "PatientBirthDate": "1970", "StudyDate": "2024.01.31", "StudyTime": "noon"},
    {"SeriesNumber": None, "SliceThickness": None, "Manufacturer": "", "Modality": ""},
    {"FrameOfReferenceUID": None, "PatientName": None, "PatientAge": "0Y"},
], ids=["odd", "empty", "nowhere"])
def test_headers_that_break_the_rules_do_not_stop_the_writing(
    tmp_path: Path, tags: dict[str, object], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    with warnings.catch_warnings(), monkeypatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(pydicom.config.settings, "_writing_validation_mode", pydicom.config.IGNORE)
        like = series(tmp_path, oblique(), **tags)
    for file in {frame.path for frame in like.header.frames}:
        header = pydicom.dcmread(file)
        del header.StudyID, header.AccessionNumber, header.ReferringPhysicianName, header.PositionReferenceIndicator
        header.save_as(file)
    capfd.readouterr()
    made = pydicom.dcmread(written(tmp_path, like))
    assert made.StudyID == "" and made.get("PatientSex") == tags.get("PatientSex", "F")
    assert capfd.readouterr() == ("", "")


def _one_less(packed: bytes) -> bytes:
    first = next(index for index, byte in enumerate(packed) if byte)
    return packed[:first] + bytes([packed[first] & (packed[first] - 1)]) + packed[first + 1:]


def _moved(made: pydicom.Dataset) -> None:
    for frame in made.PerFrameFunctionalGroupsSequence:
        position = frame.PlanePositionSequence[0]
        position.ImagePositionPatient = [float(position.ImagePositionPatient[0]) + 0.8, *position.ImagePositionPatient[1:]]


def _flipped(made: pydicom.Dataset) -> None:
    orientation = made.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    orientation.ImageOrientationPatient = [-float(value) for value in orientation.ImageOrientationPatient]


def _without_a_frame(made: pydicom.Dataset) -> None:
    made.PerFrameFunctionalGroupsSequence = made.PerFrameFunctionalGroupsSequence[:-1]
    made.NumberOfFrames = len(made.PerFrameFunctionalGroupsSequence)


def _another_voxel(made: pydicom.Dataset) -> None:
    made.PixelData = _one_less(made.PixelData)


def _exchanged(made: pydicom.Dataset) -> None:
    for frame in made.PerFrameFunctionalGroupsSequence:
        its = frame.SegmentIdentificationSequence[0]
        its.ReferencedSegmentNumber = 3 - its.ReferencedSegmentNumber


def _cut(made: pydicom.Dataset) -> None:
    made.PixelData = made.PixelData[:-4]


DAMAGES = [_moved, _flipped, _without_a_frame, _another_voxel, _exchanged, _cut]


@pytest.mark.parametrize("way", ["by hand", pytest.param("by dcmqi", marks=needs_dcmqi)])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda its: its.__name__)
def test_a_file_that_is_read_otherwise_is_an_error_and_not_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: object, way: str,
) -> None:
    like = series(tmp_path, oblique())
    make = segmentation._dataset

    def wrong(*arguments: object) -> pydicom.Dataset:
        made = make(*arguments)  # type: ignore[arg-type]
        damage(made)  # type: ignore[operator]
        return made

    monkeypatch.setattr(segmentation, "_dataset", wrong)
    if way == "by dcmqi":
        monkeypatch.setattr(verified, "dcmqi", lambda: DCMQI)
        monkeypatch.setattr(verified, "_by_hand", lambda written, labels, geometry: [(labels, labels)])
    with pytest.raises(AutosegError, match=r"seg\.dcm was written, but is not read as it was meant, so it was removed") as error:
        written(tmp_path, like, {"liver": 1, "tumor": 2})
    assert ".tmp-" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["series"]


@pytest.mark.parametrize("value", [b"\1", b"\7", b"\0"])
def test_a_label_map_with_another_number_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: bytes) -> None:
    like, make = series(tmp_path, oblique()), segmentation._dataset

    def wrong(*arguments: object) -> pydicom.Dataset:
        made = make(*arguments)  # type: ignore[arg-type]
        made.PixelData = made.PixelData.replace(b"\2", value, 1)
        return made

    monkeypatch.setattr(segmentation, "_dataset", wrong)
    with pytest.raises(AutosegError, match="is not read as it was meant"):
        written(tmp_path, like, {"liver": 1, "tumor": 2}, "labelmap")


def test_a_broken_dcmqi_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "dcmqi", lambda: sys.executable)
    with pytest.raises(AutosegError, match="cannot read it"):
        written(tmp_path, series(tmp_path, oblique()))


def test_labels_without_a_structure_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AutosegError, match="name no structure"):
        written(tmp_path, series(tmp_path, oblique()), {})
