"""FreeSurfer's MGH and MGZ: read only; predictions for them are written as NIfTI."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.spatialimages import HeaderDataError

from autoseg.image import Geometry, Image
from autoseg.image_io.checks import channels_and_grid, checked_geometry, damaged, not_an_image, truncated
from autoseg.image_io.nifti import RAS_TO_LPS
from autoseg.image_io.voxels import (
    LARGEST_PADDING,
    fill,
    finish,
    native,
    new_array,
    ratio_of,
    rest,
    skip,
    unpacked,
    unpacking,
)

HEADER_BYTES, FIRST_VOXEL = 90, 284
SETTINGS_BYTES = 20  # repetition time, flip angle, echo and inversion time, field of view
LARGEST_FOOTER = 1 << 24
LAST_TAG = 64
LENGTH_BYTES = {1: 0, 2: 4, 20: 0, 30: 4}  # of the lengths of these tags; others have 8
TYPES = (0, 1, 3, 4, 10)


def read(path: Path, file: BinaryIO) -> Image:
    """Read an array (C, Z, Y, X), the file's dtype in native byte order; frames become channels."""
    header = _header(path, file)
    shape, geometry = channels_and_grid(path, _shape(header)), _geometry(path, header)
    source = unpacked(file)
    array = new_array(path, file, ratio_of(source), shape, header.get_data_dtype())
    with unpacking(path):
        skip(path, source, FIRST_VOXEL)
        fill(path, source, array)
        _check_footer(path, rest(source, LARGEST_FOOTER + 1), array)
        finish(path, source, array)
    return Image(native(array), geometry)


def read_geometry(path: Path, file: BinaryIO) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return (C, Z, Y, X), geometry and bytes per voxel and channel of what `read` gives; only the header is read."""
    header = _header(path, file)
    return channels_and_grid(path, _shape(header)), _geometry(path, header), header.get_data_dtype().itemsize


def _header(path: Path, file: BinaryIO) -> MGHHeader:
    with unpacking(path):
        start = rest(unpacked(file), FIRST_VOXEL)
    if int.from_bytes(start[:4], "big") != 1:
        raise not_an_image(path, "a FreeSurfer image", start)
    if len(start) < FIRST_VOXEL:
        raise truncated(path, f"a header of {FIRST_VOXEL} bytes was expected, and {len(start)} are there")
    kind = int.from_bytes(start[20:24], "big")
    if kind not in TYPES:
        raise damaged(path, f"its header announces voxels of type {kind}, but one of {TYPES} was expected")
    try:
        return MGHHeader(start[:HEADER_BYTES])
    except (HeaderDataError, ValueError, KeyError) as error:
        raise damaged(path, f"its header cannot be understood ({error})") from error


def _shape(header: MGHHeader) -> tuple[int, ...]:
    return tuple(int(size) for size in header["dims"])


def _check_footer(path: Path, footer: bytes, array: np.ndarray) -> None:
    """Raise AutosegError where what follows the voxels is no settings and tags, and so may be voxels, too."""
    more = damaged(path, f"it holds more than the {array.nbytes} bytes of voxels that its header announces")
    place = SETTINGS_BYTES
    while place < len(footer):
        tag = int.from_bytes(footer[place : place + 4], "big")
        if not 0 < tag <= LAST_TAG:
            break
        size = LENGTH_BYTES.get(tag, 8)
        length = int.from_bytes(footer[place + 4 : place + 4 + size], "big") if tag != 2 else 0
        place += 4 + size + length
        if place > len(footer):
            raise more
    padding = footer[place:]
    if padding.strip(b"\0") or len(padding) > LARGEST_PADDING or len(footer) > LARGEST_FOOTER:
        raise more


@np.errstate(all="ignore")  # numbers that are none are found by `checked_geometry`
def _geometry(path: Path, header: MGHHeader) -> Geometry:
    affine = RAS_TO_LPS @ header.get_affine()
    zooms = [float(v) for v in header.get_zooms()[:3]]
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / np.where(lengths > 0, lengths, 1.0)
    return checked_geometry(path, tuple(zooms[::-1]), tuple(affine[:3, 3]), tuple(direction.ravel()))
