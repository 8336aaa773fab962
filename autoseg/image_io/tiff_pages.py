"""The pages of a TIFF file: whether their tables are complete, lie in the file, and lead nowhere twice."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from autoseg.image_io.checks import damaged, not_an_image, truncated
from autoseg.image_io.opening import file_bytes

WIDTH, LENGTH, BITS, COMPRESSION, SAMPLES, ROWS, PLANAR = 256, 257, 258, 259, 277, 278, 284
STRIPS, STRIP_BYTES, TILE_WIDTH, TILE_LENGTH, TILES, TILE_BYTES = 273, 279, 322, 323, 324, 325
SUBPAGES, COLOUR, SUBSAMPLING, DEPTH, TILE_DEPTH = 330, 262, 530, 32997, 32998
TAGS = {WIDTH, LENGTH, BITS, COMPRESSION, SAMPLES, ROWS, PLANAR, STRIPS, STRIP_BYTES, TILE_WIDTH, TILE_LENGTH, TILES,
        TILE_BYTES, SUBPAGES, COLOUR, SUBSAMPLING, DEPTH, TILE_DEPTH}
SINGLE = {WIDTH, LENGTH, COMPRESSION, SAMPLES, ROWS, PLANAR, TILE_WIDTH, TILE_LENGTH, COLOUR, DEPTH, TILE_DEPTH}
SMALLEST_OFFSET = 8  # bytes of the file's own header
CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # of whole numbers, by type
SIZES_OF_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
LARGEST_BITS, MOST_TAGS = 64, 4096
UNPACKED, YCBCR, SEPARATE = 1, 6, 2
Tags = dict[int, tuple[int, ...]]


@dataclass
class _Tables:
    """A file, and how numbers stand in it: codes of byte order, of the count of tags, and of offsets."""

    path: Path
    file: BinaryIO
    size: int
    order: str
    count: str
    offset: str
    seen: set[int] = field(default_factory=set)

    def at(self, place: int, count: int) -> bytes:
        """Return bytes of the file. Raises AutosegError where they are not there."""
        if place < 0 or place + count > self.size:
            raise truncated(self.path, f"pages are missing (a table should lie at byte {place} of {self.size})")
        self.file.seek(place)
        return self.file.read(count)

    def numbers(self, place: int, code: str, count: int = 1) -> tuple[int, ...]:
        """Return whole numbers that stand in the file."""
        form = f"{self.order}{count}{code}"
        return struct.unpack(form, self.at(place, struct.calcsize(form)))


def check(path: Path, file: BinaryIO) -> None:
    """Raise AutosegError where a page's tables are short, point outside of the file, or pages follow each other in a circle."""
    file.seek(0)
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2], "")
    version = struct.unpack(f"{order}H", start[2:4])[0] if order and len(start) >= 4 else 0
    if version not in (42, 43):
        raise not_an_image(path, "a TIFF image", start)
    codes = ("H", "I") if version == 42 else ("Q", "Q")
    tables = _Tables(path, file, file_bytes(file), order, *codes)
    (first,) = tables.numbers(4 if version == 42 else 8, codes[1])
    for tags in _pages(tables, first):
        _check_page(tables, tags)


def _pages(tables: _Tables, place: int) -> Iterator[Tags]:
    """Yield the tags of each page, those of subpages, too."""
    entry, offset, start = (struct.calcsize(f"<{code}") for code in (f"HH{tables.offset * 2}", tables.offset, tables.count))
    while place:
        if place in tables.seen:
            raise damaged(tables.path, "its pages follow each other in a circle")
        tables.seen.add(place)
        (count,) = tables.numbers(place, tables.count)
        if count > MOST_TAGS:
            raise damaged(tables.path, f"a page of it has {count} entries")
        block = tables.at(place + start, entry * count + offset)
        tags = _tags(tables, block[:-offset], entry)
        yield tags
        for subpage in tags.get(SUBPAGES, ()):
            yield from _pages(tables, subpage)
        (place,) = struct.unpack(f"{tables.order}{tables.offset}", block[-offset:])


