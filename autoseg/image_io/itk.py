"""NRRD and MetaImage, by SimpleITK."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from autoseg.errors import AutosegError
from autoseg.files import atomic_path, disk_error
from autoseg.image import Geometry, Image
from autoseg.image_io.checks import (
    GET_IT_AGAIN,
    channels_and_grid,
    checked_geometry,
    complex_values,
    damaged,
    flat_spacing_mm,
    truncated,
)

NRRD = (".nrrd", ".nhdr")
READERS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
SIGNS_OF_TRUNCATION = ("fread got only", "expected", "not read completely")


@dataclass(frozen=True)
class ItkHeader:
    """The header of a file. dimensions: 2 where the file's grid is (x, y), else 3. All else of the grid is in the geometry."""

    dimensions: int


def read(path: Path) -> Image:
    """Read an array (C, Z, Y, X), the file's dtype; a fourth axis or a voxel's components give C."""
    reader = _open(path)
    shape, geometry = _shape(path, reader), _geometry(path, reader)
    try:
        stored = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    if reader.GetNumberOfComponents() > 1:
        stored = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
    return Image(stored.reshape(shape), geometry, ItkHeader(2 if reader.GetDimension() == 2 else 3))


def read_geometry(path: Path) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return (C, Z, Y, X), geometry and bytes per voxel and channel of what `read` gives; only the header is read."""
    reader = _open(path)
    pixel = sitk.Image([1] * 2, reader.GetPixelID(), reader.GetNumberOfComponents())
    itemsize = sitk.GetArrayViewFromImage(pixel).dtype.itemsize
    return _shape(path, reader), _geometry(path, reader), itemsize


def write(path: Path, array: np.ndarray, like: Image) -> None:
    """Write `array` (C, Z, Y, X) on the grid of `like`; several channels as components of each voxel."""
    if path.suffix.lower() in (".mhd", ".nhdr"):
        whole = ".mha" if path.suffix.lower() == ".mhd" else ".nrrd"
        raise AutosegError(f"{path} would be two files, of which one could be lost. Write {path.stem}{whole} instead.")
    flat = isinstance(like.header, ItkHeader) and like.header.dimensions == 2
    stored = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)
    image = sitk.GetImageFromArray(stored[0] if flat else stored, isVector=array.shape[0] > 1)
    geometry, axes = like.geometry, np.reshape(like.geometry.direction, (3, 3))
    count = 2 if flat else 3
    image.SetSpacing(geometry.spacing_mm[::-1][:count])
    image.SetOrigin(geometry.origin_mm[:count])
    image.SetDirection(axes[:count, :count].ravel())
    with atomic_path(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True, compressionLevel=1)
        except RuntimeError as error:
            raise _unwritten(path, temporary, error) from error


def _open(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(READERS[path.suffix.lower()])
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    if reader.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise complex_values(path)
    return reader


def _shape(path: Path, reader: sitk.ImageFileReader) -> tuple[int, int, int, int]:
    channels, z, y, x = channels_and_grid(path, reader.GetSize())
    components = reader.GetNumberOfComponents()
    if components > 1 and channels > 1:
        raise AutosegError(
            f"{path} holds {channels} volumes of {components} components, but one of the two was expected. Save one "
            "file for each volume."
        )
    return channels * components, z, y, x


def _geometry(path: Path, reader: sitk.ImageFileReader) -> Geometry:
    dimensions = reader.GetDimension()
    sizes, origin = reader.GetSpacing(), reader.GetOrigin()
    axes = np.reshape(reader.GetDirection(), (dimensions, dimensions))
    if dimensions == 2:
        direction = np.eye(3)
        direction[:2, :2] = axes
        return checked_geometry(path, flat_spacing_mm((sizes[1], sizes[0])), (*origin, 0.0), tuple(direction.ravel()), False)
    has_direction = path.suffix.lower() not in NRRD or reader.HasMetaDataKey("NRRD_space")
    return checked_geometry(path, tuple(sizes[2::-1]), tuple(origin[:3]), tuple(axes[:3, :3].ravel()), has_direction)


def _unreadable(path: Path, error: RuntimeError) -> AutosegError:
    message = str(error)
    meta = path.suffix.lower() in (".mha", ".mhd")  # SimpleITK gives a wrong reason for these
    reason = "MetaImage" if meta else message.strip().splitlines()[-1].strip()
    if any(sign in message for sign in SIGNS_OF_TRUNCATION):
        return truncated(path, reason)
    if path.suffix.lower() in (".mhd", ".nhdr"):
        return AutosegError(
            f"{path} cannot be read: either it is no image header, or the file of voxels that it names is missing or "
            f"shorter than announced ({reason}). {GET_IT_AGAIN}"
        )
    return damaged(path, f"it is truncated, or not what its ending says ({reason})")


def _unwritten(path: Path, temporary: Path, error: RuntimeError) -> AutosegError:
    """Return the error of a failed write. SimpleITK gives no reason, so a little more is written, to get the disk's reason."""
    try:
        with open(temporary, "ab") as file:
            file.write(bytes(1 << 20))
    except OSError as reason:
        return disk_error(reason, path)
    return AutosegError(f"{path} could not be written: {str(error).strip().splitlines()[-1]}.")
