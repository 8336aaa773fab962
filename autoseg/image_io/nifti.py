"""NIfTI-1 and NIfTI-2, in one file or as .hdr and .img.

Headers are taken apart by nibabel, whatever their orientation, and the voxels are unpacked straight into the array.
SimpleITK is as fast but holds a volume twice, and where an sform is sheared it puts the qform in its place.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
from nibabel.quaternions import quat2mat
from nibabel.spatialimages import HeaderDataError

from autoseg.errors import AutosegError
from autoseg.files import atomic_path
from autoseg.image import Geometry, Image
from autoseg.image_io.checks import (
    channels_and_grid,
    checked_geometry,
    complex_values,
    damaged,
    flat_spacing_mm,
    not_an_image,
    truncated,
)
from autoseg.image_io.opening import open_regular
from autoseg.image_io.voxels import fill, finish, native, new_array, ratio_of, rest, skip, unpacked, unpacking

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}  # the low three bits of xyzt_units: metre, mm, micrometre
HEADER_BYTES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
SPACING_TOLERANCE = 1e-5  # relative: below it, pixdim's digits are taken for the affine's column lengths
NO_SCALING = (1.0, 0.0)
SFORM_ROWS, QFORM_OFFSETS = ("srow_x", "srow_y", "srow_z"), ("qoffset_x", "qoffset_y", "qoffset_z")
LONGER_BY_ROUNDING, SHORTEST_REST = 1e-4, 1e-7  # of 1 - (b² + c² + d²) of a quaternion; below the second, it counts as 0
LARGEST_OFFSET = 1 << 26  # bytes before the voxels: header and extensions
ALIGNED = 2  # code of a position that another image gives


@dataclass(frozen=True)
class NiftiHeader:
    """A file's own header, which a prediction needs to lie on exactly the same grid.

    block: 348 or 540 bytes, little-endian. dimensions: 2 for an image with axes (x, y) only, else 3 or more.
    """

    block: bytes
    dimensions: int

    def parsed(self) -> nib.Nifti1Header:
        """Return a copy that may be changed."""
        return HEADER_BYTES[len(self.block)](self.block, endianness="<", check=False)

    def from_voxel(self, xyz: tuple[int, int, int]) -> NiftiHeader:
        """Return the header of the part of the grid that begins at this voxel: every voxel keeps its place by sform and qform.

        Where neither has a code, both get the place that was read (see `_geometry`). Slice times are removed.
        """
        header, voxel = self.parsed(), [*xyz, 1.0]
        sizes = _voxel_sizes(header, self.dimensions)
        if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0:
            header.set_sform(_without_codes(sizes), code=ALIGNED)
            header.set_qform(_without_codes(sizes), code=ALIGNED)
        if int(header["sform_code"]) > 0:
            for name, offset in zip(SFORM_ROWS, (header.get_sform() @ voxel)[:3], strict=True):
                header[name][3] = offset
        if int(header["qform_code"]) > 0:
            with contextlib.suppress(ValueError):  # beside an sform, a qform that is no rotation is not used
                for name, offset in zip(QFORM_OFFSETS, (_qform(header, sizes) @ voxel)[:3], strict=True):
                    header[name] = offset
        for name in ("slice_code", "slice_start", "slice_end"):
            header[name] = 0
        return NiftiHeader(header.binaryblock, self.dimensions)


@dataclass(frozen=True)
class _Layout:
    """The file that holds the voxels, their place in it, and what they mean."""

    header: NiftiHeader
    data_path: Path
    offset_bytes: int
    dtype: np.dtype
    samples: int
    """Values per voxel: 3 or 4 where it holds a colour, else 1."""
    shape: tuple[int, int, int, int]
    """(C, Z, Y, X) as stored, colours not counted."""
    scaling: tuple[float, float]
    """Slope and intercept; (1, 0) where the file has none."""
    geometry: Geometry


def read(path: Path, file: BinaryIO) -> Image:
    """Read an array (C, Z, Y, X): the file's dtype, or float32 after a slope; the fourth axis or a voxel's colour gives C."""
    layout = _read_layout(path, file)
    if layout.data_path == path:
        stored = _read_voxels(layout, file)
    else:
        with open_regular(layout.data_path) as beside:
            stored = _read_voxels(layout, beside)
    if layout.samples > 1:
        return Image(np.ascontiguousarray(np.moveaxis(stored[0, ..., :3], -1, 0)), layout.geometry, layout.header)
    array = stored[..., 0]
    if layout.scaling != NO_SCALING:
        slope, intercept = layout.scaling
        try:
            with np.errstate(over="raise"):
                array = array.astype(np.float32)
                array *= np.float32(slope)
                array += np.float32(intercept)
        except FloatingPointError as error:
            raise damaged(
                path, f"its slope {slope:g} and intercept {intercept:g} give values that no 32-bit number holds") from error
    elif array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return Image(array, layout.geometry, layout.header)


def read_geometry(path: Path, file: BinaryIO) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return (C, Z, Y, X), geometry and bytes per voxel and channel of what `read` gives; only the header is unpacked."""
    layout = _read_layout(path, file)
    channels, z, y, x = layout.shape
    itemsize = 4 if layout.scaling != NO_SCALING else min(layout.dtype.itemsize, 8)
    return (min(layout.samples, 3) * channels, z, y, x), layout.geometry, itemsize


