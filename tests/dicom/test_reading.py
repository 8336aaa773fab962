"""Series of DICOM files as volumes: the known array and place for each that is one, the known reason for each that is not."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import PIL.Image
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io import read_geometry, read_image, series_of
from autoseg.image_io.dicom.study import scan
from tests.dicom.multiframe import write_multiframe
from tests.dicom.series import geometries_of_48, oblique, write_series

SHAPE = (5, 6, 7)
ARRAY = np.random.default_rng(0).integers(-900, 900, SHAPE).astype(np.int16)
AXIAL = Geometry((2.0, 0.5, 0.5), (-10.0, -20.0, 30.0))


def same_voxels(image: Image, array: np.ndarray, geometry: Geometry) -> None:
    """Every voxel of the known volume lies at its place in the world in `image`, with its value."""
    z, y, x = np.meshgrid(*map(np.arange, array.shape), indexing="ij")
    world = geometry.affine() @ np.stack([x, y, z, np.ones_like(x)]).reshape(4, -1)
    found = (np.linalg.inv(image.geometry.affine()) @ world)[:3]
    np.testing.assert_allclose(found, found.round(), atol=1e-4)
    index = found.round().astype(int)[::-1]
    assert sorted(image.array.shape[1:]) == sorted(array.shape)
    np.testing.assert_array_equal(image.array[0][tuple(index)], array.ravel())


def reasons(folder: Path) -> list[str]:
    return [str(refused) for refused in scan(folder).refused]


@pytest.mark.parametrize("name", ["generic_compressed_jpeg", "hyperfine_anatomical", "siemens_anatomical"])
def test_real_series_give_the_volumes_that_dicom2nifti_expects(shared_data: Path, name: str) -> None:
    folder = shared_data / "readers/dicom_good" / name
    image = read_image(folder)
    kind = "implicit_" if name == "siemens_anatomical" else ""  # its other file is of a series that is not there
    for reoriented in ("", "_reoriented"):
        known = nibabel.load(folder / f"001_{kind}ground_truth{reoriented}.nii.gz")
        affine = np.diag([-1.0, -1, 1, 1]) @ known.affine
        axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        x, y, z = np.linalg.norm(affine[:3, :3], axis=0)
        geometry = Geometry((float(z), float(y), float(x)), tuple(affine[:3, 3]), tuple(axes.ravel()))
        same_voxels(image, np.asarray(known.dataobj).transpose(2, 1, 0), geometry)
    assert image.array.dtype == np.uint16


@pytest.mark.parametrize("name, reason", [
    ("failing_gantrytilting", "gantry was tilted by 14 degrees"), ("failing_slicecount", "2 slices, too few"),
])
def test_real_series_that_are_no_volumes_are_refused_with_the_reason(shared_data: Path, name: str, reason: str) -> None:
    with pytest.raises(AutosegError, match=reason):
        read_image(shared_data / "readers/dicom_bad" / name)


@pytest.mark.parametrize("number", range(48))
def test_axes_of_every_order_and_sign_are_read_in_place(tmp_path: Path, number: int) -> None:
    geometry = geometries_of_48()[number]
    write_series(tmp_path, ARRAY, geometry)
    image = read_image(tmp_path)
    same_voxels(image, ARRAY, geometry)
    assert np.linalg.det(np.reshape(image.geometry.direction, (3, 3))) == pytest.approx(1)  # normal is row × column
    assert read_geometry(tmp_path) == ((1, *SHAPE), image.geometry, 2)


@pytest.mark.parametrize("geometry", [oblique(), oblique((0.3, 1.5, 0.9)), Geometry((7.5, 0.2, 1.9))])
def test_oblique_and_anisotropic_stacks_are_read_in_place(tmp_path: Path, geometry: Geometry) -> None:
    write_series(tmp_path, ARRAY, geometry)
    same_voxels(read_image(tmp_path), ARRAY, geometry)


def test_order_follows_positions_not_names_nor_instance_numbers(tmp_path: Path) -> None:
    names = ["z", "a.dcm", "m.IMA", "b", "1.2.840.113"]
    write_series(tmp_path, ARRAY, AXIAL, names=names, order=[3, 1, 5, 2, 4])
    same_voxels(read_image(tmp_path), ARRAY, AXIAL)


def test_each_slice_has_its_own_slope_and_intercept(tmp_path: Path) -> None:
    slopes = [(0.5, 1.0), (2.0, -3.0), (1.0, 0.0), (0.25, 0.5), (4.0, 7.0)]
    write_series(tmp_path, ARRAY, AXIAL, modality="PT", slopes=slopes)
    image = read_image(tmp_path)
    known = np.stack([plane * slope + intercept for plane, (slope, intercept) in zip(ARRAY, slopes, strict=True)])
    assert image.array.dtype == np.float32
    np.testing.assert_array_equal(image.array[0], known.astype(np.float32))


def test_whole_intercepts_keep_whole_numbers_in_the_smallest_type(tmp_path: Path) -> None:
    array = (ARRAY + 1024).astype(np.int16)
    write_series(tmp_path, array, AXIAL, slopes=[(1, -1024)] * 5, PixelRepresentation=0, BitsStored=12, HighBit=11)
    image = read_image(tmp_path)
    assert image.array.dtype == np.int16
    np.testing.assert_array_equal(image.array[0], ARRAY)


def test_monochrome1_is_turned_so_that_light_is_high(tmp_path: Path) -> None:
    array = np.abs(ARRAY)
    write_series(tmp_path, array, AXIAL, PhotometricInterpretation="MONOCHROME1", PixelRepresentation=0, BitsStored=12,
                 HighBit=11)
    np.testing.assert_array_equal(read_image(tmp_path).array[0], 4095 - array)


def test_colours_give_three_channels(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    for path, plane in zip(write_series(tmp_path, ARRAY, AXIAL), colours, strict=True):
        image = pydicom.dcmread(path)
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
        image.PixelData = plane.tobytes()
        image.save_as(path)
    np.testing.assert_array_equal(read_image(tmp_path).array, np.moveaxis(colours, -1, 0))


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless, JPEG2000Lossless])
def test_compressed_voxels_are_read(tmp_path: Path, syntax: str) -> None:
    array = np.kron(np.abs(ARRAY), np.ones((1, 16, 16), np.int16))  # JPEG 2000 needs some pixels
    for path in write_series(tmp_path, array, AXIAL, PixelRepresentation=0):
        image = pydicom.dcmread(path)
        plugin = {"encoding_plugin": "gdcm"} if syntax == RLELossless else {}
        if syntax == JPEG2000Lossless:
            compress_j2k(image, path)
            continue
        image.compress(syntax, **plugin)
        image.save_as(path)
    image = read_image(tmp_path)
    np.testing.assert_array_equal(image.array[0], array)


@pytest.mark.parametrize("colours", ["MONOCHROME2", "YBR_FULL_422", "RGB"])
def test_lossy_jpeg_is_read_and_its_colours_are_red_green_blue(tmp_path: Path, colours: str) -> None:
    z, y, x = np.meshgrid(np.arange(3), np.arange(32), np.arange(48), indexing="ij")
    ramps = (40 * z + 3 * y + x).astype(np.uint8)
    pixels = ramps if colours == "MONOCHROME2" else np.stack([ramps, 255 - ramps, ramps // 2], axis=-1)
    for path, plane in zip(write_series(tmp_path, ramps.astype(np.int16), AXIAL), pixels, strict=True):
        image, coded = pydicom.dcmread(path), io.BytesIO()
        PIL.Image.fromarray(plane).save(coded, "JPEG", quality=95, keep_rgb=colours == "RGB")
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
        if plane.ndim == 3:
            image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, colours, 0
        image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        image.PixelData = encapsulate([coded.getvalue()])
        image.save_as(path)
    known = pixels[None] if pixels.ndim == 3 else np.moveaxis(pixels, -1, 0)
    np.testing.assert_allclose(read_image(tmp_path).array, known, atol=6)  # of 255: what JPEG loses


def compress_j2k(image: pydicom.Dataset, path: Path) -> None:
    """Compress by GDCM's own writer: pydicom has none without another package."""
    gdcm = pytest.importorskip("gdcm")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEG2000Lossless))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_byte_orders_and_implicit_types_are_read(tmp_path: Path, syntax: str) -> None:
    for path, plane in zip(write_series(tmp_path, ARRAY, AXIAL), ARRAY, strict=True):
        image = pydicom.dcmread(path)
        image.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
        little = syntax != ExplicitVRBigEndian
        image.PixelData = plane.astype("<i2" if little else ">i2").tobytes()
        pydicom.dcmwrite(path, image, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little)
    same_voxels(read_image(tmp_path), ARRAY, AXIAL)


