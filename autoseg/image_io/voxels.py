"""Voxels as they stand in a file, packed or not, read straight into an array; what is left over is looked at, too."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autoseg.image_io.checks import damaged, truncated
from autoseg.image_io.inflate import GZIP_MAGIC, LARGEST_RATIO, GzipReader
from autoseg.image_io.opening import check_announced, file_bytes

Source = BinaryIO | GzipReader
LARGEST_PADDING = 511  # zero bytes after the voxels: some writers fill up the last block of 512


def unpacked(file: BinaryIO) -> Source:
    """Return the file from its first byte, unpacked if its content is packed, whatever its name says."""
    file.seek(0)
    packed = file.read(2) == GZIP_MAGIC
    file.seek(0)
    return GzipReader(file) if packed else file


def ratio_of(source: Source) -> int:
    """Return how many bytes one byte of the file can become."""
    return LARGEST_RATIO if isinstance(source, GzipReader) else 1


def new_array(path: Path, file: BinaryIO, ratio: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an empty array, once it is clear that the file and the free memory can hold it."""
    check_announced(path, math.prod(shape) * dtype.itemsize, file_bytes(file), ratio)
    return np.empty(shape, dtype)


@contextmanager
def unpacking(path: Path) -> Iterator[None]:
    """Turn what goes wrong while packed data are read into AutosegErrors."""
    try:
        yield
    except EOFError as error:
        raise truncated(path, "its last bytes, the checksum, are missing") from error
    except zlib.error as error:
        raise damaged(path, f"its compressed data cannot be unpacked ({error})") from error


def skip(path: Path, source: Source, count: int) -> None:
    """Pass over `count` bytes. Raises AutosegError where there are fewer."""
    buffer = memoryview(bytearray(max(0, min(count, 1 << 20))))
    while count > 0:
        found = source.readinto(buffer[: min(count, len(buffer))])  # type: ignore[union-attr]
        if not found:
            raise truncated(path, "it ends before its voxels begin")
        count -= found


def fill(path: Path, source: Source, array: np.ndarray) -> None:
    """Fill a contiguous array with the next bytes. Raises AutosegError where there are fewer."""
    buffer = array.reshape(-1).view(np.uint8).data
    found = source.readinto(buffer)  # type: ignore[union-attr]
    if found < len(buffer):
        raise truncated(path, f"its header announces {len(buffer)} bytes of voxels, and {found} are there")


def rest(source: Source, most: int) -> bytes:
    """Return what is left, at most `most` bytes of it."""
    buffer = bytearray(most)
    return bytes(buffer[: source.readinto(memoryview(buffer))])  # type: ignore[union-attr]


def finish(path: Path, source: Source, array: np.ndarray) -> None:
    """Compare the checksum. Raises AutosegError where more follows than `LARGEST_PADDING` zero bytes.

    Padding is shorter than what any axis shorter by one would leave out: it cannot be voxels that the header does not announce.
    """
    left = rest(source, LARGEST_PADDING + 1)
    if left and (len(left) > LARGEST_PADDING or left.strip(b"\0") or len(left) >= array.nbytes // max(array.shape)):
        raise damaged(path, f"it holds more than the {array.nbytes} bytes of voxels that its header announces")
    if isinstance(source, GzipReader):
        source.finish()


def native(array: np.ndarray) -> np.ndarray:
    """Return the array in this machine's byte order, turned in place."""
    return array if array.dtype.isnative else array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
