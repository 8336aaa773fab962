"""The corpus: image files that did harm, each made by a few lines. A name begins with what the file is."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from tests.fuzz.attempt import Case
from tests.fuzz.corpus_bombs import BY_NAME, Make, far_offset, good, patched, png_bomb, trailing_gigabyte
from tests.fuzz.formats import png
from tests.fuzz.images import Reader, sane

NRRD = (
    "NRRD0004\ntype: {type}\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nendian: little\nencoding: {encoding}\n{more}\n"
)
META = (
    "ObjectType = Image\nNDims = {dims}\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    "ElementSpacing = 1 1 1\nDimSize = {sizes}\n{more}ElementType = MET_UCHAR\nElementDataFile = {file}\n"
)


def image_cases(reader: Reader) -> list[Case]:
    """Return the cases, read by `reader`."""
    refused = {name: Case(name, item, make, reader) for item, named in REFUSED.items() for name, make in named.items()}
    odd = READ | {
        f"name_not_utf8_{kind}": (1, not_utf8(kind)) for kind in ("nrrd_raw", "mha_raw", "tiff_zlib", "png_16", "nii_gz")
    }
    return [*refused.values(), *(Case(name, item, make, reader, sane) for name, (item, make) in odd.items())]


def text(name: str, content: str, data: bytes = b"") -> Make:
    """Return what writes a file of text, and bytes behind it."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content.encode("latin-1") + data)
        return folder / name

    return make


def turned(kind: str, from_end: int) -> Make:
    """Return what writes a good file with a byte turned, counted from the end."""

    def make(folder: Path) -> Path:
        path = good(kind, folder)
        data = bytearray(path.read_bytes())
        data[-from_end] ^= 0xFF
        path.write_bytes(data)
        return path

    return make


def not_utf8(kind: str) -> Make:
    """Return what writes a good file with a name that is no UTF-8."""

    def make(folder: Path) -> Path:
        path = good(kind, folder)
        named = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9" + BY_NAME[kind].ending.encode()))
        path.rename(named)
        return named

    return make


def nrrd_bad_crc(folder: Path) -> Path:
    """Write a gzip NRRD whose checksum is wrong."""
    packed = bytearray(gzip.compress(np.arange(120, dtype="<i2").tobytes(), mtime=0))
    packed[-8] ^= 1
    return text("image.nrrd", NRRD.format(type="short", sizes="5 6 4", encoding="gzip", more=""), bytes(packed))(folder)


def tiff(*tags: tuple[int, int, int, int], data: bytes = b"", next_page: int = 0) -> Make:
    """Return what writes a little-endian TIFF of one directory at 8. tags: (tag, type, count, value). data: behind them."""

    def make(folder: Path) -> Path:
        directory = (
            struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + struct.pack("<I", next_page)
        )
        (folder / "image.tif").write_bytes(b"II*\0" + struct.pack("<I", 8) + directory + data)
        return folder / "image.tif"

    return make


def gray(
    width: int, height: int, bits: int = 8, offset: int = 200, size: int = 64, **others: int
) -> list[tuple[int, int, int, int]]:
    """Return the tags of a gray TIFF of one strip."""
    return [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 4, 1, bits),
        (259, 3, 1, others.get("packed", 1)),
        (262, 3, 1, 1),
        (273, 4, 1, offset),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, size),
    ]


def short_tile_table(folder: Path) -> Path:
    """Write a tiled TIFF whose table holds one tile fewer than its size needs."""
    path = good("tiff_tiles", folder)
    data = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", data, 4)[0]
    for number in range(struct.unpack_from("<H", data, start)[0]):
        place = start + 2 + 12 * number
        if struct.unpack_from("<H", data, place)[0] in (324, 325):
            count = struct.unpack_from("<I", data, place + 4)[0]
            struct.pack_into("<I", data, place + 4, count - 1)
    path.write_bytes(data)
    return path


def looping_pages(folder: Path) -> Path:
    """Write a TIFF whose second page is its first."""
    return tiff(*gray(8, 8), data=bytes(300), next_page=8)(folder)