def test_files_without_a_preamble_are_read(tmp_path: Path) -> None:
    for path in write_series(tmp_path, ARRAY, AXIAL):
        image = pydicom.dcmread(path)
        pydicom.dcmwrite(path, strip_meta(image), implicit_vr=True, little_endian=True)
        assert path.read_bytes()[:2] == b"\x08\x00"
    same_voxels(read_image(tmp_path), ARRAY, AXIAL)


def strip_meta(image: pydicom.Dataset) -> pydicom.Dataset:
    plain = pydicom.Dataset()
    plain.update(image)
    return plain


@pytest.mark.parametrize("order", [range(5), [4, 2, 0, 3, 1]])
def test_multi_frame_files_are_read_by_the_place_of_their_frames(tmp_path: Path, order: list[int]) -> None:
    path = write_multiframe(tmp_path / "a.dcm", ARRAY, oblique(), order)
    same_voxels(read_image(path), ARRAY, oblique())
    same_voxels(read_image(tmp_path), ARRAY, oblique())


def test_echoes_in_one_multi_frame_file_are_told_apart(tmp_path: Path) -> None:
    both = np.concatenate([ARRAY, ARRAY + 1])
    write_multiframe(tmp_path / "a.dcm", ARRAY, AXIAL)  # another series beside
    path = write_multiframe(tmp_path / "b.dcm", np.stack([*ARRAY, *(ARRAY + 1)]), AXIAL, range(10), [4.6] * 5 + [9.2] * 5)
    dataset = pydicom.dcmread(path)
    for number in range(5, 10):
        place = dataset.PerFrameFunctionalGroupsSequence[number - 5].PlanePositionSequence
        dataset.PerFrameFunctionalGroupsSequence[number].PlanePositionSequence = place
    dataset.save_as(path)
    found = scan(tmp_path).found
    assert [one.volume.series.part for one in found if one.volume.series.part] == ["EchoTime 4.6", "EchoTime 9.2"]
    echoes = [read_image(one.path).array[0] for one in found if one.volume.series.part]
    np.testing.assert_array_equal(np.concatenate(echoes), both)


