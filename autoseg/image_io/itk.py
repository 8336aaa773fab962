"""NRRD and MetaImage: headers are checked here, then explained by ITK; voxels are read here, and written by SimpleITK."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from autoseg.errors import AutosegError
from autoseg.files import atomic_path, disk_error
from autoseg.image import Geometry, Image
from autoseg.image_io import metaimage, nrrd
from autoseg.image_io.checks import channels_and_grid, checked_geometry, complex_values, flat_spacing_mm
from autoseg.image_io.foreign import ask
from autoseg.image_io.stored import Stored, read_stored

NRRD = (".nrrd", ".nhdr")


@dataclass(frozen=True)
class ItkHeader:
    """The header of a file. dimensions: 2 where the file's grid is (x, y), else 3. All else of the grid is in the geometry."""

    dimensions: int


def read(path: Path, file: BinaryIO) -> Image:
    """Read an array (C, Z, Y, X), the file's dtype; a fourth axis or a voxel's components give C."""
    stored, seen = _headers(path, file)
    shape, geometry = _shape(path, seen), _geometry(path, seen)
    array = read_stored(path, file, stored)
    if stored.components_axis is not None:
        array = np.moveaxis(array, array.ndim - 1 - stored.components_axis, 0)
    return Image(np.ascontiguousarray(array).reshape(shape), geometry, ItkHeader(2 if len(seen["size"]) == 2 else 3))


def read_geometry(path: Path, file: BinaryIO) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return (C, Z, Y, X), geometry and bytes per voxel and channel of what `read` gives; only the header is read."""
    stored, seen = _headers(path, file)
    return _shape(path, seen), _geometry(path, seen), stored.dtype.itemsize


def write(path: Path, array: np.ndarray, like: Image) -> None:
    """Write `array` (C, Z, Y, X) on the grid of `like`; several channels as components of each voxel."""
    if path.suffix.lower() in (".mhd", ".nhdr"):
        whole = ".mha" if path.suffix.lower() == ".mhd" else ".nrrd"
        raise AutosegError(f"{path} would be two files, of which one could be lost. Write {path.stem}{whole} instead.")
    import SimpleITK as sitk

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
            with _plain_name(temporary) as name:
                sitk.WriteImage(image, name, useCompression=True, compressionLevel=1)
        except RuntimeError as error:
            raise _unwritten(path, temporary, error) from error


def _headers(path: Path, file: BinaryIO) -> tuple[Stored, dict[str, Any]]:
    """Return the header as it was taken apart here, and what ITK makes of it. Raises AutosegError where the two differ."""
    is_nrrd = path.suffix.lower() in NRRD
    stored = (nrrd if is_nrrd else metaimage).parse(path, file)
    kind = "NrrdImageIO" if is_nrrd else "MetaImageIO"
    seen, _ = ask("decode_itk", "header", path, text=stored.geometry, kind=kind)
    if np.dtype(seen["dtype"]).kind == "c":
        raise complex_values(path)
    axis = stored.components_axis
    grid = [size for number, size in enumerate(stored.sizes) if number != axis]
    components = 1 if axis is None else stored.sizes[axis]
    same_form = grid == list(seen["size"]) and components == seen["components"]
    if not same_form or np.dtype(seen["dtype"]) != stored.dtype.newbyteorder("="):
        raise AutosegError(f"{path} holds voxels of a kind that is not read: sizes {stored.sizes}, {stored.dtype}. Convert it.")
    return stored, seen


def _shape(path: Path, seen: dict[str, Any]) -> tuple[int, int, int, int]:
    channels, z, y, x = channels_and_grid(path, tuple(seen["size"]))
    components = int(seen["components"])
    if components > 1 and channels > 1:
        raise AutosegError(
            f"{path} holds {channels} volumes of {components} components, but one of the two was expected. Save one "
            "file for each volume."
        )
    return channels * components, z, y, x


def _geometry(path: Path, seen: dict[str, Any]) -> Geometry:
    sizes, origin, dimensions = tuple(seen["spacing_mm"]), tuple(seen["origin_mm"]), len(seen["size"])
    axes = np.reshape(seen["direction"], (dimensions, dimensions))
    if dimensions == 2:
        direction = np.eye(3)
        direction[:2, :2] = axes
        return checked_geometry(path, flat_spacing_mm((sizes[1], sizes[0])), (*origin, 0.0), tuple(direction.ravel()), False)
    has_direction = path.suffix.lower() not in NRRD or seen["has_space"]
    return checked_geometry(path, sizes[2::-1], origin[:3], tuple(axes[:3, :3].ravel()), has_direction)


@contextlib.contextmanager
def _plain_name(path: Path) -> Iterator[str]:
    """Give a name for the file to be written that is UTF-8, as ITK ends the whole program at any other."""
    try:
        yield str(path).encode().decode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / f"image{path.suffix}"
            link.symlink_to(path.absolute())
            yield str(link)


def _unwritten(path: Path, temporary: Path, error: RuntimeError) -> AutosegError:
    """Return the error of a failed write. SimpleITK gives no reason, so a little more is written, to get the disk's reason."""
    try:
        with open(temporary, "ab") as file:
            file.write(bytes(1 << 20))
    except OSError as reason:
        return disk_error(reason, path)
    return AutosegError(f"{path} could not be written: {str(error).strip().splitlines()[-1]}.")