def long_loop(folder: Path) -> Path:
    """Write a TIFF of a thousand pages of which the last leads back to the first."""
    tags = gray(8, 8)
    size = 2 + 12 * len(tags) + 4
    data = b"II*\0" + struct.pack("<I", 8)
    for page in range(1000):
        directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        data += struct.pack("<H", len(tags)) + directory + struct.pack("<I", 8 if page == 999 else 8 + size * (page + 1))
    path = folder / "image.tif"
    path.write_bytes(data)
    return path


def jpeg_of_size(height: int, width: int) -> Make:
    """Return what writes a JPEG that announces another size than it holds."""

    def make(folder: Path) -> Path:
        path = good("jpeg", folder)
        data = bytearray(path.read_bytes())
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
        path.write_bytes(data)
        return path

    return make


def special(kind: str, name: str = "image.nii.gz") -> Make:
    """Return what puts something else than a file in its place: a FIFO, a device, a folder, or a link to itself."""

    def make(folder: Path) -> Path:
        path = folder / name
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(path if kind == "loop" else kind)
        return path

    return make


def beside_special(kind: str, name: str) -> Make:
    """Return what puts something else than a file in the place of a header's voxels. name: of a format with two files."""

    def make(folder: Path) -> Path:
        path = good(name, folder)
        voxels = path.with_suffix(BY_NAME[name].beside)
        voxels.unlink()
        special(kind, voxels.name)(folder)
        return path

    return make


def elsewhere(name: str, file: str) -> Make:
    """Return what writes a header that names voxels outside its folder, where there are some. file: {parent} is its parent."""

    def make(folder: Path) -> Path:
        (folder / "inner").mkdir()
        (folder / "voxels.raw").write_bytes(bytes(8))
        named = file.format(parent=folder)
        if name.endswith(".mhd"):
            content = META.format(dims=3, sizes="2 2 2", more="", file=named)
        else:
            content = NRRD.format(type="uchar", sizes="2 2 2", encoding="raw", more=f"data file: {named}\n")
        (folder / "inner" / name).write_text(content, encoding="ascii")
        return folder / "inner" / name

    return make


SMALL = {"type": "uchar", "sizes": "2 2 2", "encoding": "raw"}
PIXELS = b"".join(b"\0" + bytes([row] * 8) for row in range(8))

