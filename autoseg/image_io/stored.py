"""The voxels of an NRRD or MetaImage file: what its header says of them, and their array."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image_io.checks import damaged, truncated
from autoseg.image_io.inflate import GZIP_OR_ZLIB, LARGEST_RATIO, GzipReader
from autoseg.image_io.opening import check_announced, file_bytes, open_regular
from autoseg.image_io.voxels import fill, finish, native, skip, unpacking

LARGEST_HEADER = 1 << 24  # bytes
LONGEST_FIELD = 2000  # characters; notes (key:=value) may be longer
LARGEST_SKIP = 1 << 26  # bytes or lines
MOST_AXES, MOST_FILES = 5, 100_000
NUMBER = re.compile(r"[+-]?(\d{1,40}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)
RAW, DEFLATE, TEXT, HEX = "raw", "deflate", "text", "hex"
FROM_THE_END = -1


@dataclass(frozen=True)
class Stored:
    """The voxels' place and form, and what remains of the header: its geometry, for ITK."""

    sizes: tuple[int, ...]
    """Lengths of the axes, that along which neighbours lie first, with the axis of a voxel's components if any."""
    components_axis: int | None
    dtype: np.dtype
    """With the file's byte order."""
    encoding: str
    files: tuple[Path, ...]
    """The files of voxels beside the header; none where they follow it."""
    first_byte: int
    """Of the voxels in their file, before anything is skipped."""
    skip_lines: int
    skip_bytes: int
    """To be passed over, after unpacking; FROM_THE_END: the voxels are the file's last bytes."""
    packed_bytes: int | None
    """Length of the packed data, where the header says it."""
    geometry: str
    """The same header with nothing in it but checked fields."""


def refused(path: Path, found: str) -> AutosegError:
    """Return the message for a header that contradicts its format; `found` is a clause."""
    return damaged(path, f"its header cannot be understood: {found}")


def whole_numbers_of(path: Path, name: str, text: str, least: int = 1) -> tuple[int, ...]:
    """Return the whole numbers in a field. Raises AutosegError where one is none, or below `least`."""
    words = text.split()
    if not words or not all(re.fullmatch(r"[+-]?\d{1,18}", word, re.ASCII) for word in words):
        raise refused(path, f'"{name}" is {text[:80]!r}, but whole numbers were expected')
    numbers = tuple(map(int, words))
    if min(numbers) < least:
        raise refused(path, f'"{name}" is {text[:80]!r}, but numbers from {least} on were expected')
    return numbers


def whole_number_of(path: Path, name: str, text: str, least: int, most: int) -> int:
    """Return the one whole number in a field. Raises AutosegError where it is none, or not from `least` to `most`."""
    numbers = whole_numbers_of(path, name, text, least)
    if len(numbers) > 1 or numbers[0] > most:
        raise refused(path, f'"{name}" is {text[:80]!r}, but a whole number from {least} to {most} was expected')
    return numbers[0]


def data_files(path: Path, names: list[str]) -> tuple[Path, ...]:
    """Return the files of voxels that a header names: in its own folder or below, nowhere else."""
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if not name or len(name) > 255 or name.startswith(("/", "\\", "~")) or ".." in parts or ":" in parts[0] or "\0" in name:
            raise AutosegError(
                f"{path}: its header says that its voxels lie in {name[:300]!r}, but a file in the header's own folder was "
                "expected. Move it there and correct its name in the header, or leave the case out."
            )
    if len(names) > MOST_FILES:
        raise refused(path, f"it names {len(names)} files of voxels")
    return tuple(path.parent / name for name in names)


