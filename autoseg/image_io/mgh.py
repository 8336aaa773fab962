"""FreeSurfer's MGH and MGZ: read only; predictions for them are written as NIfTI."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from autoseg.image import Geometry, Image
from autoseg.image_io.checks import channels_and_grid, checked_geometry, damaged, not_an_image, truncated
from autoseg.image_io.nifti import RAS_TO_LPS


def read(path: Path) -> Image:
    """Read an array (C, Z, Y, X), the file's dtype in native byte order; frames become channels."""
    image = _open(path)
    try:
        stored = np.asanyarray(image.dataobj)
    except (EOFError, OSError, ValueError) as error:
        raise truncated(path, f"its voxels cannot be read to their end ({error})") from error
    except zlib.error as error:
        raise damaged(path, f"its compressed data cannot be unpacked ({error})") from error
    shape = channels_and_grid(path, stored.shape)
    array = stored.T.reshape(shape)
    return Image(np.ascontiguousarray(array, array.dtype.newbyteorder("=")), _geometry(path, image))


def read_geometry(path: Path) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return (C, Z, Y, X), geometry and bytes per voxel and channel of what `read` gives; only the header is read."""
    image = _open(path)
    return channels_and_grid(path, image.shape), _geometry(path, image), image.get_data_dtype().itemsize


def _open(path: Path) -> Any:
    try:
        return nib.MGHImage.from_filename(path)
    except (ImageFileError, HeaderDataError, EOFError, OSError, ValueError, TypeError, KeyError, zlib.error) as error:
        with open(path, "rb") as file:
            raise not_an_image(path, "a FreeSurfer image", file.read(12)) from error


def _geometry(path: Path, image: Any) -> Geometry:
    affine = RAS_TO_LPS @ image.affine
    zooms = [float(v) for v in image.header.get_zooms()[:3]]
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / np.where(lengths > 0, lengths, 1.0)
    return checked_geometry(path, tuple(zooms[::-1]), tuple(affine[:3, 3]), tuple(direction.ravel()))
