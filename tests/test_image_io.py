"""Images are read as nibabel and SimpleITK read them, and written onto exactly the grid that they came from."""

from __future__ import annotations

import gzip
import json
import resource
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image as Pillow

from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io import (
    ENDINGS,
    file_ending,
    label_ending,
    read_geometry,
    read_image,
    read_label,
    write_image,
    write_label,
)

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = np.array([[0.8, -0.6, 0, 5], [0.6, 0.8, 0, -7], [0, 0, 1, 11], [0, 0, 0, 1]]) @ np.diag([0.5, 0.7, 3, 1])
SHEARED = OBLIQUE @ np.array([[1, 0, 0.3, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def volume(shape: tuple[int, ...] = (3, 4, 5), dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def save_nifti(path: Path, array_zyx: np.ndarray, affine: np.ndarray = OBLIQUE, **fields: object) -> Path:
    image = nib.Nifti1Image(array_zyx.T, affine)
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def labels_like(image: Image, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, image.array.shape[1:]).astype(dtype)


def header_bytes(path: Path) -> bytearray:
    return bytearray(gzip.decompress(path.read_bytes()))


# NIfTI: reading


@pytest.mark.parametrize("affine", [np.diag([1.0, 2, 3, 1]), OBLIQUE, SHEARED])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_nifti_gives_its_own_values_in_its_own_type_and_nibabels_affine(
    tmp_path: Path, affine: np.ndarray, dtype: type
) -> None:
    array = volume(dtype=dtype)
    image = read_image(save_nifti(tmp_path / "a.nii.gz", array, affine))
    assert image.array.dtype == dtype
    np.testing.assert_array_equal(image.array, array[None])
    np.testing.assert_allclose(image.geometry.affine(), RAS_TO_LPS @ affine, atol=1e-5)


def test_orthonormal_nifti_has_the_geometry_that_simpleitk_reads(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", volume())
    geometry, peer = read_image(path).geometry, sitk.ReadImage(str(path))
    np.testing.assert_allclose(geometry.spacing_mm[::-1], peer.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(geometry.origin_mm, peer.GetOrigin(), rtol=1e-6)
    np.testing.assert_allclose(geometry.direction, peer.GetDirection(), atol=1e-6)


def test_spacing_is_pixdims_where_the_affine_agrees_to_its_last_digits(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", volume())
    assert read_image(path).geometry.spacing_mm == tuple(float(np.float32(v)) for v in (3, 0.7, 0.5))


@pytest.mark.parametrize("code, factor", [(0, 1), (1, 1000), (2, 1), (3, 0.001)])
def test_units_of_nifti_become_millimetres_as_in_simpleitk(tmp_path: Path, code: int, factor: float) -> None:
    path = save_nifti(tmp_path / "a.nii", volume(), np.diag([1.0, 2, 3, 1]), xyzt_units=code)
    geometry = read_image(path).geometry
    np.testing.assert_allclose(geometry.spacing_mm, np.array([3, 2, 1]) * factor)
    np.testing.assert_allclose(geometry.spacing_mm[::-1], sitk.ReadImage(str(path)).GetSpacing())


def test_nifti_without_qform_and_sform_has_simpleitks_geometry(tmp_path: Path) -> None:
    header = nib.Nifti1Image(volume().T, np.diag([1.0, 2, 3, 1])).header
    header["sform_code"] = header["qform_code"] = 0
    path = tmp_path / "a.nii"
    path.write_bytes(header.binaryblock + bytes(4) + volume().tobytes())
    assert read_image(path).geometry == Geometry((3.0, 2.0, 1.0))
    assert sitk.ReadImage(str(path)).GetDirection() == Geometry((3.0, 2.0, 1.0)).direction


HALF_TURN = np.array([0.3, 0.8, 0.5]) / np.sqrt(0.98)  # b, c, d of a rotation by 180 degrees: a is 0


@pytest.mark.parametrize("quaternion", [
    (0.1, 0.2, 0.3), HALF_TURN, HALF_TURN * (1 + 5e-7), HALF_TURN * (1 + 5e-6), HALF_TURN * (1 - 3e-8)])
@pytest.mark.parametrize("qfac", [1, 0, -1, 3, -0.5])
def test_qform_alone_places_voxels_as_in_simpleitk_and_a_prediction_keeps_the_header(
    tmp_path: Path, qfac: float, quaternion: tuple[float, float, float]
) -> None:
    header = nib.Nifti1Image(volume().T, None).header
    header["sform_code"], header["qform_code"] = 0, 1
    header["pixdim"][:4] = qfac, 0.5, 0.7, 3
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = quaternion
    header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = 10, -20, 30
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4) + volume().tobytes())
    image, peer = read_image(tmp_path / "a.nii"), sitk.ReadImage(str(tmp_path / "a.nii"))
    assert read_geometry(tmp_path / "a.nii")[1] == image.geometry
    np.testing.assert_allclose(image.geometry.direction, peer.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(image.geometry.origin_mm, peer.GetOrigin())
    np.testing.assert_allclose(image.geometry.spacing_mm[::-1], peer.GetSpacing(), rtol=1e-6)

    write_label(tmp_path / "out.nii", labels_like(image), image)
    before, after = ((tmp_path / name).read_bytes() for name in ("a.nii", "out.nii"))
    assert after[76:92] == before[76:92] and after[252:328] == before[252:328]  # pixdim[:4]; codes, quaternion, offsets, rows
    assert sitk.ReadImage(str(tmp_path / "out.nii")).GetDirection() == peer.GetDirection()


@pytest.mark.parametrize("slope, inter, expected", [(0.5, -3.0, np.float32), (1.0, -1024.0, np.float32),
                                                    (1.0, 0.0, np.int16), (0.0, 7.0, np.int16), (np.nan, 7.0, np.int16)])
def test_slope_gives_float32_and_none_leaves_the_type(
    tmp_path: Path, slope: float, inter: float, expected: type
) -> None:
    save_nifti(tmp_path / "a.nii.gz", volume())
    raw = header_bytes(tmp_path / "a.nii.gz")
    raw[112:120] = np.array([slope, inter], "<f4").tobytes()
    (tmp_path / "b.nii").write_bytes(raw)
    image = read_image(tmp_path / "b.nii")
    assert image.array.dtype == expected
    scaled = volume() * slope + inter if expected == np.float32 else volume()
    np.testing.assert_allclose(image.array[0], scaled, rtol=1e-6)
    assert read_geometry(tmp_path / "b.nii")[2] == np.dtype(expected).itemsize


def test_fourth_axis_gives_channels_and_one_of_length_1_does_not_matter(tmp_path: Path) -> None:
    array = volume((2, 3, 4, 5))
    np.testing.assert_array_equal(read_image(save_nifti(tmp_path / "a.nii.gz", array)).array, array)
    assert read_image(save_nifti(tmp_path / "b.nii.gz", array[:1])).array.shape == (1, 3, 4, 5)
    with pytest.raises(AutosegError, match="only one axis beyond z"):
        read_image(save_nifti(tmp_path / "c.nii.gz", volume((2, 2, 3, 4, 5))))


def test_rgb_nifti_gives_three_channels(tmp_path: Path) -> None:
    colours = volume((3, 4, 5, 3), np.uint8)
    stored = np.ascontiguousarray(colours).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    path = save_nifti(tmp_path / "a.nii.gz", stored)
    np.testing.assert_array_equal(read_image(path).array, np.moveaxis(colours, -1, 0))


def test_big_endian_and_nifti2_and_pairs_are_read(tmp_path: Path) -> None:
    big = nib.Nifti1Image(volume().T, OBLIQUE, nib.Nifti1Header(endianness=">"))
    nib.save(big, tmp_path / "big.nii.gz")
    nib.save(nib.Nifti2Image(volume().T, OBLIQUE), tmp_path / "two.nii")
    nib.save(nib.Nifti1Pair(volume().T, OBLIQUE), tmp_path / "pair.img")
    for name in ("big.nii.gz", "two.nii", "pair.hdr"):
        image = read_image(tmp_path / name)
        assert image.array.dtype.isnative
        np.testing.assert_array_equal(image.array[0], volume())
        np.testing.assert_allclose(image.geometry.affine(), RAS_TO_LPS @ OBLIQUE, atol=1e-5)


def test_content_counts_where_the_name_says_packed_but_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(header_bytes(save_nifti(tmp_path / "b.nii.gz", volume())))
    (tmp_path / "c.nii").write_bytes((tmp_path / "b.nii.gz").read_bytes())
    for name in ("a.nii.gz", "c.nii"):
        np.testing.assert_array_equal(read_image(tmp_path / name).array[0], volume())


def test_gzip_of_several_members_is_read_whole(tmp_path: Path) -> None:
    raw = bytes(header_bytes(save_nifti(tmp_path / "b.nii.gz", volume())))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(raw[:360]) + gzip.compress(raw[360:400]) + gzip.compress(raw[400:]))
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii.gz").array[0], volume())


def test_large_volume_passes_through_the_unpacking_buffers_unchanged(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 3, (40, 128, 256)).astype(np.int16)
    np.testing.assert_array_equal(read_image(save_nifti(tmp_path / "a.nii.gz", array)).array[0], array)


# NIfTI: faults


def test_truncated_nifti_is_named_with_the_remedy(tmp_path: Path) -> None:
    whole = save_nifti(tmp_path / "a.nii.gz", volume()).read_bytes()
    for length in (5, 60, len(whole) // 2, len(whole) - 20, len(whole) - 4):
        (tmp_path / "cut.nii.gz").write_bytes(whole[:length])
        with pytest.raises(AutosegError, match=r"cut\.nii\.gz is truncated.*download it again"):
            read_image(tmp_path / "cut.nii.gz")
    unpacked = gzip.decompress(whole)
    for length in (100, 352, 400):
        (tmp_path / "cut.nii").write_bytes(unpacked[:length])
        with pytest.raises(AutosegError, match="is truncated"):
            read_image(tmp_path / "cut.nii")


def test_wrong_checksum_is_named(tmp_path: Path) -> None:
    whole = bytearray(save_nifti(tmp_path / "a.nii.gz", volume()).read_bytes())
    whole[-6] ^= 1
    (tmp_path / "b.nii.gz").write_bytes(whole)
    with pytest.raises(AutosegError, match="is damaged"):
        read_image(tmp_path / "b.nii.gz")


def test_header_that_announces_terabytes_takes_no_memory(tmp_path: Path) -> None:
    raw = header_bytes(save_nifti(tmp_path / "a.nii.gz", volume()))
    raw[42:48] = np.array([32000, 32000, 32000], "<i2").tobytes()
    (tmp_path / "b.nii").write_bytes(raw)
    with pytest.raises(AutosegError, match="more than a file of"):
        read_image(tmp_path / "b.nii")


@pytest.mark.parametrize("fields, found", [
    ({"srow_x": [np.nan] * 4}, "nan"),
    ({"srow_x": [0] * 4, "srow_y": [0] * 4}, "voxels of"),
    ({"srow_x": [1, 1, 0, 0], "srow_y": [1, 1, 0, 0], "srow_z": [0, 0, 1, 0]}, "axes must differ"),
    ({"sform_code": 0, "qform_code": 1, "pixdim": [1, 0, 1, 1, 0, 0, 0, 0]}, "voxels of"),
    ({"sform_code": 0, "qform_code": 0, "pixdim": [1, np.nan, 1, 1, 0, 0, 0, 0]}, "voxels of"),
    ({"sform_code": 0, "qform_code": 1, "quatern_b": 5}, "no rotation"),
    ({"sform_code": 0, "qform_code": 1, "quatern_b": np.nan}, "no rotation"),
])
def test_header_that_places_voxels_nowhere_is_named(tmp_path: Path, fields: dict[str, object], found: str) -> None:
    header = nib.Nifti1Image(volume().T, OBLIQUE).header
    for name, value in fields.items():
        header[name] = value
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4) + volume().tobytes())
    with pytest.raises(AutosegError, match=rf"a\.nii.*{found}"):
        read_image(tmp_path / "a.nii")
    with pytest.raises(AutosegError, match=found):
        read_geometry(tmp_path / "a.nii")


def test_zero_pixdim_does_not_matter_beside_a_good_sform(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", volume(), OBLIQUE, pixdim=[1, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(read_image(path).geometry.affine(), RAS_TO_LPS @ OBLIQUE, atol=1e-5)


def test_complex_voxels_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(AutosegError, match=r"complex.*magnitude"):
        read_image(save_nifti(tmp_path / "a.nii", volume().astype(np.complex64)))


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_that_are_no_images_are_named_in_every_format(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"page{ending}"
    for content in (b"", b"<html><body>404: not found</body></html>" * 20, b"version https://git-lfs.github.com/spec/v1"):
        path.write_bytes(content)
        for read in (read_image, read_label, read_geometry):
            with pytest.raises(AutosegError, match=f"page{ending}"):
                read(path)
    with pytest.raises(AutosegError, match="does not exist"):
        read_image(tmp_path / f"absent{ending}")


@pytest.mark.parametrize("name, remedy", [
    ("scan.dcm", "is not a DICOM file"), ("scan", "Convert"), ("scan.nii.bz2", "Convert"), ("scan.img", "hdr"),
])
def test_formats_that_are_not_read_say_what_to_do(tmp_path: Path, name: str, remedy: str) -> None:
    (tmp_path / name).write_bytes(bytes(400))
    with pytest.raises(AutosegError, match=remedy):
        read_image(tmp_path / name)
    (tmp_path / "folder").mkdir(exist_ok=True)
    with pytest.raises(AutosegError, match="is a folder"):
        read_image(tmp_path / "folder")


def test_analyze_is_refused_because_left_is_unknown(tmp_path: Path) -> None:
    nib.save(nib.Spm2AnalyzeImage(volume().T, np.eye(4)), tmp_path / "a.img")
    with pytest.raises(AutosegError, match="Analyze"):
        read_image(tmp_path / "a.hdr")


# NIfTI: writing


@pytest.mark.parametrize("qform_code, sform_code", [(0, 0), (1, 0), (0, 2), (1, 1), (2, 4)])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_prediction_has_its_inputs_qform_sform_codes_and_units_to_the_bit(
    tmp_path: Path, ending: str, qform_code: int, sform_code: int
) -> None:
    source = nib.Nifti1Image(volume().T, None)
    source.set_qform(np.diag([0.5, 0.7, 3, 1]), qform_code)
    source.set_sform(SHEARED, sform_code)
    source.header.set_xyzt_units("micron", "sec")
    source.header["cal_max"], source.header["descrip"] = 900, b"a patient's name"
    source.header.set_slope_inter(2, 1)
    nib.save(source, tmp_path / f"in{ending}")
    image = read_image(tmp_path / f"in{ending}")
    labels = labels_like(image)
    write_label(tmp_path / f"out{ending}", labels, image)

    before, after = nib.load(tmp_path / f"in{ending}"), nib.load(tmp_path / f"out{ending}")
    np.testing.assert_array_equal(np.asanyarray(after.dataobj).T, labels)
    assert after.get_data_dtype() == np.uint8
    for name in ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
                 "srow_x", "srow_y", "srow_z", "xyzt_units", "dim", "pixdim"):
        np.testing.assert_array_equal(after.header[name], before.header[name], err_msg=name)
    assert after.dataobj.slope == 1 and after.dataobj.inter == 0
    assert float(after.header["cal_max"]) == 0 and b"patient" not in after.header.binaryblock
    assert read_label(tmp_path / f"out{ending}").geometry == image.geometry


@pytest.mark.parametrize("shape, expected", [((4, 5), (5, 4)), ((1, 4, 5), (5, 4, 1)), ((2, 3, 4, 5), (5, 4, 3)),
                                             ((1, 3, 4, 5), (5, 4, 3))])
def test_prediction_is_flat_where_its_input_is_and_has_no_channels(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    image = read_image(save_nifti(tmp_path / "in.nii.gz", volume(shape)))
    write_label(tmp_path / "out.nii.gz", labels_like(image), image)
    assert nib.load(tmp_path / "out.nii.gz").shape == expected
    np.testing.assert_array_equal(read_label(tmp_path / "out.nii.gz").array[0], labels_like(image))


def test_pair_and_big_endian_and_nifti2_inputs_give_readable_predictions(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(volume().T, OBLIQUE, nib.Nifti1Header(endianness=">")), tmp_path / "big.nii.gz")
    nib.save(nib.Nifti2Image(volume().T, OBLIQUE), tmp_path / "two.nii")
    nib.save(nib.Nifti1Pair(volume().T, OBLIQUE), tmp_path / "pair.img")
    for name in ("big.nii.gz", "two.nii", "pair.hdr"):
        image = read_image(tmp_path / name)
        write_label(tmp_path / "out.nii.gz", labels_like(image, np.uint16), image)
        after = nib.load(tmp_path / "out.nii.gz")
        np.testing.assert_array_equal(np.asanyarray(after.dataobj).T, labels_like(image))
        np.testing.assert_allclose(after.affine, OBLIQUE, atol=1e-6)
        if name != "two.nii":  # which SimpleITK does not read
            peer = sitk.ReadImage(str(tmp_path / "out.nii.gz"))
            np.testing.assert_array_equal(sitk.GetArrayFromImage(peer), labels_like(image))


def test_same_labels_give_the_same_bytes(tmp_path: Path) -> None:
    image = read_image(save_nifti(tmp_path / "in.nii.gz", volume()))
    write_label(tmp_path / "a.nii.gz", labels_like(image), image)
    write_label(tmp_path / "b.nii.gz", labels_like(image), image)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_float_maps_of_several_channels_come_back(tmp_path: Path) -> None:
    image = read_image(save_nifti(tmp_path / "in.nii.gz", volume()))
    maps = np.random.default_rng(2).random((2, 3, 4, 5)).astype(np.float32)
    for ending in (".nii.gz", ".nrrd", ".mha", ".tif"):
        write_image(tmp_path / f"maps{ending}", maps, image)
        np.testing.assert_array_equal(read_image(tmp_path / f"maps{ending}").array, maps)
    with pytest.raises(AutosegError, match=r"maps\.tif"):
        write_image(tmp_path / "maps.png", maps, image)


# NRRD and MetaImage


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_prediction_for_nrrd_and_metaimage_has_the_same_grid_in_simpleitk(tmp_path: Path, ending: str) -> None:
    source = sitk.GetImageFromArray(volume())
    source.SetSpacing((0.7, 0.8, 1 / 3))
    source.SetOrigin((1 / 3, -20 / 7, 1000 / 3))
    source.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, -1))
    sitk.WriteImage(source, str(tmp_path / f"in{ending}"))
    image = read_image(tmp_path / f"in{ending}")
    np.testing.assert_array_equal(image.array[0], volume())
    assert image.array.dtype == np.int16
    assert read_geometry(tmp_path / f"in{ending}") == (image.array.shape, image.geometry, 2)
    write_label(tmp_path / f"out{ending}", labels_like(image), image)
    before, after = (sitk.ReadImage(str(tmp_path / f"{name}{ending}")) for name in ("in", "out"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(after), labels_like(image))
    np.testing.assert_allclose(after.GetSpacing(), before.GetSpacing(), rtol=1e-15)
    np.testing.assert_allclose(after.GetDirection(), before.GetDirection(), atol=1e-15)
    assert after.GetOrigin() == before.GetOrigin()


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_flat_and_several_channels_in_nrrd_and_metaimage(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(volume((4, 5))), str(path))
    image = read_image(path)
    assert image.array.shape == (1, 1, 4, 5)
    write_label(tmp_path / f"out{ending}", labels_like(image), image)
    assert sitk.ReadImage(str(tmp_path / f"out{ending}")).GetSize() == (5, 4)
    sitk.WriteImage(sitk.GetImageFromArray(volume((3, 4, 5, 2)), isVector=True), str(path))
    np.testing.assert_array_equal(read_image(path).array, np.moveaxis(volume((3, 4, 5, 2)), -1, 0))
    sitk.WriteImage(sitk.GetImageFromArray(volume((2, 3, 4, 5)), isVector=False), str(path))
    np.testing.assert_array_equal(read_image(path).array, volume((2, 3, 4, 5)))
    assert read_geometry(path)[0] == (2, 3, 4, 5)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
@pytest.mark.parametrize("packed", [True, False])
def test_truncated_nrrd_and_metaimage_are_named(tmp_path: Path, name: str, packed: bool) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(volume((9, 9, 9))), str(tmp_path / name), packed)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(AutosegError, match=f"{name} is .*truncated"):
        read_image(tmp_path / name)


def test_header_without_its_voxel_file_is_named_and_two_files_are_not_written(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(volume()), str(tmp_path / "a.mhd"))
    image = read_image(tmp_path / "a.mhd")
    with pytest.raises(AutosegError, match=r"\.mhd cannot be written"):
        write_label(tmp_path / "b.mhd", labels_like(image), image)
    (tmp_path / "a.raw").unlink()
    with pytest.raises(AutosegError, match="missing"):
        read_image(tmp_path / "a.mhd")


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("affine", [OBLIQUE, SHEARED])
def test_formats_agree_on_where_the_voxels_lie(tmp_path: Path, ending: str, affine: np.ndarray) -> None:
    image = read_image(save_nifti(tmp_path / "in.nii.gz", volume(), affine))
    foreign = Image(image.array, image.geometry)  # as if it came from a format with no header to take over
    write_label(tmp_path / f"out{ending}", labels_like(image), foreign)
    assert read_label(tmp_path / f"out{ending}").geometry.differences(image.geometry, (3, 4, 5), tolerance=1e-6) == []


# PNG, BMP, JPEG


@pytest.mark.parametrize("mode, expected", [
    ("L", (1, 1, 4, 5)), ("RGB", (3, 1, 4, 5)), ("RGBA", (3, 1, 4, 5)), ("LA", (1, 1, 4, 5)), ("P", (3, 1, 4, 5)),
    ("1", (1, 1, 4, 5)), ("I;16", (1, 1, 4, 5)),
])
def test_png_gives_one_channel_for_gray_and_three_for_colour(
    tmp_path: Path, mode: str, expected: tuple[int, ...]
) -> None:
    picture = Pillow.fromarray(volume((4, 5, 3), np.uint8))
    if mode == "I;16":
        picture = Pillow.fromarray(volume((4, 5), np.uint16) * 300)
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.array.shape == expected
    assert read_geometry(tmp_path / "a.png") == (expected, Geometry((1.0, 1.0, 1.0)), image.array.itemsize)
    shown = np.asarray(picture.convert("RGB") if expected[0] == 3 else picture)
    if mode == "LA":
        shown = shown[..., 0]
    np.testing.assert_array_equal(image.array[:, 0] if expected[0] == 3 else image.array[0, 0],
                                  np.moveaxis(shown, -1, 0) if expected[0] == 3 else shown)


def test_png_of_16_bit_colour_keeps_its_values(tmp_path: Path) -> None:
    colours = volume((4, 5, 3), np.uint16) * 300
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "a.png"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").array[:, 0], np.moveaxis(colours, -1, 0))


def test_png_of_few_bits_keeps_its_values(tmp_path: Path) -> None:
    """A gray PNG of 2 bits, made by hand: 1 row of the values 0 1 2 3, which viewers show as 0 85 170 255."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    size = (4).to_bytes(4, "big") + (1).to_bytes(4, "big")
    rows = zlib.compress(bytes([0, 0b00011011]))
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + bytes([2, 0, 0, 0, 0])) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    assert read_image(tmp_path / "a.png").array.ravel().tolist() == [0, 1, 2, 3]


def test_palette_label_gives_indices_and_gray_palette_image_one_channel(tmp_path: Path) -> None:
    picture = Pillow.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "L").convert("P")
    picture.putpalette([10, 10, 10, 200, 0, 0, 0, 0, 250])
    picture.putdata([0, 1, 2, 1])
    picture.save(tmp_path / "a.png")
    assert read_label(tmp_path / "a.png").array.ravel().tolist() == [0, 1, 2, 1]
    assert read_image(tmp_path / "a.png").array[:, 0, 0, 1].tolist() == [200, 0, 0]
    picture.putpalette([10, 10, 10, 20, 20, 20, 30, 30, 30])
    picture.save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png").array.shape[0] == 1


@pytest.mark.parametrize("ending, dtype", [(".png", np.uint8), (".png", np.uint16), (".bmp", np.uint8)])
def test_prediction_for_a_picture_is_gray_and_comes_back(tmp_path: Path, ending: str, dtype: type) -> None:
    Pillow.fromarray(volume((4, 5, 3), np.uint8)).save(tmp_path / "in.jpg")
    image = read_image(tmp_path / "in.jpg")
    write_label(tmp_path / f"out{ending}", labels_like(image, dtype), image)
    after = read_label(tmp_path / f"out{ending}")
    assert after.array.dtype == dtype and after.geometry == image.geometry
    np.testing.assert_array_equal(after.array[0], labels_like(image))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.jpg"])
def test_truncated_pictures_are_named(tmp_path: Path, name: str) -> None:
    Pillow.fromarray(volume((40, 50), np.uint8)).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(AutosegError, match=f"{name} is truncated"):
        read_image(tmp_path / name)


# TIFF


def test_tiff_volume_takes_its_spacing_from_the_sidecar_and_a_prediction_gets_one(tmp_path: Path) -> None:
    for folder in ("images", "out"):
        (tmp_path / folder).mkdir()
    tifffile.imwrite(tmp_path / "images/case_0000.tif", volume((5, 4, 6), np.uint8))
    (tmp_path / "images/case.json").write_text('{"spacing": [3, 0.5, 0.5]}')
    image = read_image(tmp_path / "images/case_0000.tif")
    np.testing.assert_array_equal(image.array[0], volume((5, 4, 6)))
    assert image.geometry.spacing_mm == (3.0, 0.5, 0.5)
    write_label(tmp_path / "out/case.tif", labels_like(image), image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out/case.tif"), labels_like(image))
    assert json.loads((tmp_path / "out/case.json").read_text()) == {"spacing": [3.0, 0.5, 0.5]}
    assert read_label(tmp_path / "out/case.tif").geometry == image.geometry
    (tmp_path / "images/case.json").write_text('{"spacing": "3 mm"}')
    with pytest.raises(AutosegError, match=r"case\.json"):
        read_image(tmp_path / "images/case_0000.tif")


@pytest.mark.parametrize("shape, options, expected", [
    ((4, 5), {}, (1, 1, 4, 5)),
    ((3, 4, 5), {"photometric": "minisblack"}, (1, 3, 4, 5)),
    ((1, 4, 5), {}, (1, 1, 4, 5)),
    ((4, 5, 3), {"photometric": "rgb"}, (3, 1, 4, 5)),
    ((4, 5, 4), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, (3, 1, 4, 5)),
    ((2, 4, 5), {"metadata": {"axes": "CYX"}, "photometric": "minisblack"}, (2, 1, 4, 5)),
    ((3, 2, 4, 5), {"metadata": {"axes": "ZCYX"}, "photometric": "minisblack"}, (2, 3, 4, 5)),
])
def test_tiff_pages_are_slices_and_colours_channels(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, object], expected: tuple[int, ...]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", volume(shape, np.uint8), **options)
    image = read_image(tmp_path / "a.tif")
    assert image.array.shape == expected == read_geometry(tmp_path / "a.tif")[0]
    write_label(tmp_path / "out.tif", labels_like(image), image)
    np.testing.assert_array_equal(read_label(tmp_path / "out.tif").array[0], labels_like(image))
    if "photometric" not in options:
        assert tifffile.imread(tmp_path / "out.tif").shape == shape
    if shape == (4, 5, 4):
        np.testing.assert_array_equal(image.array[:, 0], np.moveaxis(volume(shape), -1, 0)[:3])
    if shape == (3, 2, 4, 5):
        np.testing.assert_array_equal(image.array, volume(shape).transpose(1, 0, 2, 3))


def test_tiff_of_three_slices_beside_a_sidecar_is_no_colour_picture(tmp_path: Path) -> None:
    """tifffile's writer, left to itself, stores uint8 arrays of three slices as planes of red, green and blue."""
    tifffile.imwrite(tmp_path / "a.tif", volume(dtype=np.uint8), photometric="rgb", planarconfig="separate")
    assert read_image(tmp_path / "a.tif").array.shape == (3, 1, 4, 5)
    (tmp_path / "a.json").write_text('{"spacing": [3, 1, 1]}')
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, volume()[None])


def test_tiff_packed_by_other_programs_is_read(tmp_path: Path) -> None:
    Pillow.fromarray(volume((4, 5), np.uint8)).save(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array[0, 0], volume((4, 5)))


def test_tiff_that_lost_its_last_pages_is_not_read_as_a_shorter_volume(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(volume((5, 20, 20), np.uint8)), str(tmp_path / "a.tif"))
    whole = (tmp_path / "a.tif").read_bytes()
    for share in (0.3, 0.6, 0.9):
        (tmp_path / "cut.tif").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(AutosegError, match="truncated"):
            read_image(tmp_path / "cut.tif")


# Labels


@pytest.mark.parametrize("dtype, highest", [(np.float32, 3), (np.float64, 3), (np.float32, 300)])
def test_whole_labels_stored_as_floating_point_become_integers(tmp_path: Path, dtype: type, highest: int) -> None:
    array = np.full((3, 4, 5), highest, dtype)
    array[0, 0, 0] = 0
    label = read_label(save_nifti(tmp_path / "a.nii.gz", array))
    assert label.array.dtype == (np.uint8 if highest < 256 else np.uint16)
    np.testing.assert_array_equal(label.array[0], array)


def test_labels_with_a_slope_are_rounded_where_whole_and_refused_where_not(tmp_path: Path) -> None:
    raw = header_bytes(save_nifti(tmp_path / "a.nii.gz", np.array([[[0, 255]]], np.uint8)))
    raw[112:120] = np.array([1 / 255, 0], "<f4").tobytes()
    (tmp_path / "b.nii").write_bytes(raw)
    assert read_label(tmp_path / "b.nii").array.ravel().tolist() == [0, 1]
    raw[112:120] = np.array([0.1, 0], "<f4").tobytes()
    (tmp_path / "b.nii").write_bytes(raw)
    with pytest.raises(AutosegError, match=r"b\.nii.*25\.5"):
        read_label(tmp_path / "b.nii")


@pytest.mark.parametrize("wrong", [0.5, np.nan, np.inf])
def test_labels_that_are_not_whole_numbers_are_refused(tmp_path: Path, wrong: float) -> None:
    array = np.zeros((3, 4, 5), np.float32)
    array[2, 3, 4] = wrong
    with pytest.raises(AutosegError, match="whole numbers"):
        read_label(save_nifti(tmp_path / "a.nii.gz", array))


def test_negative_labels_are_left_to_the_checks(tmp_path: Path) -> None:
    array = np.array([[[-1.0, 200.0]]], np.float32)
    assert read_label(save_nifti(tmp_path / "a.nii.gz", array)).array.ravel().tolist() == [-1, 200]


def test_colour_label_is_read_where_it_is_gray_in_truth_and_refused_where_not(tmp_path: Path) -> None:
    gray = np.array([[0, 1], [2, 1]], np.uint8)
    Pillow.fromarray(np.stack([gray] * 3, -1)).save(tmp_path / "gray.png")
    assert read_label(tmp_path / "gray.png").array.ravel().tolist() == [0, 1, 2, 1]
    Pillow.fromarray(np.stack([gray, gray, 0 * gray], -1)).save(tmp_path / "colour.png")
    with pytest.raises(AutosegError, match="one channel"):
        read_label(tmp_path / "colour.png")


def test_label_with_a_fourth_axis_of_length_1_is_read_and_a_longer_one_refused(tmp_path: Path) -> None:
    assert read_label(save_nifti(tmp_path / "a.nii.gz", volume((1, 3, 4, 5)))).array.shape == (1, 3, 4, 5)
    with pytest.raises(AutosegError, match="one channel"):
        read_label(save_nifti(tmp_path / "b.nii.gz", volume((2, 3, 4, 5))))


# All formats


@pytest.mark.parametrize("name, ending", [
    ("a.nii.gz", ".nii.gz"), ("A.NII.GZ", ".nii.gz"), ("a.b.nii", ".nii"), ("a.seg.nrrd", ".nrrd"), ("a", ""),
])
def test_ending_is_lower_case_and_knows_packed_nifti(name: str, ending: str) -> None:
    assert file_ending(Path("folder.x") / name) == ending


def test_every_ending_has_a_label_ending_that_can_be_written(tmp_path: Path) -> None:
    image = Image(volume((1, 1, 4, 5)), Geometry((1.0, 1.0, 1.0)))
    for ending in ENDINGS:
        written = label_ending(ending)
        write_label(tmp_path / f"a{written}", labels_like(image), image)
        np.testing.assert_array_equal(read_label(tmp_path / f"a{written}").array[0], labels_like(image))


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha", ".tif", ".png", ".bmp"])
def test_disk_that_takes_no_more_leaves_the_old_file_and_no_leftover(tmp_path: Path, ending: str) -> None:
    labels = np.random.default_rng(0).integers(0, 255, (1, 200, 200)).astype(np.uint8)
    image = Image(labels[None], Geometry((1.0, 1.0, 1.0)))
    (tmp_path / f"a{ending}").write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))
    try:
        with pytest.raises(AutosegError, match="could not be written"):
            write_label(tmp_path / f"a{ending}", labels, image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{ending}"]
    assert (tmp_path / f"a{ending}").read_bytes() == b"old"


def test_labels_of_another_shape_or_type_are_a_programming_error(tmp_path: Path) -> None:
    image = read_image(save_nifti(tmp_path / "in.nii.gz", volume()))
    with pytest.raises(ValueError, match="does not fit"):
        write_label(tmp_path / "out.nii.gz", np.zeros((4, 3, 5), np.uint8), image)
    with pytest.raises(ValueError, match="uint8"):
        write_label(tmp_path / "out.nii.gz", np.zeros((3, 4, 5), np.int64), image)


# Real files


def test_one_head_in_26_orientations_lies_at_the_same_place(shared_data: Path) -> None:
    files = sorted((shared_data / "readers/orientations").glob("*.nii.gz"))
    assert len(files) == 26
    places_mm = []
    for path in files:
        image, peer = read_image(path), nib.load(path)
        np.testing.assert_allclose(image.array[0], peer.get_fdata(dtype=np.float32).T, rtol=1e-6)
        np.testing.assert_allclose(image.geometry.affine(), RAS_TO_LPS @ peer.affine, atol=1e-4)
        brightest = np.argwhere(image.array[0] >= image.array.max() * 0.999)[:, ::-1].mean(0)
        places_mm.append((image.geometry.affine() @ [*brightest, 1])[:3])
    np.testing.assert_allclose(places_mm, [places_mm[0]] * 26, atol=0.01)


@pytest.mark.parametrize("name", ["pcasl.nii.gz", "shear.nii.gz", "ras.hdr", "wm.mgz"])
def test_odd_files_are_read_as_nibabel_reads_them_and_predictions_lie_on_them(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    path = shared_data / "readers/odd" / name
    image, peer = read_image(path), nib.load(path)
    stored = np.asanyarray(peer.dataobj).T
    np.testing.assert_allclose(image.array, stored.reshape(image.array.shape), atol=1e-4)
    np.testing.assert_allclose(image.geometry.affine(), RAS_TO_LPS @ peer.affine, atol=1e-4)
    assert read_geometry(path) == (image.array.shape, image.geometry, image.array.itemsize)
    out = tmp_path / f"out{label_ending(file_ending(path))}"
    write_label(out, np.zeros(image.array.shape[1:], np.uint8), image)
    after = nib.load(out)
    np.testing.assert_allclose(after.affine, peer.affine, atol=1e-5)
    if name == "shear.nii.gz":
        np.testing.assert_array_equal(after.get_qform(), peer.get_qform())
        assert after.header["qform_code"] == 2 and after.header["sform_code"] == 2


@pytest.mark.parametrize("name", ["FLAIR.nrrd", "mha.mha", "ct_perfusion.nii.gz"])
def test_odd_files_are_read_as_simpleitk_reads_them(shared_data: Path, name: str) -> None:
    path = shared_data / "readers/odd" / name
    image, peer = read_image(path), sitk.ReadImage(str(path))
    stored = sitk.GetArrayFromImage(peer)
    np.testing.assert_array_equal(image.array, np.moveaxis(stored, -1, 0) if stored.ndim == 4 else stored[None])
    np.testing.assert_allclose(image.geometry.spacing_mm[::-1], peer.GetSpacing())
    np.testing.assert_allclose(image.geometry.origin_mm, peer.GetOrigin())
    np.testing.assert_allclose(image.geometry.direction, peer.GetDirection(), atol=1e-9)


@pytest.mark.parametrize("name, found", [("complex_image.nii.gz", "complex"), ("ras.img", r"\.hdr")])
def test_odd_files_that_are_not_read_say_why(shared_data: Path, name: str, found: str) -> None:
    with pytest.raises(AutosegError, match=found):
        read_image(shared_data / "readers/odd" / name)