@pytest.mark.parametrize("keyword, values, name", [
    ("EchoTime", (4.6, 9.2), "EchoTime 4.6"), ("TemporalPositionIdentifier", (1, 2), "TemporalPositionIdentifier 1"),
    ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]), "ImageType ORIGINAL\\PRIMARY\\M"),
])
def test_echoes_time_points_and_kinds_of_one_series_are_told_apart(
    tmp_path: Path, keyword: str, values: tuple[object, object], name: str
) -> None:
    series = generate_uid()
    for number, value in enumerate(values):
        write_series(tmp_path, ARRAY + number, AXIAL, names=[f"{number}_{z}" for z in range(5)], SeriesInstanceUID=series,
                     **{keyword: value})
    found = scan(tmp_path).found
    assert found[0].volume.series.part == name and len(found) == 2 and not reasons(tmp_path)
    for number, one in enumerate(found):
        np.testing.assert_array_equal(read_image(one.path).array[0], ARRAY + number)
    with pytest.raises(AutosegError, match="holds 2 volumes"):
        read_image(tmp_path)


def test_two_series_in_one_folder_are_two_volumes(tmp_path: Path) -> None:
    for number in (1, 2):
        write_series(tmp_path, ARRAY * number, replace(AXIAL, origin_mm=(0, 0, number)), SeriesNumber=number,
                     names=[f"{z}{number}" for z in range(5)])
    (tmp_path / "readme.txt").write_text("of the archive")
    (tmp_path / "thumbs").write_bytes(bytes(2000))
    first, second = scan(tmp_path).found
    np.testing.assert_array_equal(read_image(first.path).array[0], ARRAY)
    np.testing.assert_array_equal(read_image(second.path).array[0], ARRAY * 2)


