"""What a changed image file says and holds, taken apart without any library: what reading it may give.

The rule: the size that the header announces, the bytes that are there and the array that is read agree, or the file is refused.
Where something may follow the voxels (`SLACK_BYTES`), so much may be left over; never may anything be missing.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from math import ceil, prod
from pathlib import Path

import numpy as np

SLACK_BYTES = 4096  # scanners and converters pad files to whole blocks
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
NRRD_SIZES = {"char": 1, "short": 2, "int": 4, "long": 8, "longlong": 8, "float": 4, "double": 8}
META_SIZES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def _whole(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _fits(expected: float, there: int, count: int, read: int) -> str:
    """Return what is wrong where `expected` bytes are announced, and `count` values, and `there` bytes are there."""
    if read != count:
        return f"{read} values were read, and {count} are announced"
    if not expected <= there <= expected + SLACK_BYTES:
        return f"{expected} bytes of voxels are announced, and {there} are there"
    return ""


def nifti(path: Path, array: np.ndarray) -> str:
    """Return what is wrong with an array read of NIfTI-1, in one file or two."""
    data = _whole(path)
    order = "<" if struct.unpack_from("<i", data)[0] == 348 else ">"
    if struct.unpack_from(f"{order}i", data)[0] != 348:
        return ""  # NIfTI-2 by a lucky change
    dims = struct.unpack_from(f"{order}8h", data, 40)
    code, bits = struct.unpack_from(f"{order}2h", data, 70)
    offset = struct.unpack_from(f"{order}f", data, 108)[0]
    beside = path.with_suffix(".img")
    voxels = prod(dims[1 : 1 + dims[0]])
    samples = {128: 3, 2304: 4}.get(code, 1)
    start = max(offset, 352.0) if data[344:347] == b"n+1" else max(offset, 0.0)
    there = (len(data) if data[344:347] == b"n+1" else len(_whole(beside))) - int(start)
    return _fits(voxels * bits / 8, there, voxels * min(samples, 3), array.size)


def mgh(path: Path, array: np.ndarray) -> str:
    """Return what is wrong with an array read of MGH or MGZ."""
    data = _whole(path)
    *sizes, code = struct.unpack_from(">5i", data, 4)
    size = {0: 1, 1: 4, 3: 4, 4: 2}.get(code, 0)
    return _fits(prod(sizes) * size, len(data) - 284, prod(sizes), array.size)


def nrrd(path: Path, array: np.ndarray) -> str:
    """Return what is wrong with an array read of NRRD, voxels not packed."""
    data = path.read_bytes()
    if path.suffix == ".nhdr":
        head, there = data, len(path.with_suffix(".raw").read_bytes())
    else:
        head, _, voxels = data.partition(b"\n\n")
        there = len(voxels)
    found = re.findall(r"^([A-Za-z ]+): *(.*?)\s*$", head.decode("latin-1"), re.M)
    fields = {key.lower(): value for key, value in found}  # capitals mean nothing
    if fields.get("encoding") != "raw" or fields.keys() & {"line skip", "lineskip", "byte skip", "byteskip"}:
        return "" if array.nbytes <= 8 * len(data) else "more is read than is there"
    count = prod(int(text) for text in fields["sizes"].split())
    return _fits(count * array.itemsize, there, count, array.size)


def meta(path: Path, array: np.ndarray) -> str:
    """Return what is wrong with an array read of MetaImage, voxels not packed."""
    data = path.read_bytes()
    head, _, voxels = data.partition(b"ElementDataFile = LOCAL\n")
    there = len(voxels) if path.suffix == ".mha" else len(path.with_suffix(".raw").read_bytes())
    fields = dict(re.findall(r"^ *(\w+) *= *(.*?)\s*$", head.decode("latin-1"), re.M))
    if "HeaderSize" in fields or fields.get("CompressedData", "False") != "False" or (path.suffix == ".mha" and not voxels):
        return "" if array.nbytes <= 8 * len(data) else "more is read than is there"
    count = prod(int(text) for text in fields["DimSize"].split()) * int(fields.get("ElementNumberOfChannels", 1))
    return _fits(count * array.itemsize, there, count, array.size)


def same_values(good: np.ndarray, other: np.ndarray, array: np.ndarray) -> str:
    """Return what is wrong where all values are sealed, but not the header: type, byte order and order of axes may be others.

    other: a file that it may be spliced with. Pages that are sealed one by one may be missing, come twice or from the other file.
    """
    counts = [np.bincount(np.ascontiguousarray(one).view(np.uint8).ravel(), minlength=256) for one in (good, other, array)]
    pages = [page for one in (good, other) for page in one[0]]
    known = all(any(np.array_equal(page, one) for one in pages) for page in array[0])
    return (
        ""
        if known or any(np.array_equal(count, counts[2]) for count in counts[:2])
        else "the values are others than the sealed ones"
    )


def same_tiles(good: np.ndarray, array: np.ndarray) -> str:
    """Return what is wrong where values are sealed in tiles of 16 × 16: those at the margin hold more than the size that is
    announced, so that another size, of as many tiles, shows more of them or less."""
    rows, columns = (min(sizes) for sizes in zip(good.shape[2:], array.shape[2:], strict=True))
    tiles = [tuple(-(-size // 16) for size in one.shape[2:]) for one in (good, array)]
    same = tiles[0] == tiles[1] and good.dtype == array.dtype
    return "" if same and np.array_equal(good[..., :rows, :columns], array[..., :rows, :columns]) else "the tiles are others"


def picture_png(path: Path, array: np.ndarray) -> str:
    """Return what is wrong with an array read of a PNG: announced size, unpacked bytes and array must agree."""
    data, place, stream, head = path.read_bytes(), 8, b"", b""
    while place + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        content = data[place + 8 : place + 8 + size]
        head = content if kind == b"IHDR" and not head else head
        stream += content if kind == b"IDAT" else b""
        place += 12 + size
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", head[:13])
    try:
        unpacked = len(zlib.decompress(stream))
    except zlib.error as error:
        return f"its pixels cannot be unpacked ({error}), and it is read"
    expected = height * (1 + ceil(width * bits * PNG_SAMPLES[colour] / 8))
    if not interlaced and unpacked != expected:
        return f"{expected} bytes are announced, and {unpacked} are there"
    return "" if array.shape[1:] == (1, height, width) else f"{array.shape} was read of {width} × {height} pixels"


def bmp(path: Path, array: np.ndarray) -> str:
    """Return what is wrong with an array read of a BMP."""
    data = path.read_bytes()
    (offset,) = struct.unpack_from("<I", data, 10)
    if struct.unpack_from("<I", data, 14)[0] == 12:
        return ""  # the short header of OS/2
    width, height, _, bits, packed = struct.unpack_from("<iihhI", data, 18)
    expected = abs(height) * ((width * bits + 31) // 32 * 4)
    if array.shape[1:] != (1, abs(height), width):
        return f"{array.shape} was read of {width} × {height} pixels"
    return (
        ""
        if packed in (1, 2) or expected <= len(data) - 14
        else f"{expected} bytes are announced, and {len(data) - offset} there"
    )


def jpeg(good: np.ndarray, array: np.ndarray, also: np.ndarray) -> str:
    """Return what is wrong with an array read of a JPEG: nothing seals its values, but its blocks must be those written."""
    block = 8 if good.shape[0] == 1 else 16
    blocks = [tuple(-(-size // block) for size in one.shape[2:]) for one in (good, also, array)]
    return "" if blocks[2] in blocks[:2] else f"{array.shape} was read, with other blocks than are there"


def tiff(path: Path, array: np.ndarray) -> str:
    """Return what is wrong with an array read of a TIFF whose pixels are not packed: no more can be read than is there."""
    size = path.stat().st_size
    return "" if array.nbytes <= 8 * size else f"{array.nbytes} bytes were read of a file of {size}"