def write(path: Path, array: np.ndarray, like: Image) -> None:
    """Write `array` (C, Z, Y, X) on the grid of `like`, whose header it takes over where that came from a NIfTI file.

    qform, sform, their codes, the units and 2D or 3D are as they were. Slope, intent and display range are reset.
    """
    channels, z, y, x = array.shape
    header = like.header.parsed() if isinstance(like.header, NiftiHeader) else _new_header(like.geometry)
    dimensions = like.header.dimensions if isinstance(like.header, NiftiHeader) else 3
    shape = (x, y) if dimensions == 2 and channels == 1 else (x, y, z) if channels == 1 else (x, y, z, channels)
    try:
        header.set_data_shape(shape)
    except HeaderDataError as error:
        raise AutosegError(f"{path}: a grid of {shape} (x, y, z) is too long for NIfTI. Write .nrrd.") from error
    header.set_data_dtype(array.dtype)
    _reset_meaning(header, channels)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed:
                _write_all(packed, header, array)
        else:
            _write_all(file, header, array)


def _write_all(file: gzip.GzipFile | io.BufferedWriter, header: nib.Nifti1Header, array: np.ndarray) -> None:
    file.write(header.binaryblock + bytes(4))  # no extensions
    little_endian = array.dtype.newbyteorder("<")
    for volume in array:
        for plane in volume:
            file.write(np.ascontiguousarray(plane, little_endian).data)


def _reset_meaning(header: nib.Nifti1Header, channels: int) -> None:
    """Forget what the header says about the input's values; keep all that it says about the grid."""
    header["magic"] = type(header)()["magic"]
    header["vox_offset"] = len(header.binaryblock) + 4
    header.set_slope_inter(*NO_SCALING)
    header.set_intent("none")
    if channels > 1:
        header["pixdim"][4] = 1
    for name in ("cal_max", "cal_min", "toffset", "slice_duration"):
        header[name] = 0
    header["aux_file"] = b""
    header["descrip"] = b"autoseg"


def _new_header(geometry: Geometry) -> nib.Nifti1Header:
    """Return a header for an image that came from another format: position in scanner space (code 1), mm."""
    header = nib.Nifti1Header()
    header.set_data_shape((1, 1, 1))
    header.set_xyzt_units("mm")
    affine_ras = RAS_TO_LPS @ geometry.affine()
    header.set_zooms(geometry.spacing_mm[::-1])
    header.set_sform(affine_ras, code=1)
    axes = np.reshape(geometry.direction, (3, 3))
    if np.allclose(axes.T @ axes, np.eye(3), atol=1e-4):
        header.set_qform(affine_ras, code=1)
    return header


