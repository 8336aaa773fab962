"""TIFF by tifffile, in the process that reads files with other people's code; compressions that it does not know by ITK."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from autoseg.errors import AutosegError
from autoseg.image_io import tiff_pages
from autoseg.image_io.checks import damaged, truncated
from autoseg.image_io.foreign_process import Shared, allow, load, name_of, shared
from autoseg.image_io.inflate import LARGEST_RATIO
from autoseg.image_io.opening import check_announced, file_bytes, open_regular

ERRORS_OF_TIFFFILE = (
    ValueError, OSError, RuntimeError, LookupError, ArithmeticError, TypeError, ImportError, AssertionError,
    struct.error, zlib.error,
)
SIGNS_OF_LOST_PAGES = ("invalid page offset", "failed to reshape", "invalid offset to")
DEFLATE = (8, 32946)


def form(path: Path) -> tuple[dict[str, Any], None]:
    """Return number of images, axes (a letter each), sizes, dtype, transparent channels, and first_byte where pixels lie in one
    piece, not packed, else None."""
    with open_regular(path) as file, _opened(path, file) as tiff:
        return _form(path, tiff, file), None


def pixels(path: Path) -> tuple[dict[str, Any], Shared | None]:
    """Return the same, and the pixels, in the order of the axes, where they do not lie in one piece."""
    with open_regular(path) as file, _opened(path, file) as tiff:
        facts = _form(path, tiff, file)
        if facts["first_byte"] is not None or facts["number"] > 1:
            return facts, None
        return facts, _pixels(path, file, tiff.series[0])


def _form(path: Path, tiff: tifffile.TiffFile, file: BinaryIO) -> dict[str, Any]:
    series = _series(path, tiff)
    first = series[0]
    if first.dtype is None:
        raise AutosegError(f"{path} holds pixels of an unknown type, but numbers were expected. Convert it.")
    size = int(np.prod(first.shape, dtype=object)) * first.dtype.itemsize
    check_announced(path, size, file_bytes(file), 8 * LARGEST_RATIO, copies=3)
    allow(size)
    keyframe = first.keyframe
    in_one_piece = first.dataoffset is not None and not keyframe.is_subsampled and keyframe.bitspersample in (8, 16, 32, 64)
    dtype = np.dtype(first.dtype).newbyteorder(tiff.byteorder)
    return {
        "number": len(series), "axes": first.axes, "sizes": first.shape, "dtype": dtype.str,
        "transparent": len(keyframe.extrasamples or ()), "first_byte": first.dataoffset if in_one_piece else None,
    }


@contextmanager
def _opened(path: Path, file: BinaryIO) -> Iterator[tifffile.TiffFile]:
    """Give the file as tifffile sees it, after its pages were checked."""
    tiff_pages.check(path, file)
    file.seek(0)
    try:
        with _Complaints():
            tiff = tifffile.TiffFile(file, name="image.tif")
    except ERRORS_OF_TIFFFILE as error:
        raise damaged(path, f"it is truncated, or no TIFF image ({error})") from error
    with tiff:
        yield tiff


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


def _pixels(path: Path, file: BinaryIO, series: tifffile.TiffPageSeries) -> Shared:
    page = series.keyframe
    values, item = int(np.prod(page.chunks, dtype=object)), series.dtype.itemsize
    bits = 0 if page.bitspersample in (8, 16, 32, 64) else page.bitspersample
    _decoders.update(dict.fromkeys(DEFLATE, lambda data, out: _inflated(data, out, values, item, bits)))
    pixels = Shared(series.shape, series.dtype.newbyteorder("="))
    try:
        with _Complaints():
            series.asarray(out=pixels.array)
    except ERRORS_OF_TIFFFILE as error:
        if "imagecodecs" in str(error):
            return shared(_pixels_by_itk(path, file, series))
        raise truncated(path, f"its pixels cannot be read to their end ({error})") from error
    return pixels


def _inflated(data: bytes, out: int, values: int, item: int, bits: int) -> bytes:
    """Unpack a part of the image of `out` bytes, or of so many values of `item` bytes where the last part is filled up.

    bits: of integers that are packed, at least; each row of these is filled up to whole bytes. 0 where none are.
    """
    stream, most = zlib.decompressobj(), max(out, values * item)
    found = stream.decompress(data, most + 1)
    if len(found) == most and not stream.eof:
        found += stream.decompress(stream.unconsumed_tail, 1)
    fewest = [out, values * item] if not bits else [n * bits // 8 for n in (out // item, values)]
    fits = len(found) in fewest if not bits else any(n <= len(found) <= n + values for n in fewest)
    if not stream.eof or len(found) > most or not fits:
        raise ValueError(f"a part of it should hold {out} bytes, and holds {len(found)}")
    return found


class _Decoders(dict[int, Callable[..., Any]]):
    """tifffile's own, and those above in their place."""

    def __missing__(self, compression: int) -> Callable[..., Any]:
        return _of_tifffile[compression]


_of_tifffile = tifffile.TIFF.DECOMPRESSORS
_decoders = _Decoders()
tifffile.TIFF.DECOMPRESSORS = _decoders


def _pixels_by_itk(path: Path, file: BinaryIO, series: tifffile.TiffPageSeries) -> np.ndarray:
    """Return the pixels of compressions that tifffile alone does not know, LZW above all."""
    stored = load("decode_itk").pixels(path, name_of(file.fileno(), path), "TIFFImageIO")
    if stored.size != np.prod(series.shape, dtype=object) or stored.dtype != series.dtype:
        raise AutosegError(f"{path} is compressed in a way that cannot be read. Save it without compression.")
    return stored.reshape(series.shape)
