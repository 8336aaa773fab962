"""Structure sets of other programs: what is read as it was meant, what is told, what is refused."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from autoseg.errors import AutosegError
from autoseg.image import Geometry
from autoseg.image_io.dicom.structure_sets import mask_of, read_structure_set
from autoseg.image_io.dicom.study import scan
from autoseg.image_io.dicom.volume import DicomVolume
from tests.dicom.series import write_series
from tests.dicom.structure_sets import item, square, write_structure_set

SHAPE = (6, 20, 24)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], DicomVolume]:
    """Six slices of 3 mm at z = 100, 103, ...; voxels of 1 mm, the first at (0, 0)."""
    folder = tmp_path_factory.mktemp("series")
    images = write_series(folder, np.zeros(SHAPE, np.int16), Geometry((3.0, 1.0, 1.0), (0.0, 0.0, 100.0)))
    found, = scan(folder).found
    return images, found.volume


def read(path: Path, volume: DicomVolume) -> tuple[np.ndarray, tuple[str, ...]]:
    region, = read_structure_set(path).regions
    return mask_of(region, path, volume)


def test_a_square_is_the_voxels_whose_centres_lie_in_it(tmp_path: Path, series: Any) -> None:
    images, volume = series
    path = write_structure_set(tmp_path / "a.dcm", images, {"box": [square(103, 1.5, 2.5, 4), square(106, 1.5, 2.5, 4)]})
    mask, notes = read(path, volume)
    expected = np.zeros(SHAPE, bool)
    expected[1:3, 3:7, 2:6] = True
    assert np.array_equal(mask, expected) and notes == ()
    content = read_structure_set(path)
    assert content.series == {volume.series.uid} and content.images == {frame.instance for frame in volume.frames}


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_a_contour_in_a_contour_is_a_hole(tmp_path: Path, series: Any, kind: str) -> None:
    images, volume = series
    path = write_structure_set(tmp_path / "a.dcm", images, {"ring": [square(103, 1.5, 1.5, 9), square(103, 4.5, 4.5, 3)]}, kind)
    mask, _ = read(path, volume)
    assert mask.sum() == 81 - 9 and not mask[1, 5:8, 5:8].any()


def test_contours_that_cross_each_other_are_told(tmp_path: Path, series: Any) -> None:
    images, volume = series
    regions = {"box": [square(103, 1.5, 1.5, 6), square(103, 4.5, 4.5, 6), square(106, 1.5, 1.5, 6), square(106, 9.5, 9.5, 3)]}
    mask, notes = read(write_structure_set(tmp_path / "a.dcm", images, regions), volume)
    assert mask[1].sum() == 36 + 36 - 2 * 9 and mask[2].sum() == 36 + 9
    assert [note for note in notes if "cross each other on 1 slice" in note]


def test_a_keyhole_is_a_hole(tmp_path: Path, series: Any) -> None:
    images, volume = series
    outer, inner = square(103, 1.5, 1.5, 9), square(103, 4.5, 4.5, 3)[::-1]
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1]])
    mask, _ = read(write_structure_set(tmp_path / "a.dcm", images, {"ring": [keyhole]}), volume)
    assert mask.sum() >= 81 - 9 and not mask[1, 5:8, 5:7].any()


def test_contours_a_little_off_the_slices_belong_to_the_nearest(tmp_path: Path, series: Any) -> None:
    images, volume = series
    path = write_structure_set(tmp_path / "a.dcm", images, {"box": [square(103.6, 1.5, 2.5, 4), square(105.4, 1.5, 2.5, 4)]})
    assert read(path, volume)[0].any(axis=(1, 2)).tolist() == [False, True, True, False, False, False]


def test_slices_without_contour_stay_empty_and_are_told(tmp_path: Path, series: Any) -> None:
    images, volume = series
    path = write_structure_set(tmp_path / "a.dcm", images, {"box": [square(z, 1.5, 2.5, 4) for z in (100, 106, 112)]})
    mask, (note,) = read(path, volume)
    assert mask.any(axis=(1, 2)).tolist() == [True, False, True, False, True, False]
    assert '"box"' in note and "2 of the 5 slices" in note


def test_points_open_lines_and_copies_are_left_out_and_told(tmp_path: Path, series: Any) -> None:
    images, volume = series
    box = square(103, 1.5, 2.5, 4)
    path = write_structure_set(tmp_path / "a.dcm", images, {"box": [box, box, box[:1], box + 9, np.empty((0, 3))]},
                               ["CLOSED_PLANAR", "CLOSED_PLANAR", "POINT", "OPEN_PLANAR", "CLOSED_PLANAR"])
    mask, notes = read(path, volume)
    assert mask.sum() == 16
    assert [word in " ".join(notes) for word in ("twice", "POINT", "OPEN_PLANAR", "without points")] == [True] * 4


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(("points", "reason"), [
    (square(104.5, 1.5, 2.5, 4), "between two slices"), (square(130, 1.5, 2.5, 4), "outside"),
    (square(91, 1.5, 2.5, 4), "outside"), (square(10, 1.5, 102.5, 9)[:, [0, 2, 1]], "not parallel"),
    (square(103, 1, 2, 9) + [(0, 0, 0), (0, 0, 4), (0, 0, 4), (0, 0, 0)], "not parallel"),
    (square(103, 1, 2, 9) * 1e7, "farther"), (square(float("nan"), 1, 2, 9), "at no place"),
])
def test_contours_that_are_not_on_the_slices_are_refused(tmp_path: Path, series: Any, points: np.ndarray, reason: str) -> None:
    images, volume = series
    path = write_structure_set(tmp_path / "a.dcm", images, {"box": [points]})
    with pytest.raises(AutosegError, match=f"(?s){re.escape(str(path))}.*box.*({reason})"):
        read(path, volume)


def test_another_frame_of_reference_is_refused(tmp_path: Path, series: Any) -> None:
    images, volume = series
    path = write_structure_set(tmp_path / "a.dcm", images, {"box": [square(103, 1.5, 2.5, 4)]}, StructureSetROISequence=[
        item(ROINumber=1, ROIName="box", ReferencedFrameOfReferenceUID="1.2.3")])
    with pytest.raises(AutosegError, match="frame of reference"):
        read(path, volume)


def test_long_contours_are_read_from_explicit_files_too(tmp_path: Path, series: Any) -> None:
    """Where an element of 64 KiB and more is UN."""
    images, volume = series
    angle = np.linspace(0, 2 * np.pi, 9000, endpoint=False)
    circle = np.column_stack([10 + 6.2 * np.cos(angle), 9 + 6.2 * np.sin(angle), np.full(9000, 103)])
    path = write_structure_set(tmp_path / "a.dcm", images, {"disc": [circle]})
    content = pydicom.dcmread(path)
    content.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    with pytest.warns(UserWarning, match="64 kByte"):
        content.save_as(tmp_path / "explicit.dcm", implicit_vr=False, little_endian=True)
    y, x = np.mgrid[:20, :24]
    for file in (path, tmp_path / "explicit.dcm"):
        assert np.array_equal(read(file, volume)[0][1], np.hypot(x - 10, y - 9) < 6.2)


def test_other_files_are_refused(tmp_path: Path, series: Any) -> None:
    images, _ = series
    (tmp_path / "text").write_bytes(b"no DICOM at all, but a text that is long enough " * 9)
    (tmp_path / "empty").write_bytes(b"")
    for path in (images[0], tmp_path / "text", tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(AutosegError, match=re.escape(str(path))):
            read_structure_set(path)


def test_a_file_that_unpacks_to_any_size_is_refused(tmp_path: Path, series: Any) -> None:
    images, _ = series
    content = pydicom.dcmread(write_structure_set(tmp_path / "a.dcm", images, {"box": [square(103, 1.5, 2.5, 4)]}))
    content.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    content.save_as(tmp_path / "packed.dcm", implicit_vr=False, little_endian=True)
    with open(tmp_path / "packed.dcm", "ab") as file:
        file.write(zlib.compress(bytes(1 << 20)))
    with pytest.raises(AutosegError, match="deflated"):
        read_structure_set(tmp_path / "packed.dcm")


def test_damaged_files_give_one_error(tmp_path: Path, series: Any) -> None:
    images, volume = series
    regions = {"box": [square(103, 1.5, 2.5, 4)], "b": [square(103, 2, 2, 9)]}
    whole = write_structure_set(tmp_path / "a.dcm", images, regions).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "damaged.dcm"
    for turn in range(150):
        content = bytearray(whole if turn % 3 else whole[:rng.integers(140, len(whole))])
        for place in rng.integers(132, len(content), turn % 3 * 4):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            for region in read_structure_set(path).regions:
                mask_of(region, path, volume)
        except AutosegError as error:
            assert str(path) in str(error)


def test_more_items_than_any_structure_set_has_are_refused(tmp_path: Path, series: Any) -> None:
    """An empty one takes 8 bytes in the file, and a hundred times as many in memory."""
    images, _ = series
    path = write_structure_set(tmp_path / "a.dcm", images, {"box": []})
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 1_000_001
    path.write_bytes(path.read_bytes() + b"\x06\x30\x99\x00" + len(items).to_bytes(4, "little") + items)
    with pytest.raises(AutosegError, match="items"):
        read_structure_set(path)


@pytest.mark.parametrize("text", [b"1\\2", b"1\\2\\x", b"1\\2\\" + b"3" * 1001, b"1e999\\2\\3 "])
def test_points_that_are_no_triples_of_numbers_are_refused(tmp_path: Path, series: Any, text: bytes) -> None:
    images, _ = series
    contour = item(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=1)
    contour.add_new(0x30060050, "OB", text)
    path = write_structure_set(tmp_path / "a.dcm", images, {"box": []}, ROIContourSequence=[
        item(ReferencedROINumber=1, ContourSequence=[contour])])
    with pytest.raises(AutosegError, match=re.escape(str(path))):
        read_structure_set(path)