def _tags(tables: _Tables, block: bytes, entry: int) -> Tags:
    offset = (entry - 4) // 2
    tags: Tags = {}
    form = f"{tables.order}HH{tables.offset * 2}"
    for tag, kind, count, value in struct.iter_unpack(form, block):
        size = SIZES_OF_TYPES.get(kind, 0) * count
        if size > offset and value + size > tables.size:
            raise truncated(tables.path, f"its entry {tag} should lie at bytes {value} to {value + size} of {tables.size}")
        if tag not in TAGS:
            continue
        if kind not in CODES or count < 1 or (tag in SINGLE and count > 1) or (size > offset and value < SMALLEST_OFFSET):
            raise damaged(tables.path, f"its entry {tag} holds {count} values of type {kind} at byte {value}")
        if size > offset:
            tags[tag] = tables.numbers(value, CODES[kind], count)
        elif count == 1:
            tags[tag] = (value & ((1 << 8 * size) - 1) if tables.order == "<" else value >> 8 * (offset - size),)
        else:
            inline = struct.pack(f"{tables.order}{tables.offset}", value)
            tags[tag] = struct.unpack_from(f"{tables.order}{count}{CODES[kind]}", inline)
    return tags


def _check_page(tables: _Tables, tags: Tags) -> None:
    """Raise AutosegError where the parts of a page are not as many, or not as large, as its size needs."""
    path = tables.path
    width, length, depth = (tags.get(tag, (default,))[0] for tag, default in ((WIDTH, 0), (LENGTH, 0), (DEPTH, 1)))
    bits, samples = tags.get(BITS, (1,)), tags.get(SAMPLES, (1,))[0]
    if min(width, length, depth, samples, *bits) < 1 or not all(n <= 32 or n == LARGEST_BITS for n in bits):
        raise damaged(path, f"a page of it has {width} × {length} pixels of {samples} × {bits[0]} bits")
    tiled = TILES in tags
    offsets, counts = (tags.get(tag, ()) for tag in ((TILES, TILE_BYTES) if tiled else (STRIPS, STRIP_BYTES)))
    rows = tags.get(TILE_LENGTH if tiled else ROWS, (length,))[0]
    columns, slices = (tags.get(TILE_WIDTH, (0,))[0], tags.get(TILE_DEPTH, (1,))[0]) if tiled else (width, 1)
    if min(rows, columns, slices) < 1:
        raise damaged(path, f"its parts have {columns} × {rows} pixels")
    rows = rows if tiled else min(rows, length)
    planes = samples if tags.get(PLANAR, (1,))[0] == SEPARATE else 1
    parts = math.ceil(length / rows) * math.ceil(width / columns) * math.ceil(depth / slices) * planes
    packed = tags.get(COMPRESSION, (1,))[0] != UNPACKED
    if len(offsets) != parts or len(counts) not in ((parts,) if packed or parts > 1 else (parts, 0)):
        raise damaged(path, f"a page of it needs {parts} parts, and names {len(offsets)} places and {len(counts)} lengths")
    if any(not place or not count or place + count > tables.size
           for place, count in zip(offsets, counts or [1] * parts, strict=True)):
        raise truncated(path, f"parts of a page are missing, or lie outside of its {tables.size} bytes")
    if not packed and counts and tags.get(COLOUR, (1,))[0] != YCBCR:
        row = (columns * (samples // planes) * max(bits) + 7) // 8
        _check_bytes(path, counts, row, [rows * slices] if tiled else [rows, length % rows or rows])


def _check_bytes(path: Path, counts: tuple[int, ...], row: int, rows: list[int]) -> None:
    """Raise AutosegError where parts that are not packed hold fewer rows than they should, or more by a row or a column."""
    if max(counts) >= max(rows) * row + min(max(rows), row):
        raise damaged(path, f"parts of a page hold {max(counts)} bytes, more than {max(rows)} rows of {row} bytes")
    if min(counts) < min(rows) * row:
        raise truncated(path, f"parts of a page hold {min(counts)} bytes, fewer than {min(rows)} rows of {row} bytes")
