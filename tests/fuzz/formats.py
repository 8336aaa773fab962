"""Good images of every format that is read, made by the formats' own libraries, and what a changed file may give.

Sealed: a checksum or the packing covers the change, so what is read is what was written, or the file is refused. Else the change
may be of a part that nothing protects, and what is read must agree with what the file now announces and with the bytes that are
there (`announced.py`, which takes headers apart by itself).
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from tests.fuzz.attempt import Change
from tests.fuzz.mutators import changed_bytes, changed_text, spliced

Write = Callable[[Path, int], None]
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Format:
    """A format of image files.

    write: a good image; 0 the one that is changed, 1 another one to splice with. header_bytes: first bytes, which are changed
    half the time. text_ends: what ends a header of text. packed: whether the file is gzip as a whole. beside: ending of the file
    that holds the voxels, where it is another. seals: "all" where the change of any byte shows; "values" where values are sealed
    but not the header; "" where neither is.
    """

    name: str
    ending: str
    write: Write
    header_bytes: int = 0
    text_ends: tuple[bytes, ...] = ()
    packed: bool = False
    beside: str = ""
    seals: str = ""


def voxels(variant: int, dtype: str = "<i2", shape: tuple[int, ...] = (4, 6, 5)) -> np.ndarray:
    """Return an array whose values do not repeat. variant 1 has one slice more."""
    random = np.random.default_rng(variant)
    info = np.iinfo(dtype)
    return random.integers(max(1, info.min), min(30_000, info.max), (shape[0] + variant, *shape[1:])).astype(dtype)


def _nifti(path: Path, variant: int) -> None:
    import nibabel as nib

    kind = nib.Nifti1Image if ".nii" in path.name else nib.Nifti1Pair
    image = kind(voxels(variant).T, np.diag([1.0, 2.0, 3.0, 1.0]))
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(1, 0)
    kind.to_filename(image, path)


def _mgh(path: Path, variant: int) -> None:
    import nibabel as nib

    nib.save(nib.MGHImage(voxels(variant, ">i2").T, np.diag([1.0, 2.0, 3.0, 1.0])), path)


def _itk(packed: bool) -> Write:
    def write(path: Path, variant: int) -> None:
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(voxels(variant))
        image.SetSpacing((1.0, 2.0, 3.0))
        sitk.WriteImage(image, str(path), useCompression=packed, compressionLevel=6)

    return write


def _nhdr(path: Path, variant: int) -> None:
    raw = path.with_suffix(".raw")
    raw.write_bytes(voxels(variant).tobytes())
    path.write_text(
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 5 6 "
        + str(4 + variant)
        + "\nspace directions: (1,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        f"space origin: (0,0,0)\ndata file: {raw.name}\n",
        encoding="ascii",
    )


def _tiff(**options: object) -> Write:
    def write(path: Path, variant: int) -> None:
        import tifffile

        shape = (1, 40, 48) if "tile" in options else (4, 6, 5)
        array = voxels(variant, "<u2", shape)
        tifffile.imwrite(path, array if "tile" not in options else array[0], photometric="minisblack", **options)

    return write


def _picture(mode: str) -> Write:
    def write(path: Path, variant: int) -> None:
        path.write_bytes(picture(mode, path.suffix, variant))

    return write


def picture(mode: str, ending: str, variant: int = 0) -> bytes:
    """Return a picture of 20 × 24 pixels (21 rows for variant 1) as Pillow writes it. mode: Pillow's, or "P4" for 4 bits."""
    from PIL import Image as Pillow

    channels = {"RGB": (3,), "RGBA": (4,)}.get(mode, ())
    pixels = (
        np.random.default_rng(variant).integers(0, 16 if mode == "P4" else 256, (20 + variant, 24, *channels)).astype(np.uint8)
    )
    if mode == "I;16":
        made = Pillow.fromarray(pixels.astype(np.uint16) * 257 + 1)
    elif mode in ("P", "P4"):
        made = Pillow.fromarray(pixels)
        made.putpalette(np.random.default_rng(7).integers(0, 256, 768).astype(np.uint8).tobytes())
    else:
        made = Pillow.fromarray(pixels).convert(mode)
    packed = io.BytesIO()
    made.save(packed, format={".png": "PNG", ".bmp": "BMP", ".jpg": "JPEG"}[ending], **({"bits": 4} if mode == "P4" else {}))
    return packed.getvalue()


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *more: tuple[bytes, bytes], seal: bool = True) -> bytes:
    """Return a PNG by hand. rows: with their filter bytes. more: chunks before the pixels. seal: False for a wrong checksum of
    the pixels' stream (Adler-32), its chunk's CRC being right."""
    stream = zlib.compress(rows)
    stream = stream if seal else stream[:-1] + bytes([stream[-1] ^ 1])
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return PNG_MAGIC + b"".join(png_chunk(*part) for part in ((b"IHDR", head), *more, (b"IDAT", stream), (b"IEND", b"")))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk with its length and CRC."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png_by_hand(bits: int) -> Write:
    def write(path: Path, variant: int) -> None:
        rows = np.random.default_rng(variant).integers(0, 256, (20 + variant, 1 + 24 * bits // 8)).astype(np.uint8)
        rows[:, 0] = 0
        path.write_bytes(png(24, 20 + variant, bits, 0, rows.tobytes()))

    return write


NRRD_ENDS, META_ENDS = (b"\n\n",), (b"ElementDataFile = LOCAL\n",)
FORMATS = (
    Format("nii", ".nii", _nifti, 348),
    Format("nii_gz", ".nii.gz", _nifti, 348, packed=True, seals="all"),
    Format("hdr", ".hdr", _nifti, 348, beside=".img"),
    Format("mgh", ".mgh", _mgh, 90),
    Format("mgz", ".mgz", _mgh, 90, packed=True, seals="all"),
    Format("nrrd_raw", ".nrrd", _itk(False), text_ends=NRRD_ENDS),
    Format("nrrd_gzip", ".nrrd", _itk(True), text_ends=NRRD_ENDS, seals="values"),
    Format("nhdr", ".nhdr", _nhdr, text_ends=(b"\0\0",), beside=".raw"),
    Format("mha_raw", ".mha", _itk(False), text_ends=META_ENDS),
    Format("mha_zlib", ".mha", _itk(True), text_ends=META_ENDS, seals="values"),
    Format("mhd", ".mhd", _itk(False), text_ends=(b"\0\0",), beside=".raw"),
    Format("tiff_strips", ".tif", _tiff(rowsperstrip=2), 260),
    Format("tiff_tiles", ".tif", _tiff(tile=(16, 16)), 260),
    Format("tiff_zlib", ".tif", _tiff(compression="zlib"), 260, seals="values"),
    Format("tiff_tiles_zlib", ".tif", _tiff(tile=(16, 16), compression="zlib"), 260, seals="values"),
    Format("tiff_big", ".tif", _tiff(bigtiff=True), 260),
    Format("png_1", ".png", _picture("1"), 33, seals="all"),
    Format("png_2", ".png", _png_by_hand(2), 33, seals="all"),
    Format("png_4", ".png", _png_by_hand(4), 33, seals="all"),
    Format("png_8", ".png", _picture("L"), 33, seals="all"),
    Format("png_16", ".png", _picture("I;16"), 33, seals="all"),
    Format("png_palette", ".png", _picture("P"), 33, seals="all"),
    Format("png_rgba", ".png", _picture("RGBA"), 33, seals="all"),
    Format("bmp", ".bmp", _picture("L"), 54),
    Format("bmp_rgb", ".bmp", _picture("RGB"), 54),
    Format("jpeg", ".jpg", _picture("L"), 200),
    Format("jpeg_rgb", ".jpg", _picture("RGB"), 300),
)


def change(kind: Format, random: Random, path: Path, others: dict[str, bytes]) -> Change:
    """Change a copy of a good file. others: another good file of the format, by ending: what it is spliced with."""
    ending = kind.beside if kind.beside and random.random() < 0.25 else kind.ending
    place = path if ending == kind.ending else path.with_suffix(ending)
    data, other = place.read_bytes(), others[ending]
    if ending == kind.beside or not (kind.packed or kind.text_ends or kind.name.startswith("png")):
        data, words = _cut_or_spliced(random, data, other, 0 if ending == kind.beside else kind.header_bytes)
        sealed = False
    elif kind.packed and random.random() < 0.6:
        data, words = _cut_or_spliced(random, gzip.decompress(data), gzip.decompress(other), kind.header_bytes)
        data, sealed, words = gzip.compress(data, 1, mtime=0), False, f"in the unpacked data: {words}"
    elif kind.text_ends and random.random() < 0.7:
        data, words = changed_text(random, data, kind.text_ends)
        sealed = False
    elif kind.name.startswith("png") and random.random() < 0.4:
        data, words, sealed = *_changed_chunk(random, data), False
    else:
        data, words = _cut_or_spliced(random, data, other, 0)
        sealed = kind.seals == "all"
    place.write_bytes(data)
    return Change(f"{place.name}: {words}", sealed)


def _cut_or_spliced(random: Random, data: bytes, other: bytes, header_bytes: int) -> tuple[bytes, str]:
    return spliced(random, data, other) if random.random() < 0.1 else changed_bytes(random, data, header_bytes)


def _changed_chunk(random: Random, data: bytes) -> tuple[bytes, str]:
    """Change what is in a chunk of a PNG and give it the right CRC; or take a chunk away, double it, or move it."""
    parts, place = [], len(PNG_MAGIC)
    while place < len(data):
        size = struct.unpack_from(">I", data, place)[0]
        parts.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    number = random.randrange(len(parts))
    name, content = parts[number]
    doing = random.choice(("change", "change", "change", "remove", "double", "move"))
    if doing == "change":
        content, words = changed_bytes(random, content)
        parts[number] = (name, content)
    else:
        words = f"{doing}d"
        parts[number : number + 1] = [] if doing == "remove" else [parts[number]] * 2 if doing == "double" else []
        if doing == "move":
            parts.insert(random.randrange(len(parts) + 1), (name, content))
    return PNG_MAGIC + b"".join(png_chunk(*part) for part in parts), f"chunk {name!r}, with the right CRC: {words}"