def _read_layout(path: Path, file: BinaryIO) -> _Layout:
    parsed, magic = _read_header(path, file)
    raw = parsed.get_data_shape()
    shape = channels_and_grid(path, tuple(int(v) for v in raw))
    dtype, samples = _voxel_type(path, parsed)
    if (bits := int(parsed["bitpix"])) != dtype.itemsize * 8 * samples:
        raise damaged(path, f"its header announces voxels of {dtype.itemsize * 8 * samples} bits (datatype "
                            f"{int(parsed['datatype'])}, {dtype}), and of {bits} bits (bitpix)")
    if samples > 1 and shape[0] > 1:
        raise AutosegError(f"{path} holds {shape[0]} colour volumes, but one was expected. Save one file for each.")
    in_one_file = magic.startswith(b"n+")
    offset = float(parsed["vox_offset"])
    smallest_offset = len(parsed.binaryblock) + 4 if in_one_file else 0
    offset_bytes = int(offset) if np.isfinite(offset) and offset > smallest_offset else smallest_offset
    if not np.isfinite(offset) or offset_bytes > LARGEST_OFFSET:
        raise damaged(path, f"its header says that voxels begin after {offset:.6g} bytes (vox_offset)")
    header = NiftiHeader(parsed.as_byteswapped("<").binaryblock, 2 if len(raw) == 2 else 3)
    return _Layout(
        header=header, data_path=path if in_one_file else _image_of_pair(path), offset_bytes=offset_bytes, dtype=dtype,
        samples=samples, shape=shape, scaling=_scaling(parsed, samples), geometry=_geometry(path, parsed, len(raw)),
    )


