"""The chunks and checksums of PNG, which pillow and libpng look at in part only."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from autoseg.image_io.checks import damaged, truncated
from autoseg.image_io.inflate import LARGEST_RATIO
from autoseg.image_io.opening import check_announced

MAGIC = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, by kind of colour
BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PALETTE = 3
KEPT = (b"PLTE", b"tRNS", b"sBIT")
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # x, y, steps


def checked(path: Path, content: bytes) -> bytes:
    """Return the same picture with its pixels stored instead of packed, nothing in it but what tells pixels and colours.

    Raises AutosegError where a checksum is wrong, or there are fewer or more pixels than announced.
    """
    chunks = list(_chunks(path, content))
    kind, header = chunks[0]
    if kind != b"IHDR" or len(header) != 13:
        raise damaged(path, "it does not begin with its header")
    colour, interlaced = header[9], header[12]
    if header[8] not in BITS.get(colour, ()) or header[10] or header[11] or interlaced > 1:
        raise damaged(path, f"{header[8]} bits of colour type {colour} are no PNG")
    if colour == PALETTE and not any(name == b"PLTE" and len(data) in range(3, 769, 3) for name, data in chunks):
        raise damaged(path, "its pixels are numbers of a palette, but it has none")
    packed = b"".join(data for name, data in chunks if name == b"IDAT")
    size = _row_bytes(header)
    check_announced(path, size, len(packed), LARGEST_RATIO)
    parts = [MAGIC, _chunk(b"IHDR", header), *(_chunk(name, data) for name, data in chunks if name in KEPT)]
    return b"".join([*parts, _chunk(b"IDAT", zlib.compress(_unpacked(path, packed, size), 0)), _chunk(b"IEND", b"")])


def _chunks(path: Path, content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and data of each chunk, to the last."""
    place, name = len(MAGIC), b""
    while name != b"IEND":
        length = int.from_bytes(content[place : place + 4], "big")
        name, data = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        checksum = content[place + 8 + length : place + 12 + length]
        if len(checksum) < 4:
            raise truncated(path, f"it ends inside its part {name.decode('latin-1')!r}")
        if zlib.crc32(data, zlib.crc32(name)) != int.from_bytes(checksum, "big"):
            raise damaged(path, f"the checksum of its part {name.decode('latin-1')!r} is wrong")
        yield name, data
        place += 12 + length


def _row_bytes(header: bytes) -> int:
    """Return how many bytes all rows have, each with the byte that says how it was filtered."""
    width, height = struct.unpack(">II", header[:8])
    bits = header[8] * SAMPLES[header[9]]
    passes = PASSES if header[12] else ((0, 0, 1, 1),)
    sizes = [(-(-max(0, width - x) // dx), -(-max(0, height - y) // dy)) for x, y, dx, dy in passes]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns)


def _unpacked(path: Path, packed: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        rows = stream.decompress(packed, size + 1)
        if not stream.eof and len(rows) == size:
            rows += stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        raise damaged(path, f"its compressed data cannot be unpacked ({error})") from error
    if len(rows) < size or (not stream.eof and len(rows) == size):
        raise truncated(path, f"its header announces {size} bytes of rows, and {len(rows)} are there")
    if len(rows) > size:
        raise damaged(path, f"it holds more than the {size} bytes of rows that its header announces")
    return rows


def _chunk(name: bytes, data: bytes) -> bytes:
    return b"".join([struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))])
