"""PNG, BMP and JPEG: one slice, gray or colour, of 1 mm pixels (these formats say nothing of millimetres)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autoseg.errors import AutosegError
from autoseg.files import atomic_path
from autoseg.image import Geometry, Image
from autoseg.image_io.foreign import ask

GEOMETRY = Geometry((1.0, 1.0, 1.0), has_direction=False)


def read(path: Path, file: BinaryIO) -> Image:
    """Read an array (C, 1, Y, X): C is 1 for gray, 3 for colour. Transparency is left out, palettes are looked up."""
    _, array = ask("decode_flat", "pixels", path, entries=False)
    return Image(array, GEOMETRY)


def read_label(path: Path, file: BinaryIO) -> Image:
    """Read an array (C, 1, Y, X) as `read` does, but from a picture with a palette the entries' numbers, not their colours."""
    _, array = ask("decode_flat", "pixels", path, entries=True)
    return Image(array, GEOMETRY)


def read_geometry(path: Path, file: BinaryIO) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return (C, 1, Y, X), geometry and bytes per pixel and channel of what `read` gives; only the header is read."""
    form, _ = ask("decode_flat", "form", path)
    return (form["channels"], 1, form["height"], form["width"]), GEOMETRY, form["itemsize"]


def write(path: Path, array: np.ndarray, like: Image) -> None:
    """Write `array` (C, 1, Y, X): uint8 (PNG: also uint16), one channel, or three of uint8."""
    from PIL import Image as Pillow

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
