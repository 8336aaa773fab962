"""TIFF: slices and volumes. Voxel sizes stand in a sidecar as in nnU-Net: {case}.json, {"spacing": [z, y, x]} in mm."""

from __future__ import annotations

import logging
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import tifffile

from autoseg.errors import AutosegError
from autoseg.files import atomic_path, write_json
from autoseg.image import Geometry, Image
from autoseg.image_io.checks import checked_geometry, damaged, flat_spacing_mm, not_an_image, truncated
from autoseg.workspace import read_json

CHANNEL_AXES = "SC"
ERRORS_OF_TIFFFILE = (
    ValueError, OSError, RuntimeError, LookupError, ArithmeticError, TypeError, ImportError, AssertionError,
    struct.error, zlib.error,
)
SIGNS_OF_LOST_PAGES = ("invalid page offset", "failed to reshape", "invalid offset to")


@dataclass(frozen=True)
class TiffHeader:
    """A file's header. has_sidecar: whether voxel sizes came from a file beside the image, so that a prediction gets one too.

    dimensions: 2 for one page, 3 for pages that form a volume, even a single page.
    """

    has_sidecar: bool
    dimensions: int


@dataclass(frozen=True)
class _Layout:
    series: tifffile.TiffPageSeries
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


def read(path: Path) -> Image:
    """Read an array (C, Z, Y, X), the file's dtype; colours and tifffile's axis C give channels, pages give slices."""
    with _open(path) as tiff:
        layout = _layout(path, tiff)
        axes, stored = layout.axes, _pixels(path, layout.series)
        order = [layout.channel_axis, layout.depth_axis, "Y", "X"]
        kept = [axis for axis in order if axis]
        stored = stored.reshape([size for size, axis in zip(stored.shape, axes, strict=True) if axis in kept])
        remaining = [axis for axis in axes if axis in kept]
        array = stored.transpose([remaining.index(axis) for axis in kept])
        array = array[: layout.shape[0]] if layout.channel_axis else array
        dtype = np.dtype(np.uint8) if array.dtype == bool else array.dtype.newbyteorder("=")
        array = np.ascontiguousarray(array, dtype).reshape(layout.shape)
        return Image(array, layout.geometry, layout.header)


def read_geometry(path: Path) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return (C, Z, Y, X), geometry and bytes per voxel and channel of what `read` gives; only the header is read."""
    with _open(path) as tiff:
        layout = _layout(path, tiff)
        return layout.shape, layout.geometry, layout.series.dtype.itemsize


def write(path: Path, array: np.ndarray, like: Image) -> None:
    """Write `array` (C, Z, Y, X): one page per slice; with a sidecar, written first, where the input had one."""
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


def _open(path: Path) -> tifffile.TiffFile:
    with open(path, "rb") as file:
        start = file.read(12)
    if start[:2] not in (b"II", b"MM"):
        raise not_an_image(path, "a TIFF image", start)
    try:
        with _Complaints():
            return tifffile.TiffFile(path)
    except ERRORS_OF_TIFFFILE as error:
        raise damaged(path, f"it is truncated, or no TIFF image ({error})") from error


def _series(path: Path, tiff: tifffile.TiffFile) -> list[tifffile.TiffPageSeries]:
    """Return the images in the file. Raises AutosegError where pages are missing; tifffile would return the others."""
    try:
        with _Complaints() as complaints:
            series = list(tiff.series)
    except ERRORS_OF_TIFFFILE as error:
        raise damaged(path, f"it is truncated, or no TIFF image ({error})") from error
    lost = [line for line in complaints.lines if any(sign in line for sign in SIGNS_OF_LOST_PAGES)]
    if lost or not series:
        raise truncated(path, f"pages are missing ({lost[0] if lost else 'there are none'})")
    return series


class _Complaints(logging.Handler):
    """A handler that collects what tifffile logs about a file, and keeps it from the user's screen."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def __enter__(self) -> _Complaints:
        logger = logging.getLogger("tifffile")
        self._propagated, logger.propagate = logger.propagate, False
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("tifffile")
        logger.removeHandler(self)
        logger.propagate = self._propagated

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _layout(path: Path, tiff: tifffile.TiffFile) -> _Layout:
    all_series = _series(path, tiff)
    number, series = len(all_series), all_series[0]
    axes, sizes = series.axes, dict(zip(series.axes, series.shape, strict=True))
    if number > 1 or "X" not in sizes or "Y" not in sizes:
        raise AutosegError(f"{path} holds {number} images (axes {axes}), but one was expected. Save one file for each.")
    if series.dtype is None or series.dtype.kind not in "biuf":
        raise AutosegError(f"{path} holds pixels of type {series.dtype}, but numbers were expected. Convert it.")
    spacing_mm, written = _sidecar_spacing_mm(path)
    has_sidecar = bool(written)
    if axes == "SYX" and has_sidecar:  # tifffile's writer takes three slices for three colours
        axes, sizes = "ZYX", {"Z": sizes["S"], "Y": sizes["Y"], "X": sizes["X"]}
    depth = _longest(path, axes, [a for a in axes if a not in CHANNEL_AXES + "YX"], sizes)
    channel = _longest(path, axes, [a for a in axes if a in CHANNEL_AXES], sizes)
    channels = sizes.get(channel, 1)
    if channel == "S" and series.keyframe.extrasamples:
        channels -= len(series.keyframe.extrasamples)
    slices = sizes.get(depth, 1)
    if slices > 1 and len(written) == 2:
        raise AutosegError(f"{path} has {slices} slices, but its voxel sizes {written} (in the .json beside it) are two numbers. "
                           "Write three: [z, y, x] in mm.")
    shape = (max(channels, 1), slices, sizes["Y"], sizes["X"])
    header = TiffHeader(has_sidecar, 3 if set(axes) - set(CHANNEL_AXES + "YX") else 2)
    return _Layout(series, axes, depth, channel, shape, Geometry(spacing_mm, has_direction=False), header)


def _longest(path: Path, axes: str, among: list[str], sizes: dict[str, int]) -> str:
    """Return the one axis of these that is longer than 1, or no axis."""
    long = [axis for axis in among if sizes[axis] > 1]
    if len(long) > 1:
        raise AutosegError(
            f"{path} has axes {axes} of sizes {tuple(sizes.values())}, but beside y and x only one axis of slices and "
            "one of channels can be read. Save one file for each time point or position."
        )
    return long[0] if long else ""


def _pixels(path: Path, series: tifffile.TiffPageSeries) -> np.ndarray:
    try:
        return np.asarray(series.asarray())
    except ERRORS_OF_TIFFFILE as error:
        if "imagecodecs" in str(error):
            return _pixels_by_itk(path, series)
        raise truncated(path, f"its pixels cannot be read to their end ({error})") from error


def _pixels_by_itk(path: Path, series: tifffile.TiffPageSeries) -> np.ndarray:
    """Return the pixels of compressions that tifffile alone does not know, LZW above all."""
    try:
        stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="TIFFImageIO"))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise damaged(path, f"its compressed pixels cannot be unpacked ({reason})") from error
    if stored.size != np.prod(series.shape) or stored.dtype != series.dtype:
        raise AutosegError(f"{path} is compressed in a way that cannot be read. Save it without compression.")
    return stored.reshape(series.shape)


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