def _read_header(path: Path, file: BinaryIO) -> tuple[nib.Nifti1Header, bytes]:
    """Return the header as it stands in the file, nothing repaired, and its magic string."""
    with unpacking(path):
        start = rest(unpacked(file), 540)
    if len(start) < 348:
        raise truncated(path, f"a header of 348 bytes was expected, and {len(start)} are there")
    sizes = {int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")}
    size = next((s for s in HEADER_BYTES if s in sizes), 0)
    if not size or len(start) < size:
        raise not_an_image(path, "a NIfTI image", start)
    magic = start[344:348] if size == 348 else start[4:8]
    if magic[:3] not in (b"n+1", b"ni1", b"n+2", b"ni2"):
        raise AutosegError(
            f"{path} is an Analyze 7.5 image, which does not say where left and right are. Convert it to NIfTI with a "
            "tool that knows how it was made, check its orientation, and use that."
        )
    try:
        parsed = HEADER_BYTES[size](start[:size], check=False)
        parsed.get_data_dtype()
    except (HeaderDataError, ValueError, KeyError) as error:
        raise damaged(path, f"its header cannot be understood ({error})") from error
    if not 1 <= (dimensions := int(parsed["dim"][0])) <= 7:
        raise damaged(path, f"its header announces {dimensions} dimensions (dim[0])")
    return parsed, magic


def _read_voxels(layout: _Layout, file: BinaryIO) -> np.ndarray:
    """Return the voxels (C, Z, Y, X, samples) as they stand in the file, in this machine's byte order."""
    path, source = layout.data_path, unpacked(file)
    stored = new_array(path, file, ratio_of(source), (*layout.shape, layout.samples), layout.dtype)
    with unpacking(path):
        skip(path, source, layout.offset_bytes)
        fill(path, source, stored)
        finish(path, source, stored)
    return native(stored)


def _voxel_type(path: Path, parsed: nib.Nifti1Header) -> tuple[np.dtype, int]:
    """Return the dtype of one value in the file, and the values per voxel."""
    dtype = parsed.get_data_dtype()
    if dtype.kind == "c":
        raise complex_values(path)
    if dtype.names:
        return np.dtype(np.uint8), len(dtype.names)
    if dtype.kind not in "iuf":
        raise AutosegError(f"{path} holds voxels of type {dtype}, but numbers were expected. Convert it, say to int16.")
    return dtype, 1


def _scaling(parsed: nib.Nifti1Header, samples: int) -> tuple[float, float]:
    slope, intercept = float(parsed["scl_slope"]), float(parsed["scl_inter"])
    if samples > 1 or not np.isfinite(slope) or slope == 0:
        return NO_SCALING
    return slope, intercept if np.isfinite(intercept) else 0.0


def _image_of_pair(path: Path) -> Path:
    for ending in (".img", ".img.gz", ".IMG"):
        if (found := path.with_suffix(ending)).is_file():
            return found
    raise AutosegError(
        f"{path} is the header of an image whose voxels should lie beside it in {path.stem}.img, which is missing. "
        "Copy that file there, too, or leave the case out."
    )


@np.errstate(all="ignore")  # numbers that are none are found by `checked_geometry`
def _geometry(path: Path, parsed: nib.Nifti1Header, dimensions: int) -> Geometry:
    """Return the sform's geometry if its code is set, else the qform's, else voxel sizes (as ITK: origin 0, axes of LPS)."""
    pixdim = _voxel_sizes(parsed, dimensions)
    if int(parsed["sform_code"]) > 0:
        affine = np.asarray(parsed.get_sform(), float)
    elif int(parsed["qform_code"]) > 0:
        affine = _usable_qform(path, parsed, pixdim)
    else:
        affine = _without_codes(pixdim)
    affine = RAS_TO_LPS @ affine
    affine[:3] *= (unit := MM_PER_UNIT.get(int(parsed["xyzt_units"]) & 7, 1.0))
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / np.where(lengths > 0, lengths, 1.0)
    close = np.abs(lengths - pixdim * unit) <= SPACING_TOLERANCE * lengths
    x, y, z = np.where(close, pixdim * unit, lengths)
    spacing_mm = flat_spacing_mm((y, x)) if dimensions == 2 else (z, y, x)
    has_direction = max(int(parsed["sform_code"]), int(parsed["qform_code"])) > 0
    return checked_geometry(path, spacing_mm, tuple(affine[:3, 3]), tuple(direction.ravel()), has_direction)


def _voxel_sizes(parsed: nib.Nifti1Header, dimensions: int) -> np.ndarray:
    """Return the voxel sizes (x, y, z) in the header's unit."""
    sizes = np.abs(np.asarray(parsed["pixdim"][1:4], float))
    if dimensions == 2 and not sizes[2] > 0:
        sizes[2] = 1.0
    return sizes


def _without_codes(sizes: np.ndarray) -> np.ndarray:
    """Return the affine from voxel to RAS where no code says what the header's affines mean."""
    affine: np.ndarray = RAS_TO_LPS @ np.diag([*sizes, 1.0])
    return affine


def _qform(parsed: nib.Nifti1Header, sizes: np.ndarray) -> np.ndarray:
    """Return the qform's affine from voxel to RAS, by the rules of the standard's reference code (nifti1_io).

    The z axis is turned round where pixdim[0] is negative, and 0 counts as 1. A quaternion that is too long by rounding is one
    of length 1. Raises ValueError where it is longer than that.
    """
    b, c, d = (float(parsed[f"quatern_{name}"]) for name in "bcd")
    left = 1 - (b * b + c * c + d * d)
    if not left >= -LONGER_BY_ROUNDING:  # written this way, NaN fails, too
        raise ValueError(f"its quaternion ({b:.6g}, {c:.6g}, {d:.6g}) is longer than 1, or no number")
    rotation = quat2mat((math.sqrt(left) if left >= SHORTEST_REST else 0.0, b, c, d))
    affine = np.eye(4)
    affine[:3, :3] = rotation * (*sizes[:2], -sizes[2] if parsed["pixdim"][0] < 0 else sizes[2])
    affine[:3, 3] = [float(parsed[name]) for name in QFORM_OFFSETS]
    return affine


def _usable_qform(path: Path, parsed: nib.Nifti1Header, sizes: np.ndarray) -> np.ndarray:
    try:
        return _qform(parsed, sizes)
    except ValueError as error:
        raise AutosegError(
            f"{path}: the qform in its header is no rotation ({error}). Correct the header (or convert the image again "
            "from its source), or leave the case out."
        ) from error
