"""PNG, BMP and JPEG: one slice, gray or colour, of 1 mm pixels (these formats say nothing of millimetres)."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from autoseg.errors import AutosegError
from autoseg.files import atomic_path
from autoseg.image import Geometry, Image
from autoseg.image_io.checks import damaged, not_an_image, truncated

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
GEOMETRY = Geometry((1.0, 1.0, 1.0), has_direction=False)
DTYPES = {"I;16": np.uint16, "I;16B": np.uint16, "I;16L": np.uint16, "I": np.int32, "F": np.float32}
SCALE_OF_BITS = {2: 85, 4: 17}  # factor by which pillow multiplies gray values, by their number of bits
PALETTES = ("P", "PA")
GRAY = ("1", "L", "LA", "La", *DTYPES)


def read(path: Path) -> Image:
    """Read an array (C, 1, Y, X): C is 1 for gray, 3 for colour. Transparency is left out, palettes are looked up."""
    with _open(path) as picture:
        channels = _channels(path, picture)
        if _is_deep_colour(path):
            return Image(_read_deep_colour(path)[:channels], GEOMETRY)
        if picture.mode in PALETTES:
            picture = picture.convert("RGB" if channels == 3 else "L")
        return Image(_pixels(path, picture, channels), GEOMETRY)


def read_label(path: Path) -> Image:
    """Read an array (C, 1, Y, X) as `read` does, but from a picture with a palette the entries' numbers, not their colours."""
    with _open(path) as picture:
        if picture.mode in PALETTES:
            return Image(_pixels(path, picture, 1), GEOMETRY)
    return read(path)


def read_geometry(path: Path) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return (C, 1, Y, X), geometry and bytes per pixel and channel of what `read` gives; only the header is read."""
    with _open(path) as picture:
        itemsize = 2 if _png_bits(path)[0] == 16 else np.dtype(DTYPES.get(picture.mode, np.uint8)).itemsize
        return (_channels(path, picture), 1, picture.height, picture.width), GEOMETRY, itemsize


def write(path: Path, array: np.ndarray, like: Image) -> None:
    """Write `array` (C, 1, Y, X): uint8 (PNG: also uint16), one channel, or three of uint8."""
    png = path.suffix.lower() == ".png"
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise AutosegError(f"{path}: JPEG changes the values that it stores. Write {path.stem}.png instead.")
    channels, slices = array.shape[:2]
    channels_that_fit = {np.dtype(np.uint8): (1, 3), np.dtype(np.uint16): (1,) if png else ()}
    if slices > 1 or channels not in channels_that_fit.get(array.dtype, ()):
        raise AutosegError(
            f"{path}: an array of shape {array.shape} (C, Z, Y, X) and type {array.dtype} does not fit into this "
            f"format. Write {path.stem}.tif or {path.stem}.nii.gz instead."
        )
    pixels = np.ascontiguousarray(array[0, 0] if channels == 1 else np.moveaxis(array[:, 0], 0, -1))
    packed = io.BytesIO()  # pillow's own writing of BMP does not notice a full disk
    Pillow.fromarray(pixels).save(packed, format="PNG" if png else "BMP")
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed.getbuffer())


def _open(path: Path) -> Pillow.Image:
    try:
        return Pillow.open(path)
    except UnidentifiedImageError as error:
        with open(path, "rb") as file:
            raise not_an_image(path, "a PNG, BMP or JPEG image", file.read(12)) from error
    except Pillow.DecompressionBombError as error:
        raise AutosegError(f"{path} is larger than this format is read ({error}). Store it as TIFF.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(path, error) from error


def _channels(path: Path, picture: Pillow.Image) -> int:
    """Return 1 for gray pictures and gray palettes, else 3."""
    if picture.mode in GRAY:
        return 1
    if picture.mode not in PALETTES:
        return 3
    _load(path, picture)
    colours = np.reshape(picture.getpalette("RGB") or [], (-1, 3))
    return 1 if (colours == colours[:, :1]).all() else 3


def _pixels(path: Path, picture: Pillow.Image, channels: int) -> np.ndarray:
    """Return (3, 1, Y, X) of colours, or (1, 1, Y, X) of gray values or a palette's indices."""
    _load(path, picture)
    if channels == 3:
        return np.ascontiguousarray(np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)[:, None])
    array = np.asarray(picture.getchannel(0) if picture.mode in ("LA", "La", "PA") else picture)
    bits, gray = _png_bits(path)
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


def _png_bits(path: Path) -> tuple[int, bool]:
    """Return the bits per sample, and whether a pixel is one gray sample; (8, False) for other formats."""
    with open(path, "rb") as file:
        start = file.read(26)
    return (start[24], start[25] == 0) if start.startswith(PNG_MAGIC) and len(start) == 26 else (8, False)


def _is_deep_colour(path: Path) -> bool:
    """Tell whether this is a PNG of 16 bits with several channels, which pillow would cut down to 8 bits."""
    bits, gray = _png_bits(path)
    return bits == 16 and not gray


def _read_deep_colour(path: Path) -> np.ndarray:
    try:
        stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="PNGImageIO"))
    except RuntimeError as error:
        raise damaged(path, str(error).strip().splitlines()[-1]) from error
    return np.ascontiguousarray(np.moveaxis(stored, -1, 0)[:, None])