def test_a_series_in_several_folders_with_copies_is_one_volume(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "0", ARRAY, AXIAL)
    (tmp_path / "1").mkdir()
    for path in paths[3:]:
        path.rename(tmp_path / "1" / path.name)
    shutil.copy(paths[0], tmp_path / "1" / "copy")
    same_voxels(read_image(tmp_path), ARRAY, AXIAL)


def write_tilted(folder: Path, array: np.ndarray, shift_mm: float) -> list[Path]:
    """Write slices of which each lies `shift_mm` further along its columns than the one before."""
    return write_series(folder, array, AXIAL, ImagePositionPatient=[[-10, -20 + z * shift_mm, 30 + 2 * z] for z in range(5)])


def test_a_tilted_gantry_is_refused_and_undone_on_request(tmp_path: Path) -> None:
    write_tilted(tmp_path, ARRAY, 0.5)  # one pixel
    (reason,) = reasons(tmp_path)
    assert "gantry was tilted by 14 degrees: each slice lies 0.5 mm off" in reason and "--repair" in reason  # atan(0.5 / 2)
    with pytest.raises(AutosegError, match="tilted"):
        read_image(tmp_path)
    (found,) = scan(tmp_path, repair=True).found
    image = read_image(found.path)
    assert image.array.shape == (1, 5, 10, 7) and image.geometry.origin_mm == (-10, -20, 30)
    known = np.full((5, 10, 7), ARRAY.min())
    for z in range(5):
        known[z, z:z + 6] = ARRAY[z]
    np.testing.assert_array_equal(image.array[0], known)
    assert "tilt" in image.header.repairs[0]


def test_a_tilt_towards_smaller_coordinates_keeps_every_voxel(tmp_path: Path) -> None:
    write_tilted(tmp_path, ARRAY, -1.0)
    (found,) = scan(tmp_path, repair=True).found
    image = read_image(found.path)
    assert image.array.shape == (1, 5, 14, 7) and image.geometry.origin_mm == (-10, -24, 30)
    for z in range(5):
        np.testing.assert_array_equal(image.array[0, z, 8 - 2 * z:14 - 2 * z], ARRAY[z])


def test_a_missing_slice_is_refused_and_interpolated_on_request(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY, AXIAL)[3].unlink()
    (reason,) = reasons(tmp_path)
    assert "1 slice of 5 is missing: slices are 2 mm apart, but 4 mm between IM0002.dcm and IM0004.dcm" in reason
    (found,) = scan(tmp_path, repair=True).found
    image = read_image(found.path)
    known = ARRAY.astype(float)
    known[3] = np.rint((known[2] + known[4]) / 2)
    np.testing.assert_array_equal(image.array[0], known)
    assert image.header.repairs == ("1 missing slice interpolated from the slices beside",)
    assert image.geometry == AXIAL


def test_a_doubled_slice_is_refused_also_with_repair(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ARRAY, AXIAL)
    image = pydicom.dcmread(paths[2])
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.AcquisitionNumber = 2  # acquired again: that is chance, no series of its own
    image.save_as(tmp_path / "again.dcm")
    (reason,) = reasons(tmp_path)
    assert "1 place of 5 holds several slices (IM0002.dcm and again.dcm)" in reason.replace(
        "again.dcm and IM0002.dcm", "IM0002.dcm and again.dcm")
    assert not scan(tmp_path, repair=True).found


@pytest.mark.parametrize("places, reason", [
    ([0, 2, 4.6, 6, 8], "lie 1.4 to 2.6 mm apart, not equally far"),
    ([0, 2, 4, 7, 10], "lie 2 to 3 mm apart"),
])
def test_unequal_distances_are_refused(tmp_path: Path, places: list[float], reason: str) -> None:
    write_series(tmp_path, ARRAY, AXIAL, ImagePositionPatient=[[-10, -20, 30 + place] for place in places])
    assert reason in reasons(tmp_path)[0]


