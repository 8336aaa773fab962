"""What is cut out lies where it lay, by every header that a viewer may go by."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from autoseg.image import Geometry, Image
from autoseg.image_io import read_image, write_image
from autoseg.tasks.localization.placement import ProjectionPlacement, axes_of
from autoseg.tasks.localization.plan import WorldAxis
from autoseg.tasks.localization.prediction import cropped

OBLIQUE = Rotation.from_euler("xyz", (25, -15, 40), degrees=True).as_matrix()


def placement_of(image: Image, axis: WorldAxis = "z") -> ProjectionPlacement:
    """Of a projection of the whole volume along another axis."""
    shape = image.array.shape[1:]
    project: WorldAxis = "y" if axis == "x" else "x"
    axes = axes_of(image.geometry, axis, project)
    return ProjectionPlacement(image.geometry, shape, axis, axes, tuple((0, size) for size in shape), (10, 10))  # type: ignore[arg-type]


def volume(channels: int = 1, dtype: type = np.int16, direction: np.ndarray | None = None) -> Image:
    """(channels, 9, 6, 5) of 4 × 2 × 1.5 mm."""
    array = np.random.default_rng(0).integers(-500, 500, (channels, 9, 6, 5)).astype(dtype)
    axes = np.eye(3) if direction is None else direction
    return Image(array, Geometry((4.0, 2.0, 1.5), (5.0, -7.0, 11.0), tuple(axes.ravel())))


def nifti_header(affine: np.ndarray, sform: int, qform: int) -> nib.Nifti1Image:
    """With these codes; where both are set, the qform lies 3 mm apart."""
    image = nib.Nifti1Image(volume().array[0].T, affine)
    image.set_sform(affine, code=sform)
    apart = np.eye(4)
    apart[0, 3] = 3 if sform and qform else 0
    image.set_qform(apart @ affine, code=qform)
    image.header["slice_end"], image.header["slice_code"] = 8, 1
    return image


@pytest.mark.parametrize(("slice_", "thickness_mm", "expected"), [
    (4.2, 0, (4, 5)), (4.6, 0, (5, 6)), (4.2, 3, (4, 5)),  # the nearest slice of 4 mm
    (4.2, 8, (4, 6)), (3.9, 8, (3, 5)), (4.2, 12, (3, 6)), (4.2, 16, (3, 7)), (4.2, 18, (2, 7)),
    (0.1, 12, (0, 2)), (-0.5, 8, (0, 1)), (8.5, 0, (8, 9)), (8.5, 8, (8, 9)), (8.0, 12, (7, 9)), (4.2, 1e6, (0, 9)),  # clipped
])
def test_the_nearest_slices_are_cut_out(slice_: float, thickness_mm: float, expected: tuple[int, int]) -> None:
    image = volume()
    part = cropped(image, placement_of(image), slice_, thickness_mm)
    start, stop = expected
    np.testing.assert_array_equal(part.array, image.array[:, start:stop])
    assert part.geometry == Geometry((4.0, 2.0, 1.5), (5.0, -7.0, 11.0 + 4 * start))


@pytest.mark.parametrize("axis", ["x", "y", "z"])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("direction", [np.eye(3), OBLIQUE, OBLIQUE[:, [2, 0, 1]] * (-1, 1, 1)], ids=["own", "oblique", "other"])
def test_itk_sees_every_voxel_at_its_place(tmp_path: Path, axis: WorldAxis, ending: str, direction: np.ndarray) -> None:
    write_image(tmp_path / f"whole{ending}", (made := volume(direction=direction)).array, like=made)
    image = read_image(tmp_path / f"whole{ending}")
    placement = placement_of(image, axis)
    part = cropped(image, placement, 2.7, 2 * placement.slice_mm)
    write_image(tmp_path / f"part{ending}", part.array, like=part)
    whole, found = (sitk.ReadImage(str(tmp_path / f"{name}{ending}")) for name in ("whole", "part"))
    shift = [0, 0, 0]
    shift[2 - placement.axes.rows] = 2
    assert found.GetPixelID() == whole.GetPixelID()
    assert found.GetSize()[2 - placement.axes.rows] == 2
    for index in ((0, 0, 0), tuple(size - 1 for size in found.GetSize())):
        before = tuple(i + s for i, s in zip(index, shift, strict=True))
        assert found.GetPixel(index) == whole.GetPixel(before)
        np.testing.assert_allclose(
            found.TransformIndexToPhysicalPoint(index), whole.TransformIndexToPhysicalPoint(before), atol=1e-4)


@pytest.mark.parametrize("direction", [np.eye(3), OBLIQUE[:, [2, 0, 1]]], ids=["straight", "oblique"])
@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 0), (0, 1), (4, 2)])
def test_sform_and_qform_move_each_by_itself(tmp_path: Path, direction: np.ndarray, sform: int, qform: int) -> None:
    affine = volume(direction=direction).geometry.affine()
    whole = nifti_header(affine, sform, qform)
    nib.save(whole, tmp_path / "whole.nii.gz")
    image = read_image(tmp_path / "whole.nii.gz")
    placement = placement_of(image)
    part = cropped(image, placement, 3)
    write_image(tmp_path / "part.nii.gz", part.array, like=part)
    found = nib.load(tmp_path / "part.nii.gz")
    axis = 2 - placement.axes.rows
    assert found.shape == tuple(1 if a == axis else size for a, size in enumerate(whole.shape))
    assert (found.header["sform_code"], found.header["qform_code"]) == (sform, qform)
    assert found.get_data_dtype() == np.int16 and found.header["slice_end"] == 0 == found.header["slice_code"]
    np.testing.assert_array_equal(found.dataobj, np.take(whole.dataobj, [3], axis))
    shift = np.eye(4)
    shift[axis, 3] = 3
    for name, code in (("get_sform", sform), ("get_qform", qform)):
        if code:
            np.testing.assert_allclose(getattr(found, name)(), getattr(whole, name)() @ shift, atol=1e-4)
    np.testing.assert_allclose(read_image(tmp_path / "part.nii.gz").geometry.affine(), part.geometry.affine(), atol=1e-4)


def test_without_codes_the_place_that_was_read_is_written(tmp_path: Path) -> None:
    nib.save(nifti_header(np.diag([1.5, 2, 4, 1]), 0, 0), tmp_path / "whole.nii")
    image = read_image(tmp_path / "whole.nii")
    part = cropped(image, placement_of(image), 3)
    write_image(tmp_path / "part.nii", part.array, like=part)
    whole, found = (sitk.ReadImage(str(tmp_path / f"{name}.nii")) for name in ("whole", "part"))
    np.testing.assert_allclose(found.TransformIndexToPhysicalPoint((1, 2, 0)), whole.TransformIndexToPhysicalPoint((1, 2, 3)))
    assert nib.load(tmp_path / "part.nii").header["qform_code"] == 2 == nib.load(tmp_path / "part.nii").header["sform_code"]


def test_a_qform_that_is_no_rotation_stays_beside_the_sform_that_counts(tmp_path: Path) -> None:
    whole = nifti_header(np.diag([1.5, 2, 4, 1]), 1, 1)
    whole.header["quatern_b"], whole.header["quatern_c"] = 1, 1
    (tmp_path / "whole.nii").write_bytes(whole.header.binaryblock + bytes(4) + np.asarray(whole.dataobj).tobytes("F"))
    image = read_image(tmp_path / "whole.nii")
    part = cropped(image, placement_of(image), 3)
    write_image(tmp_path / "part.nii", part.array, like=part)
    np.testing.assert_allclose(nib.load(tmp_path / "part.nii").header.get_sform()[:3, 3], [0, 0, 12])


@pytest.mark.parametrize(("ending", "channels"), [(".nii.gz", 2), (".nrrd", 2), (".mha", 3), (".tif", 2)])
def test_all_channels_are_cut_out(tmp_path: Path, ending: str, channels: int) -> None:
    image = volume(channels)
    part = cropped(image, placement_of(image), 5)
    write_image(tmp_path / f"part{ending}", part.array, like=part)
    found = read_image(tmp_path / f"part{ending}")
    np.testing.assert_array_equal(found.array, image.array[:, 5:6])
    assert found.array.dtype == np.int16


def test_values_with_a_slope_stay_as_they_were_read(tmp_path: Path) -> None:
    whole = nifti_header(np.diag([1.5, 2, 4, 1]), 1, 1)
    whole.header.set_slope_inter(0.5, -100)
    (tmp_path / "whole.nii").write_bytes(whole.header.binaryblock + bytes(4) + np.asarray(whole.dataobj).tobytes("F"))
    image = read_image(tmp_path / "whole.nii")
    assert image.array.dtype == np.float32 and image.array[0, 3, 2, 1] == volume().array[0, 3, 2, 1] * 0.5 - 100
    part = cropped(image, placement_of(image), 3)
    write_image(tmp_path / "part.nii", part.array, like=part)
    np.testing.assert_array_equal(nib.load(tmp_path / "part.nii").get_fdata(dtype=np.float32).T, image.array[0, 3:4])


def test_a_head_in_26_orientations_is_cut_at_the_same_place(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "readers/orientations").glob("*.nii.gz"))
    assert len(files) == 26
    seen = []
    for path in files:
        image, whole = read_image(path), nib.load(path)
        placement = placement_of(image)
        slice_ = placement.slice_at(10.0)
        part = cropped(image, placement, slice_, 20)
        write_image(tmp_path / "part.nii.gz", part.array, like=part)
        found = nib.load(tmp_path / "part.nii.gz")
        axis = 2 - placement.axes.rows
        shift = np.eye(4)
        shift[axis, 3] = round((np.linalg.inv(whole.affine) @ found.affine)[axis, 3])
        np.testing.assert_allclose(found.affine, whole.affine @ shift, atol=1e-4)
        start, stop = int(shift[axis, 3]), int(shift[axis, 3]) + found.shape[axis]
        np.testing.assert_array_equal(
            found.get_fdata(dtype=np.float32), np.take(whole.get_fdata(dtype=np.float32), range(start, stop), axis))
        as_one = nib.as_closest_canonical(found)
        seen.append((as_one.affine, as_one.get_fdata(dtype=np.float32)))
    for affine, values in seen:
        np.testing.assert_allclose(affine, seen[0][0], atol=1e-2)
        np.testing.assert_allclose(values, seen[0][1], atol=1e-3)