# By item of the issue that listed the kinds, then by name
REFUSED: dict[int, dict[str, Make]] = {
    1: {
        "nrrd_long_number": text("image.nrrd", NRRD.format(**SMALL | {"sizes": "2 2 " + "9" * 5000}, more=""), bytes(8)),
        "mha_negative_dimensions": text("image.mha", META.format(dims=-1, sizes="2 2 2", more="", file="LOCAL"), bytes(8)),
        "mha_many_dimensions": text("image.mha", META.format(dims=2_000_000_000, sizes="2 2 2", more="", file="LOCAL"), bytes(8)),
        "mhd_negative_dimensions": text("image.mhd", META.format(dims=-1, sizes="2 2 2", more="", file="image.raw"), bytes(8)),
        "mha_long_list": text("image.mha", META.format(dims=3, sizes="2 2 2" + " 1" * 20_000, more="", file="LOCAL"), bytes(8)),
    },
    3: {
        "mha_bad_checksum": turned("mha_zlib", 1),
        "mha_bad_stream": turned("mha_zlib", 60),
        "nrrd_bad_checksum": nrrd_bad_crc,
        "mgz_bad_checksum": turned("mgz", 8),
        "mgz_bad_length": turned("mgz", 1),
        "nii_gz_bad_checksum": turned("nii_gz", 8),
        "nii_gz_bad_length": turned("nii_gz", 1),
        "png_bad_crc": turned("png_8", 16),
        "png_bad_end_crc": turned("png_8", 1),
        "png_bad_adler": lambda folder: _file(folder, "image.png", png(8, 8, 8, 0, PIXELS, seal=False)),
        "tiff_short_tile_table": short_tile_table,
        "tiff_bad_checksum": turned("tiff_zlib", 1),
    },
    4: {
        "nii_bitpix": patched("nii", (72, "<h", 64)),
        "nii_gz_bitpix": patched("nii_gz", (72, "<h", 8)),
        "nii_fewer_rows": patched("nii", (44, "<h", 1), (42, "<h", 1)),
        "nii_negative": patched("nii", (42, "<h", -5)),
        "nii_no_dimensions": patched("nii", (40, "<h", 0)),
        "nii_many_dimensions": patched("nii", (40, "<h", 12)),
        "nii_most_dimensions": patched("nii", (40, ">h", 32767)),
        "mgh_type": patched("mgh", (20, ">i", 3)),
        "mgh_unknown_type": patched("mgh", (20, ">i", 99)),
        "mgh_negative": patched("mgh", (4, ">i", -5)),
        "jpeg_taller": jpeg_of_size(200, 24),
        "jpeg_wider": jpeg_of_size(20, 240),
        "jpeg_flat": jpeg_of_size(0, 24),
        "nrrd_sizes_1e308": text("image.nrrd", NRRD.format(**SMALL | {"sizes": "1e308 2 2"}, more=""), bytes(8)),
        "nrrd_too_long": text("image.nrrd", NRRD.format(**SMALL, more=""), bytes(100_000)),
        "mha_too_long": text("image.mha", META.format(dims=3, sizes="2 2 2", more="", file="LOCAL"), bytes(100_000)),
        "png_too_few_rows": lambda folder: _file(folder, "image.png", png(8, 80, 8, 0, PIXELS)),
        "png_too_many_rows": lambda folder: _file(folder, "image.png", png(8, 2, 8, 0, PIXELS)),
        "tiff_pages_loop": looping_pages,
        "nii_spacing_nan": patched("nii", (80, "<f", float("nan")), (252, "<hh"[:2], 0), (254, "<h", 0)),
    },
    6: {
        "nii_gz_far_offset": far_offset,
        "tiff_long_loop": long_loop,
        "tiff_own_subdirectory": tiff(*gray(8, 8), (330, 4, 1, 8), data=bytes(300), next_page=8),
        "fifo_nii": special("fifo"),
        "fifo_nrrd": special("fifo", "image.nrrd"),
        "fifo_mha": special("fifo", "image.mha"),
        "fifo_png": special("fifo", "image.png"),
        "fifo_tif": special("fifo", "image.tif"),
        "fifo_mgz": special("fifo", "image.mgz"),
        "device_nii": special("/dev/zero"),
        "device_nrrd": special("/dev/zero", "image.nrrd"),
        "device_null": special("/dev/null"),
        "folder_nii": special("folder"),
        "link_to_itself": special("loop"),
        "fifo_img": beside_special("fifo", "hdr"),
        "device_img": beside_special("/dev/zero", "hdr"),
        "folder_img": beside_special("folder", "hdr"),
        "fifo_mhd": beside_special("fifo", "mhd"),
        "device_mhd": beside_special("/dev/zero", "mhd"),
        "folder_mhd": beside_special("folder", "mhd"),
        "fifo_nhdr": beside_special("fifo", "nhdr"),
        "device_nhdr": beside_special("/dev/zero", "nhdr"),
        "mhd_stdin": elsewhere("image.mhd", "/dev/stdin"),
        "mhd_passwd": elsewhere("image.mhd", "/etc/passwd"),
        "mhd_absolute": elsewhere("image.mhd", "{parent}/voxels.raw"),
        "mhd_upward": elsewhere("image.mhd", "../voxels.raw"),
        "nhdr_absolute": elsewhere("image.nhdr", "{parent}/voxels.raw"),
        "nhdr_upward": elsewhere("image.nhdr", "../voxels.raw"),
        "nhdr_passwd": elsewhere("image.nhdr", "/etc/passwd"),
        "mhd_pattern": elsewhere("image.mhd", "/dev/fd/%d 0 9 1"),
    },
    7: {
        "nrrd_huge": text("image.nrrd", NRRD.format(**SMALL | {"sizes": "1500 1500 1500"}, more=""), bytes(8)),
        "nrrd_gzip_huge": text(
            "image.nrrd", NRRD.format(type="uchar", sizes="1500 1500 1500", encoding="gzip", more=""), gzip.compress(bytes(8))
        ),
        "nrrd_overflow": text("image.nrrd", NRRD.format(**SMALL | {"sizes": "4294967296 4294967296 2"}, more=""), bytes(8)),
        "mha_huge": text("image.mha", META.format(dims=3, sizes="1500 1500 1500", more="", file="LOCAL"), bytes(8)),
        "mgh_huge": patched("mgh", (4, ">i", 30_000), (8, ">i", 30_000)),
        "mgz_huge": patched("mgz", (4, ">i", 30_000), (8, ">i", 30_000)),
        "nii_huge": patched("nii", (42, "<h", 30_000), (44, "<h", 30_000)),
        "jpeg_huge": jpeg_of_size(65_000, 32_000),
        "nii_gz_huge": patched("nii_gz", (42, "<h", 30_000), (44, "<h", 30_000)),
        "png_bomb": png_bomb(50_000),
        "jpeg_large": jpeg_of_size(13_000, 13_000),
        "bmp_huge": patched("bmp", (18, "<i", 40_000), (22, "<i", 40_000)),
        "tiff_huge": tiff(*gray(60_000, 60_000), data=bytes(300)),
        "tiff_zlib_huge": tiff(*gray(60_000, 60_000, packed=8, offset=128), data=zlib.compress(bytes(64)) + bytes(300)),
    },
    11: {
        "mgh_zeros": lambda folder: _file(folder, "image.mgh", bytes(2000)),
        "mgz_zeros": lambda folder: _file(folder, "image.mgz", gzip.compress(bytes(2000))),
        "tiff_30000_bits": tiff(*gray(8, 8, bits=30_000), data=bytes(300)),
        "tiff_0_bits": tiff(*gray(8, 8, bits=0), data=bytes(300)),
        "png_no_palette": lambda folder: _file(folder, "image.png", png(8, 8, 8, 3, PIXELS)),
        "png_short_palette": lambda folder: _file(folder, "image.png", png(8, 8, 8, 3, PIXELS, (b"PLTE", bytes(6)))),
    },
    13: {
        "nii_text": text("image.nii", "hello\n" * 100),
        "mha_text": text("image.mha", "hello\n" * 100),
        "tif_text": text("image.tif", "II*\0hello" * 40),
        "png_text": text("image.png", "\x89PNG\r\n\x1a\nhello" * 40),
        "mha_short": text("image.mha", META.format(dims=3, sizes="2 2 2", more="", file="LOCAL")),
        "png_16_cut": lambda folder: _cut(good("png_16", folder), 60),
        "png_16_interlace": lambda folder: _file(
            folder, "image.png", png(8, 8, 16, 2, bytes(49 * 8)).replace(b"\x10\x02\0\0\0", b"\x10\x02\0\0\7")
        ),
        "tif_cut": lambda folder: _cut(good("tiff_zlib", folder), 40),
        "mgz_cut": lambda folder: _cut(good("mgz", folder), 40),
    },
}
# These may be read, if what is read makes sense, or be refused: item, and what makes them
READ: dict[str, tuple[int, Make]] = {
    "nii_gz_trailing_gigabyte": (6, trailing_gigabyte),
    "png_large": (7, png_bomb(13_000)),
    "nrrd_long_line": (1, text("image.nrrd", NRRD.format(**SMALL, more=f"# {'x' * 2048}\n"), bytes(8))),
    "nrrd_long_key": (1, text("image.nrrd", NRRD.format(**SMALL, more=f"{'k' * 2100}:={'v' * 2100}\n"), bytes(8))),
    "nrrd_many_lines": (1, text("image.nrrd", NRRD.format(**SMALL, more="a:=b\n" * 300_000), bytes(8))),
    "mha_long_line": (
        1,
        text("image.mha", META.format(dims=3, sizes="2 2 2", more=f"Comment = {'x' * 40_000}\n", file="LOCAL"), bytes(8)),
    ),
}


def _file(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def _cut(path: Path, count: int) -> Path:
    path.write_bytes(path.read_bytes()[:-count])
    return path