def numbered_files(path: Path, pattern: str, first: int, last: int, step: int) -> tuple[Path, ...]:
    """Return the files that a pattern such as "slice%03d.raw" names for the numbers from first to last."""
    if not re.fullmatch(r"[^%]*%0?\d?d[^%]*", pattern) or step == 0 or abs((last - first) // step) >= MOST_FILES:
        raise refused(path, f"{pattern[:80]!r}, from {first} to {last}, names no files of voxels")
    return data_files(path, [pattern % number for number in range(first, last + (1 if step > 0 else -1), step)])


def read_stored(path: Path, file: BinaryIO, stored: Stored) -> np.ndarray:
    """Read the voxels as an array, the axes in reverse order, in this machine's byte order.

    file: the header's. Raises AutosegError where there are fewer or more than announced, or a checksum is wrong.
    """
    count = max(1, len(stored.files))
    values, left = divmod(math.prod(stored.sizes), count)
    if left:
        raise refused(path, f"{math.prod(stored.sizes)} voxels cannot be shared by {count} files")
    ratio = {RAW: 1, DEFLATE: LARGEST_RATIO, HEX: 1, TEXT: stored.dtype.itemsize}[stored.encoding]
    held = sum(_size(path, place) for place in stored.files) if stored.files else file_bytes(file)
    check_announced(path, math.prod(stored.sizes) * stored.dtype.itemsize, held, ratio)
    array = np.empty(stored.sizes[::-1], stored.dtype)
    parts = array.reshape(count, values)
    for number, part in enumerate(parts):
        place = stored.files[number] if stored.files else path
        with _opened(path, file, stored, number) as data, unpacking(place):
            _read_part(place, data, stored, part if count > 1 else array)
    return native(array)


def _size(path: Path, place: Path) -> int:
    with _opened_beside(path, place) as file:
        return file_bytes(file)


def _opened_beside(path: Path, place: Path) -> BinaryIO:
    try:
        return open_regular(place)
    except AutosegError as error:
        if place.exists():
            raise
        raise AutosegError(
            f"{path} is the header of an image whose voxels should lie in {place.name}, which is missing. Copy that file "
            "there, too, or leave the case out."
        ) from error


@contextmanager
def _opened(path: Path, file: BinaryIO, stored: Stored, number: int) -> Iterator[BinaryIO]:
    """Give the open file of voxels, at the first of them."""
    if not stored.files:
        file.seek(stored.first_byte)
        yield file
        return
    with _opened_beside(path, stored.files[number]) as beside:
        beside.seek(stored.first_byte)
        yield beside


def _read_part(place: Path, file: BinaryIO, stored: Stored, part: np.ndarray) -> None:
    for _ in range(stored.skip_lines):
        if not file.readline(LARGEST_HEADER).endswith(b"\n"):
            raise truncated(place, "it ends before its voxels begin")
    if stored.skip_bytes == FROM_THE_END:
        begin = file_bytes(file) - part.nbytes
        if begin < file.tell():
            raise truncated(place, f"its header announces {part.nbytes} bytes of voxels, more than the file holds")
        file.seek(begin)
    if stored.encoding in (TEXT, HEX):
        skip(place, file, stored.skip_bytes)
        values = (_numbers if stored.encoding == TEXT else _hexadecimal)(place, file, stored.dtype, part.size)
        part[...] = values.reshape(part.shape)
        return
    if stored.packed_bytes is not None and (held := file_bytes(file) - file.tell()) != stored.packed_bytes:
        found = f"its header announces {stored.packed_bytes} packed bytes of voxels, and {held} are there"
        raise (truncated if held < stored.packed_bytes else damaged)(place, found)
    source = GzipReader(file, GZIP_OR_ZLIB) if stored.encoding == DEFLATE else file
    skip(place, source, stored.skip_bytes)
    fill(place, source, part)
    finish(place, source, part)


def _numbers(place: Path, file: BinaryIO, dtype: np.dtype, count: int) -> np.ndarray:
    """Return the numbers that stand in the rest of the file as text."""
    floating = dtype.kind == "f"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            text = file.read().decode("ascii").replace(",", " ")
            found = np.fromstring(text, np.float64 if floating else np.int64, sep=" ")
        except (ValueError, DeprecationWarning) as error:
            raise damaged(place, f"its voxels are no numbers ({error})") from error
    if len(found) != count:
        raise (truncated if len(found) < count else damaged)(
            place, f"its header announces {count} numbers, and it holds {len(found)}")
    if not floating and (found.min() < np.iinfo(dtype).min or found.max() > np.iinfo(dtype).max):
        raise damaged(place, f"its voxels, from {found.min()} to {found.max()}, do not fit into {dtype.name}")
    return found.astype(dtype)


def _hexadecimal(place: Path, file: BinaryIO, dtype: np.dtype, count: int) -> np.ndarray:
    try:
        found = bytes.fromhex(file.read().decode("ascii"))
    except ValueError as error:
        raise damaged(place, f"its voxels are no hexadecimal numbers ({error})") from error
    if len(found) != count * dtype.itemsize:
        raise damaged(place, f"its header announces {count * dtype.itemsize} bytes of voxels, and {len(found)} are there")
    return np.frombuffer(found, dtype)