def test_distances_that_vary_by_rounding_are_accepted(tmp_path: Path) -> None:
    places = [0, 0.6, 1.3, 1.9, 2.5]  # 0.625 mm, written with one digit
    write_series(tmp_path, ARRAY, AXIAL, ImagePositionPatient=[[-10, -20, 30 + place] for place in places])
    assert read_image(tmp_path).geometry.spacing_mm == (0.625, 0.5, 0.5)


@pytest.mark.parametrize("tags, reason", [
    ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "is a localizer"),
    ({"SeriesDescription": "Topogram 0.6 T20f"}, "is a localizer"),
    ({"ImageOrientationPatient": [[1, 0, 0, 0, 1, 0]] * 4 + [[1, 0, 0, 0, 0.9962, 0.0872]]}, "not parallel, but up to 5 degrees"),
    ({"ImageOrientationPatient": [1, 0, 0, 0.1, 0.995, 0]}, "rows and columns are not perpendicular"),
    ({"ImagePositionPatient": [[-10 + 3 * (z == 2), -20, 30 + 2 * z] for z in range(5)]}, "are shifted against each other"),
    ({"NumberOfSlices": 9}, "has 5 of the 9 slices that its header announces"),
    ({"GantryDetectorTilt": -12.5}, "header says that the gantry was tilted by -12.5 degrees"),
    ({"PixelSpacing": None}, "do not say where they lie"),
    ({"ImagePositionPatient": None}, "do not say where they lie"),
    ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour palette"),
    ({"Rows": None}, "no image (CT Image Storage)"),
    ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "vector of length 0"),
    ({"PixelSpacing": [0, 0]}, "pixels have the size"),
])
def test_what_is_no_volume_is_named_with_the_reason(tmp_path: Path, tags: dict[str, object], reason: str) -> None:
    write_series(tmp_path, ARRAY, AXIAL, **tags)
    assert reason in " ".join(reasons(tmp_path))
    assert not scan(tmp_path).found
    with pytest.raises(AutosegError, match="series|IM0000"):
        read_image(tmp_path)


def test_a_single_image_is_left_out_and_two_slices_are_too_few(tmp_path: Path) -> None:
    write_series(tmp_path / "one", ARRAY[:1], AXIAL)
    write_series(tmp_path / "two", ARRAY[:2], AXIAL)
    study = scan(tmp_path)
    assert sorted((refused.reason, refused.is_fault) for refused in study.refused) == [
        ("it has 2 slices, too few to see whether one is missing", True), ("it is a single image", False)]
    with pytest.raises(AutosegError, match="one slice of a series, give the folder"):
        read_image(tmp_path / "one/IM0000.dcm")


def test_planes_of_three_directions_in_one_series_are_three_volumes(tmp_path: Path) -> None:
    series = generate_uid()
    turned = [AXIAL.direction, (0, 0, 1, 1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1, 0, 1, 0)]
    for number, direction in enumerate(turned):
        geometry = replace(AXIAL, direction=tuple(map(float, direction)))
        write_series(tmp_path, ARRAY + number, geometry, names=[f"{number}{z}" for z in range(5)], SeriesInstanceUID=series)
    assert len(scan(tmp_path).found) == 3


def test_without_the_libraries_the_error_says_how_to_install_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path, ARRAY, AXIAL)
    monkeypatch.setattr("autoseg.image_io.dicom.library.find_spec", lambda name: None)
    with pytest.raises(AutosegError, match=r"pip install 'autoseg\[dicom\]'"):
        read_image(tmp_path)


def test_a_series_that_changed_is_read_anew(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY, AXIAL)
    read_image(series_of(tmp_path))
    shutil.rmtree(tmp_path)
    write_series(tmp_path, ARRAY + 1, oblique())
    same_voxels(read_image(series_of(tmp_path)), ARRAY + 1, oblique())
