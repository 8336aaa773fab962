"""DICOM SEG as it is read: kinds, orders and grids that other programs write, and files that are broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from autoseg import image_io
from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io.dicom import verified
from autoseg.image_io.dicom.segmentation import write_segmentation
from autoseg.image_io.dicom.segments import Segment, open_segments, read_label, read_segments
from autoseg.image_io.dicom.structures import Maker, structures_of
from tests.dicom.series import oblique, write_series

SHAPE = (5, 6, 7)


@pytest.fixture(autouse=True)
def _by_hand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "dcmqi", lambda: None)


@pytest.fixture(scope="module")
def like(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A series whose voxels are labels 0, 1, 2; plane 1 is empty."""
    folder = tmp_path_factory.mktemp("series")
    array = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.int16)
    array[1] = 0
    write_series(folder, array, oblique())
    return image_io.read_image(folder)


@pytest.fixture
def seg(like: Image, tmp_path: Path) -> Path:
    path = tmp_path / "a.dcm"
    write_segmentation(path, like.array[0].astype(np.uint8), like, structures_of({"liver": 1, "tumor": 2}), Maker())
    return path


def changed(path: Path, change: Callable[[pydicom.Dataset], object]) -> Path:
    content = pydicom.dcmread(path)
    change(content)
    content.save_as(path)
    return path


def grid_of(like: Image) -> tuple[Geometry, tuple[int, int, int]]:
    return like.geometry, SHAPE


