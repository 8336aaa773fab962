"""The corpus: small files that unpack to gigabytes."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.formats import FORMATS, PNG_MAGIC, png_chunk

Make = Callable[[Path], Path]
BY_NAME = {kind.name: kind for kind in FORMATS}
MEBIBYTE, GIGABYTE = bytes(2**20), 2**30


def good(kind: str, folder: Path) -> Path:
    """Write a good file of a format and return its path."""
    path = folder / f"image{BY_NAME[kind].ending}"
    BY_NAME[kind].write(path, 0)
    return path


def patched(kind: str, *changes: tuple[int, str, object]) -> Make:
    """Return what writes a good file with some numbers set, in what it packs. changes: place, struct format, value."""

    def make(folder: Path) -> Path:
        path = good(kind, folder)
        data = bytearray(path.read_bytes())
        packed = data[:2] == b"\x1f\x8b"
        data = bytearray(gzip.decompress(data)) if packed else data
        for place, form, value in changes:
            struct.pack_into(form, data, place, value)
        path.write_bytes(gzip.compress(data, 1, mtime=0) if packed else data)
        return path

    return make


def zeros(count: int) -> bytes:
    """Return a raw deflate stream of `count` zeros, without its end, quickly: one block again and again."""
    block, packer = 2**20, zlib.compressobj(9, zlib.DEFLATED, -15)
    once = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    return once * (count // block)


def trailing_gigabyte(folder: Path) -> Path:
    """Write a NIfTI with a gigabyte of zeros behind its voxels, all in one gzip member of 1 MB."""
    content = gzip.decompress(good("nii_gz", folder).read_bytes())
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    start = packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = zlib.crc32(content)
    for _ in range(GIGABYTE >> 20):
        crc = zlib.crc32(MEBIBYTE, crc)
    end = b"\x03\x00" + struct.pack("<II", crc, (len(content) + GIGABYTE) & 0xFFFFFFFF)
    path = folder / "image.nii.gz"
    path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + start + zeros(GIGABYTE) + end)
    return path


def far_offset(folder: Path) -> Path:
    """Write a packed NIfTI whose voxels are said to lie two gigabytes behind its header, where there are zeros."""
    path = patched("nii_gz", (108, "<f", float(2 * GIGABYTE - 2**20)))(folder)
    header = gzip.decompress(path.read_bytes())[:352]
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    start = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + start + zeros(2 * GIGABYTE) + b"\x03\x00" + bytes(8))
    return path


def png_bomb(side: int) -> Make:
    """Return what writes a black PNG of side × side pixels, a thousandth of that in bytes. All that it says is true."""

    def make(folder: Path) -> Path:
        count = (side + 1) * side
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        rest = packer.compress(bytes(count % 2**20)) + packer.flush()
        stream = b"\x78\x01" + zeros(count) + rest + struct.pack(">I", (count % 65521) << 16 | 1)
        head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        path = folder / "image.png"
        path.write_bytes(PNG_MAGIC + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", stream) + png_chunk(b"IEND", b""))
        return path

    return make
