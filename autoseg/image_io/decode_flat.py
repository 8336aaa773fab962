"""PNG, BMP and JPEG by pillow, in the process that reads files with other people's C code."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from autoseg.errors import AutosegError
from autoseg.image_io import jpeg, png
from autoseg.image_io.checks import damaged, not_an_image, truncated
from autoseg.image_io.foreign_process import Shared, allow, load, named, shared
from autoseg.image_io.opening import check_announced, file_bytes, open_regular

FORMATS = ("PNG", "BMP", "JPEG")
DTYPES = {"I;16": np.uint16, "I;16B": np.uint16, "I;16L": np.uint16, "I": np.int32, "F": np.float32}
SCALE_OF_BITS = {2: 85, 4: 17}  # factor by which pillow multiplies gray values, by their number of bits
PALETTES = ("P", "PA")
GRAY = ("1", "L", "LA", "La", *DTYPES)
RUN_RATIO = 2**15  # of pixels to a byte: runs in BMP may skip 255 × 255 pixels in 4 bytes
BMP_PROFILE_HEADER = 124  # a header of this many bytes may announce a colour profile behind the pixels


def form(path: Path) -> tuple[dict[str, int], None]:
    """Return channels, height, width and itemsize of what `pixels` gives; only the header is read, unless it has a palette."""
    with open_regular(path) as file, _opened(path, file, file) as picture:
        bits, _ = _png_bits(file)
        itemsize = 2 if bits == 16 else np.dtype(DTYPES.get(picture.mode, np.uint8)).itemsize
        channels = 1 if picture.mode in GRAY else 3
        if picture.mode in PALETTES:
            channels = _channels(path, _whole(path, file))
        return {"channels": channels, "height": picture.height, "width": picture.width, "itemsize": itemsize}, None


def pixels(path: Path, entries: bool) -> tuple[dict[str, Any], Shared]:
    """Return the pixels (C, 1, Y, X): C is 1 for gray, 3 for colour. entries: of a palette, its numbers, not its colours."""
    with open_regular(path) as file, _whole(path, file) as picture:
        bits, gray = _png_bits(file)
        _load(path, picture)
        if picture.mode in PALETTES:
            _check_palette(path, picture)
        if entries and picture.mode in PALETTES:
            return {}, shared(_pixels(path, picture, 1, bits, gray))
        channels = _channels(path, picture)
        if bits == 16 and not gray:  # pillow would cut them down to 8 bits
            return {}, shared(_deep_colour(path, png.checked(path, _content(file)))[:channels])
        if picture.mode in PALETTES:
            picture = picture.convert("RGB" if channels == 3 else "L")
        return {}, shared(_pixels(path, picture, channels, bits, gray))


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _whole(path: Path, file: BinaryIO) -> Pillow.Image:
    """Return the picture, whose file is compared with its checksums and its announced size first."""
    file.seek(0)
    check_announced(path, file_bytes(file), file_bytes(file))
    if file.read(len(png.MAGIC)) != png.MAGIC:
        _opened(path, file, file)  # is its size possible?
    content = _content(file)
    if content.startswith(png.MAGIC):
        return _opened(path, file, io.BytesIO(png.checked(path, content)))
    picture = _opened(path, file, io.BytesIO(content))
    if content.startswith(jpeg.MAGIC):
        _load(path, picture)
        jpeg.check(path, content)
    return picture


def _opened(path: Path, file: BinaryIO, content: BinaryIO) -> Pillow.Image:
    content.seek(0)
    try:
        picture = Pillow.open(content, formats=FORMATS)
    except UnidentifiedImageError as error:
        file.seek(0)
        raise not_an_image(path, "a PNG, BMP or JPEG image", file.read(12)) from error
    except Pillow.DecompressionBombError as error:
        raise AutosegError(f"{path} is larger than this format is read ({error}). Store it as TIFF.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(path, error) from error
    size, held = picture.width * picture.height, file_bytes(file)
    ratio = {"PNG": 8 * png.LARGEST_RATIO, "BMP": RUN_RATIO}.get(str(picture.format), jpeg.LARGEST_RATIO)
    check_announced(path, size, held, ratio, copies=0)
    check_announced(path, bytes_held := size * 4, bytes_held, copies=4)
    allow(size * 4)
    if picture.format == "BMP":
        _check_bmp(path, content, picture, held)
    content.seek(0)
    return picture


def _check_bmp(path: Path, content: BinaryIO, picture: Any, held: int) -> None:
    """Raise AutosegError where a BMP that is not packed holds more rows than it announces."""
    decoder, _, first_byte, options = picture.tile[0]
    content.seek(14)
    has_profile = int.from_bytes(content.read(4), "little") == BMP_PROFILE_HEADER
    if decoder == "raw" and not has_profile and held >= first_byte + options[1] * (picture.height + 1):
        raise damaged(path, f"it holds more than the {picture.height} rows of {picture.width} pixels that its header announces")


def _check_palette(path: Path, picture: Pillow.Image) -> None:
    """Raise AutosegError where a pixel is the number of a colour that the palette does not have."""
    last, colours = int(np.asarray(picture.getchannel(0)).max()), len(picture.getpalette("RGB") or []) // 3
    if last >= colours:
        raise damaged(path, f"its pixels are numbers of colours up to {last}, but its palette has {colours} of them")


def _channels(path: Path, picture: Pillow.Image) -> int:
    """Return 1 for gray pictures and gray palettes, else 3."""
    if picture.mode in GRAY:
        return 1
    if picture.mode not in PALETTES:
        return 3
    _load(path, picture)
    colours = np.reshape(picture.getpalette("RGB") or [], (-1, 3))
    return 1 if (colours == colours[:, :1]).all() else 3


def _pixels(path: Path, picture: Pillow.Image, channels: int, bits: int, gray: bool) -> np.ndarray:
    """Return (3, 1, Y, X) of colours, or (1, 1, Y, X) of gray values or a palette's indices."""
    _load(path, picture)
    if channels == 3:
        return np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)[:, None]
    array = np.asarray(picture.getchannel(0) if picture.mode in ("LA", "La", "PA") else picture)
    if gray and bits in SCALE_OF_BITS:
        array = array // SCALE_OF_BITS[bits]
    if picture.mode == "1" or (gray and bits == 16):
        array = array.astype(np.uint16 if bits == 16 else np.uint8)
    return array[None, None]


def _load(path: Path, picture: Pillow.Image) -> None:
    try:
        picture.load()
    except (OSError, SyntaxError, ValueError, IndexError, struct.error, zlib.error) as error:
        raise truncated(path, f"its pixels cannot be read to their end ({error})") from error


def _png_bits(file: BinaryIO) -> tuple[int, bool]:
    """Return the bits per sample, and whether a pixel is one gray sample; (8, False) for other formats."""
    file.seek(0)
    start = file.read(26)
    return (start[24], start[25] == 0) if start.startswith(png.MAGIC) and len(start) == 26 else (8, False)


def _deep_colour(path: Path, content: bytes) -> np.ndarray:
    with named(content) as name:
        return np.moveaxis(load("decode_itk").pixels(path, name, "PNGImageIO"), -1, 0)[:, None]