def by_highdicom(like: Image, path: Path, array: np.ndarray, kind: str, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a SEG of one segment (or two, of a label map) by highdicom from the files of the series, as another program would."""
    import highdicom
    from pydicom.sr.codedict import codes

    images = [pydicom.dcmread(frame.path) for frame in like.header.frames]
    described = [highdicom.seg.SegmentDescription(number, f"organ {number}", codes.SCT.Tissue, codes.SCT.Liver, "MANUAL")
                 for number in range(1, 3 if kind == "LABELMAP" else 2)]
    highdicom.seg.Segmentation(
        images, array, kind, described, highdicom.UID(), 1, highdicom.UID(), 1, "Other", "Other", "1", "1",
        max_fractional_value=200, transfer_syntax_uid=syntax).save_as(path)
    return path


def test_segments_are_listed_with_their_codes(seg: Path) -> None:
    structures = structures_of({"liver": 1, "tumor": 2})
    assert read_segments(seg) == tuple(Segment(number, one.name, one.coding) for number, one in enumerate(structures, 1))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_a_fractional_one_counts_from_half_of_its_maximum_on(like: Image, tmp_path: Path, syntax: str) -> None:
    shares = np.linspace(0, 1, int(np.prod(SHAPE))).reshape(SHAPE)
    path = by_highdicom(like, tmp_path / "a.dcm", shares, "FRACTIONAL", syntax)
    assert pydicom.dcmread(path).MaximumFractionalValue == 200
    assert np.array_equal(read_label(path, grid_of(like)).array[0], (shares * 200).round() >= 100)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_a_label_map_of_another_program_is_read_compressed_or_not(like: Image, tmp_path: Path, syntax: str) -> None:
    path = by_highdicom(like, tmp_path / "a.dcm", like.array[0].astype(np.uint8), "LABELMAP", syntax)
    assert np.array_equal(read_label(path, grid_of(like)).array, like.array)
    assert np.array_equal(open_segments(path).mask(2, grid_of(like)), like.array[0] == 2)


def test_numbers_that_are_no_segment_are_refused(like: Image, tmp_path: Path) -> None:
    path = by_highdicom(like, tmp_path / "a.dcm", like.array[0].astype(np.uint8), "LABELMAP")
    changed(path, lambda its: setattr(its, "PixelData", its.PixelData.replace(b"\2", b"\7")))
    with pytest.raises(AutosegError, match=r"a\.dcm is damaged: it holds the number 7, which is no segment"):
        read_label(path, grid_of(like))


def test_a_deflated_file_is_read_and_one_that_unpacks_to_more_than_memory_is_not(
    like: Image, seg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(seg, lambda its: setattr(its.file_meta, "TransferSyntaxUID", DeflatedExplicitVRLittleEndian))
    assert np.array_equal(read_label(seg, grid_of(like)).array, like.array)
    changed(seg, lambda its: setattr(its, "PixelData", b"\0" * 2**27))
    assert seg.stat().st_size < 2**18
    monkeypatch.setattr("autoseg.image_io.opening.free_memory_bytes", lambda: 2**27)
    with pytest.raises(AutosegError, match="GiB of voxels"):
        read_label(seg, grid_of(like))


def test_frames_in_any_order_are_read(like: Image, seg: Path) -> None:
    def shuffle(its: pydicom.Dataset) -> None:
        frames, size = list(its.PerFrameFunctionalGroupsSequence), SHAPE[1] * SHAPE[2]
        bits = np.unpackbits(np.frombuffer(its.PixelData, np.uint8), bitorder="little")[:len(frames) * size].reshape(-1, size)
        order = np.random.default_rng(1).permutation(len(frames))
        its.PerFrameFunctionalGroupsSequence = [frames[index] for index in order]
        packed = np.packbits(bits[order].ravel(), bitorder="little").tobytes()
        its.PixelData = packed + b"\0" * (len(packed) % 2)

    assert np.array_equal(read_label(changed(seg, shuffle), grid_of(like)).array, like.array)


@pytest.mark.parametrize("axes, flips", [((0, 1, 2), (True, False, False)), ((2, 0, 1), (False, True, True)),
                                         ((1, 2, 0), (True, True, True))])
def test_a_grid_whose_axes_run_otherwise_gets_the_labels_in_its_own_order(
    like: Image, seg: Path, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    """As that of a NIfTI file which another program made of the series."""
    affine, shape = like.geometry.affine(), tuple(SHAPE[axis] for axis in axes)
    columns, origin = [affine[:3, 2 - axis] for axis in axes], affine[:3, 3]
    for axis, (flip, length) in enumerate(zip(flips, shape, strict=True)):
        if flip:
            origin = origin + columns[axis] * (length - 1)
            columns[axis] = -columns[axis]
    spacing = [float(np.linalg.norm(column)) for column in columns]
    direction = np.stack([column / mm for column, mm in zip(columns[::-1], spacing[::-1], strict=True)], 1)
    geometry = Geometry((spacing[0], spacing[1], spacing[2]), tuple(origin.tolist()), tuple(direction.ravel().tolist()))
    known = np.flip(like.array[0].transpose(axes), [axis for axis, flip in enumerate(flips) if flip])
    assert np.array_equal(read_label(seg, (geometry, (shape[0], shape[1], shape[2]))).array[0], known)


def test_frames_smaller_than_the_image_lie_where_they_say(like: Image, tmp_path: Path) -> None:
    part = image_io.part_of(image_io.part_of(like, 1, 2, 5), 2, 1, 6)
    path = tmp_path / "a.dcm"
    write_segmentation(path, part.array[0].astype(np.uint8), part, structures_of({"liver": 1, "tumor": 2}), Maker())
    known = np.zeros(SHAPE)
    known[:, 2:5, 1:6] = part.array[0]
    assert np.array_equal(read_label(path, grid_of(like)).array[0], known)


def _shifted(geometry: Geometry, voxels: float) -> Geometry:
    return replace(geometry, origin_mm=(geometry.origin_mm[0] + voxels * geometry.spacing_mm[2], *geometry.origin_mm[1:]))


@pytest.mark.parametrize("make, reason", [
    (lambda its: (replace(its, spacing_mm=(2.5, 0.9, 0.8)), SHAPE), "its pixels have another size or direction"),
    (lambda its: (_shifted(its, 0.5), SHAPE), "lies between its voxels"),
    (lambda its: (its, (3, 6, 7)), "lies beyond the first or last plane"),
    (lambda its: (its, (5, 6, 5)), "reaches beyond the rows or columns"),
    (lambda its: (Geometry(its.spacing_mm, its.origin_mm), SHAPE), "its pixels have another size or direction"),
])
def test_another_grid_is_refused(like: Image, seg: Path, make: Callable[..., object], reason: str) -> None:
    with pytest.raises(AutosegError, match=rf"a\.dcm lies on another grid than the images .*: .*{reason}"):
        read_label(seg, make(like.geometry))  # type: ignore[arg-type]


def test_rounding_of_positions_is_no_other_grid(like: Image, seg: Path) -> None:
    assert np.array_equal(read_label(seg, (_shifted(like.geometry, 0.05), SHAPE)).array, like.array)


def _move(its: pydicom.Dataset, frame: int, mm: float) -> None:
    position = its.PerFrameFunctionalGroupsSequence[frame].PlanePositionSequence[0]
    position.ImagePositionPatient = [*position.ImagePositionPatient[:2], float(position.ImagePositionPatient[2]) + mm]


def _delete(its: pydicom.Dataset, keyword: str) -> None:
    del its[keyword]


DAMAGES: dict[str, tuple[Callable[[pydicom.Dataset], object], str]] = {
    "no frames": (lambda its: _delete(its, "PerFrameFunctionalGroupsSequence"), "do not say where they lie"),
    "count": (lambda its: setattr(its, "NumberOfFrames", 1000), "announces 1000 frames"),
    "rows": (lambda its: setattr(its, "Rows", 60000), "do not fit into"),
    "no rows": (lambda its: _delete(its, "Rows"), "cannot be read"),
    "pixels": (lambda its: setattr(its, "PixelData", its.PixelData[:10]), "is truncated"),
    "no pixels": (lambda its: _delete(its, "PixelData"), "cannot be read"),
    "bits": (lambda its: setattr(its, "BitsAllocated", 32), "32 bits"),
    "kind": (lambda its: setattr(its, "SegmentationType", "SURFACE"), "no DICOM SEG"),
    "an image": (lambda its: setattr(its, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"), "of the kind CT Image Storage"),
    "spacing": (lambda its: setattr(its.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0], "PixelSpacing", [0, 1]),
                "its pixels lie nowhere"),
    "orientation": (lambda its: setattr(its.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0],
                                        "ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "its pixels lie nowhere"),
    "no orientation": (lambda its: _delete(its.SharedFunctionalGroupsSequence[0], "PlaneOrientationSequence"),
                       "ImageOrientationPatient is not there"),
    "segment": (lambda its: setattr(its.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0],
                                    "ReferencedSegmentNumber", 9), "segment 9, which is not described"),
    "irregular": (lambda its: _move(its, 0, 1.0), "not equally far apart"),
    "far away": (lambda its: _move(its, 0, 2.5e9), "not equally far apart|GiB"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_broken_files_give_one_error_that_names_them(seg: Path, damage: str) -> None:
    change, reason = DAMAGES[damage]
    with pytest.raises(AutosegError, match=rf"a\.dcm.*({reason})"):
        read_label(changed(seg, change))


def test_files_that_are_cut_or_no_dicom_are_named(seg: Path) -> None:
    whole = seg.read_bytes()
    for length in (0, 100, 140, 400, len(whole) // 2, len(whole) - 6):
        seg.write_bytes(whole[:length])
        with pytest.raises(AutosegError, match=r"a\.dcm"):
            read_label(seg)
    with pytest.raises(AutosegError, match="does not exist"):
        read_label(seg.with_name("b.dcm"))


def test_planes_far_apart_do_not_take_memory_before_they_are_refused(like: Image, tmp_path: Path) -> None:
    array = np.zeros(SHAPE, np.uint8)
    array[0, 0, 0] = array[4, 0, 0] = 1
    path = tmp_path / "a.dcm"
    write_segmentation(path, array, like, structures_of({"spot": 1}), Maker())

    def apart(its: pydicom.Dataset) -> None:
        normal = np.reshape(like.geometry.direction, (3, 3))[:, 2]
        position = its.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
        far = np.array(position.ImagePositionPatient, float) + normal * 2.5e9
        position.ImagePositionPatient = [f"{value:.9g}" for value in far]
        its.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = "2.5"

    with pytest.raises(AutosegError, match="GiB of voxels|not equally far apart"):
        read_label(changed(path, apart))
