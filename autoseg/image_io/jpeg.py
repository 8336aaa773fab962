"""A check that a JPEG holds all that it announces: libjpeg fills what is missing with gray and passes over what is left."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from autoseg.image_io.checks import damaged, truncated

MAGIC = b"\xff\xd8"
LARGEST_RATIO = 2**13  # pixels to a byte: a block of 32 × 32 pixels takes a bit or more
SCALES = (8, 4, 2, 1)  # libjpeg's; narrow pictures cannot be made as small
SIZES = (0xC0, 0xC1, 0xC2)  # segments that announce the size of pictures by Huffman's code
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
PROGRESSIVE, SCAN, END = 0xC2, 0xDA, 0xD9
UNITS_MORE, TALLEST = 16, 65500
FEW_UNITS = 4  # rows of code in pictures so small that a third reading costs nothing
FILLER = bytes(31 + number * 97 % 211 for number in range(256))  # code of blocks that are not gray
FILLED = 128  # what libjpeg makes of missing pixels


@dataclass(frozen=True)
class _Places:
    """Offsets of the height (two bytes), of the markers after the first scan and at the end; size; size of a unit of code."""

    height: int
    scan_end: int
    end: int
    rows: int
    columns: int
    unit_rows: int
    unit_columns: int
    units_of_last_bits: int
    """How many units up to seven bits, which fill the last byte, can change."""

    @property
    def scale(self) -> int:
        """Return how many times smaller the picture of more rows is read."""
        return next(scale for scale in SCALES if scale <= self.columns)

    def rows_more(self) -> int:
        """Return the rows of at least `UNITS_MORE` units of code, and at least four such rows."""
        across = -(-self.columns // self.unit_columns)
        return self.unit_rows * max(4, -(-UNITS_MORE // across))


def check(path: Path, content: bytes) -> None:
    """Raise AutosegError where the picture holds fewer or more pixels than it announces; content: a picture that can be read.

    It is read again, up to eight times smaller, with more rows announced: exactly these must come out as libjpeg's filling.
    Zero bytes before the end are taken for padding.
    """
    places = _places(content)
    if places is None or (more := places.rows_more()) + places.rows > TALLEST:
        return
    units = -(-places.rows // places.unit_rows)
    tall = _small(_with_rows(content, places, units * places.unit_rows + more))
    last = (places.rows - 1) // places.scale
    suspicious = bool((tall[last, -1] == tall[-1, -1]).all()) or places.units_of_last_bits > 1 or units <= FEW_UNITS
    if suspicious and not np.array_equal(
            _small(content), _small(content[: places.scan_end] + FILLER + content[places.scan_end :])):
        raise truncated(path, f"it holds fewer pixels than the {places.columns} × {places.rows} that it announces")
    if _has_more(tall, units, places):
        bare = content[: places.end].rstrip(b"\0")
        padded = content[:places.end] != bare and bare[-1:] != b"\xff"
        shortened = _with_rows(bare, places, units * places.unit_rows + more) + content[places.end :]
        if not padded or _has_more(_small(shortened), units, places):
            raise damaged(path, f"it holds more pixels than the {places.columns} × {places.rows} that it announces")


def _has_more(tall: np.ndarray, units: int, places: _Places) -> bool:
    """Tell whether more units below the picture's end were filled from data than the last bits of the code can fill."""
    below = tall[units * places.unit_rows // places.scale :]
    differing = int((below != (FILLED if below.shape[-1] == 1 else below[-1, -1])).any(axis=-1).sum())
    seen = (places.unit_rows // places.scale) * -(-min(places.unit_columns, places.columns) // places.scale)
    return differing > places.units_of_last_bits * seen


def _with_rows(content: bytes, places: _Places, rows: int) -> bytes:
    return content[: places.height] + rows.to_bytes(2, "big") + content[places.height + 2 :]


def _small(content: bytes) -> np.ndarray:
    """Return the means of blocks of up to 8 × 8 pixels, as (rows, columns, channels)."""
    with Pillow.open(io.BytesIO(content), formats=("JPEG",)) as picture:
        picture.draft("L" if picture.mode in ("L", "RGB") else None, (1, 1))
        array = np.asarray(picture)
    return array.reshape(*array.shape[:2], -1)


def _places(content: bytes) -> _Places | None:
    """Return the places in the first picture of the file; none where it is of another code, or has no end."""
    size: tuple[int, ...] | None = None
    place, scan_end, in_scan = len(MAGIC), 0, False
    while (match := MARKER.search(content, place)) is not None:
        kind, place = content[match.start() + 1], match.end()
        if kind == END:
            return _Places(size[0], scan_end or match.start(), match.start(), *size[1:]) if size else None
        if in_scan and not scan_end:
            scan_end = match.start()
        in_scan = kind == SCAN
        segment = content[place : place + 2 + 255]
        if kind in range(0xC0, 0xD0) and kind not in (0xC4, 0xC8, 0xCC):
            if kind not in SIZES or len(segment) < 8 or not all(segment[9 + 3 * n] for n in range(segment[7])):
                return None
            factors = [divmod(segment[9 + 3 * n], 16) for n in range(segment[7])]
            across, down = (max(f[axis] for f in factors) for axis in (0, 1)) if len(factors) > 1 else (1, 1)
            size = (place + 3, int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[5:7], "big"), 8 * down, 8 * across,
                    8 if kind == PROGRESSIVE else 1)
        place += max(2, int.from_bytes(segment[:2], "big"))
    return None
