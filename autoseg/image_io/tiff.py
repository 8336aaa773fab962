"""TIFF: slices and volumes. Voxel sizes stand in a sidecar as in nnU-Net: {case}.json, {"spacing": [z, y, x]} in mm."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from autoseg.errors import AutosegError
from autoseg.files import atomic_path, write_json
from autoseg.image import Geometry, Image
from autoseg.image_io.checks import checked_geometry, flat_spacing_mm
from autoseg.image_io.foreign import ask
from autoseg.image_io.opening import check_announced, file_bytes
from autoseg.image_io.voxels import fill, native
from autoseg.workspace import read_json

CHANNEL_AXES = "SC"


@dataclass(frozen=True)
class TiffHeader:
    """A file's header. has_sidecar: whether voxel sizes came from a file beside the image, so that a prediction gets one too.

    dimensions: 2 for one page, 3 for pages that form a volume, even a single page.
    """

    has_sidecar: bool
    dimensions: int


@dataclass(frozen=True)
class _Layout:
    axes: str
    """A letter for each axis of the stored pixels."""
    depth_axis: str
    """The axis that is read as z, or none."""
    channel_axis: str
    """The axis that is read as channels, or none."""
    shape: tuple[int, int, int, int]
    """(C, Z, Y, X) without transparency."""
    geometry: Geometry
    header: TiffHeader


def read(path: Path, file: BinaryIO) -> Image:
    """Read an array (C, Z, Y, X), the file's dtype; colours and tifffile's axis C give channels, pages give slices."""
    form, stored = ask("decode_tiff", "pixels", path)
    layout = _layout(path, form)
    if stored is None:
        stored = _in_one_piece(path, file, form)
    order = [layout.channel_axis, layout.depth_axis, "Y", "X"]
    kept = [axis for axis in order if axis]
    stored = stored.reshape([size for size, axis in zip(stored.shape, layout.axes, strict=True) if axis in kept])
    remaining = [axis for axis in layout.axes if axis in kept]
    array = stored.transpose([remaining.index(axis) for axis in kept])
    array = array[: layout.shape[0]] if layout.channel_axis else array
    dtype = np.dtype(np.uint8) if array.dtype == bool else array.dtype.newbyteorder("=")
    array = np.ascontiguousarray(array, dtype).reshape(layout.shape)
    return Image(array, layout.geometry, layout.header)


def read_geometry(path: Path, file: BinaryIO) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return (C, Z, Y, X), geometry and bytes per voxel and channel of what `read` gives; only the header is read."""
    form, _ = ask("decode_tiff", "form", path)
    layout = _layout(path, form)
    return layout.shape, layout.geometry, np.dtype(form["dtype"]).itemsize


def write(path: Path, array: np.ndarray, like: Image) -> None:
    """Write `array` (C, Z, Y, X): one page per slice; with a sidecar, written first, where the input had one."""
    import tifffile

    header = like.header if isinstance(like.header, TiffHeader) else TiffHeader(False, 2)
    sizes = dict(zip("CZYX", array.shape, strict=True))
    needless = {"C"} if sizes["C"] == 1 else set()
    if sizes["Z"] == 1 and header.dimensions == 2:
        needless.add("Z")
    axes = "".join(axis for axis in "CZYX" if axis not in needless)
    stored = array.reshape([sizes[axis] for axis in axes])
    if header.has_sidecar:
        write_json(path.with_suffix(".json"), {"spacing": list(like.geometry.spacing_mm)})
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, stored, photometric="minisblack", compression="zlib", metadata={"axes": axes})


def _in_one_piece(path: Path, file: BinaryIO, form: dict[str, Any]) -> np.ndarray:
    """Read pixels that are not packed and lie in the file one after another."""
    dtype = np.dtype(form["dtype"])
    size = int(np.prod(form["sizes"], dtype=object)) * dtype.itemsize
    check_announced(path, size, file_bytes(file))
    file.seek(form["first_byte"])
    array = np.empty(form["sizes"], dtype)
    fill(path, file, array)
    return native(array)


def _layout(path: Path, form: dict[str, Any]) -> _Layout:
    number, axes, dtype = form["number"], form["axes"], form["dtype"]
    sizes = dict(zip(axes, form["sizes"], strict=True))
    if number > 1 or "X" not in sizes or "Y" not in sizes:
        raise AutosegError(f"{path} holds {number} images (axes {axes}), but one was expected. Save one file for each.")
    if np.dtype(dtype).kind not in "biuf":
        raise AutosegError(f"{path} holds pixels of type {dtype}, but numbers were expected. Convert it.")
    spacing_mm, written = _sidecar_spacing_mm(path)
    has_sidecar = bool(written)
    if axes == "SYX" and has_sidecar:  # tifffile's writer takes three slices for three colours
        axes, sizes = "ZYX", {"Z": sizes["S"], "Y": sizes["Y"], "X": sizes["X"]}
    depth = _longest(path, axes, [a for a in axes if a not in CHANNEL_AXES + "YX"], sizes)
    channel = _longest(path, axes, [a for a in axes if a in CHANNEL_AXES], sizes)
    channels = sizes.get(channel, 1)
    if channel == "S" and form["transparent"]:
        channels -= form["transparent"]
    slices = sizes.get(depth, 1)
    if slices > 1 and len(written) == 2:
        raise AutosegError(f"{path} has {slices} slices, but its voxel sizes {written} (in the .json beside it) are two numbers. "
                           "Write three: [z, y, x] in mm.")
    shape = (max(channels, 1), slices, sizes["Y"], sizes["X"])
    header = TiffHeader(has_sidecar, 3 if set(axes) - set(CHANNEL_AXES + "YX") else 2)
    return _Layout(axes, depth, channel, shape, Geometry(spacing_mm, has_direction=False), header)


def _longest(path: Path, axes: str, among: list[str], sizes: dict[str, int]) -> str:
    """Return the one axis of these that is longer than 1, or no axis."""
    long = [axis for axis in among if sizes[axis] > 1]
    if len(long) > 1:
        raise AutosegError(
            f"{path} has axes {axes} of sizes {tuple(sizes.values())}, but beside y and x only one axis of slices and "
            "one of channels can be read. Save one file for each time point or position."
        )
    return long[0] if long else ""


def _sidecar_spacing_mm(path: Path) -> tuple[tuple[float, float, float], list[float]]:
    """Return voxel sizes (z, y, x), and the numbers of the sidecar that gave them, if any: {case}.json beside {case}.tif or
    {case}_0000.tif."""
    stem = path.stem
    for name in dict.fromkeys((stem, re.sub(r"_\d{4}$", "", stem))):
        sidecar = path.with_name(f"{name}.json")
        content = read_json(sidecar) if sidecar.is_file() else None
        if isinstance(content, dict) and "spacing" in content:
            return _checked_spacing_mm(sidecar, content["spacing"]), content["spacing"]
    return (1.0, 1.0, 1.0), []


def _checked_spacing_mm(sidecar: Path, spacing: object) -> tuple[float, float, float]:
    numbers = [v for v in spacing if isinstance(v, int | float)] if isinstance(spacing, list) else []
    if len(numbers) not in (2, 3) or len(numbers) != len(spacing):  # type: ignore[arg-type]
        raise AutosegError(f"{sidecar} has spacing {spacing!r}, but needs three numbers (z, y, x) in mm. Correct it.")
    spacing_mm = tuple(numbers) if len(numbers) == 3 else flat_spacing_mm((numbers[0], numbers[1]))
    return checked_geometry(sidecar, spacing_mm, (0.0, 0.0, 0.0), Geometry((1.0, 1.0, 1.0)).direction).spacing_mm
