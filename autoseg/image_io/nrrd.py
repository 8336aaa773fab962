"""The header of NRRD files, taken apart and checked here before any library sees it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image_io.checks import not_an_image, truncated
from autoseg.image_io.stored import (
    DEFLATE,
    FROM_THE_END,
    HEX,
    LARGEST_HEADER,
    LARGEST_SKIP,
    LONGEST_FIELD,
    MOST_AXES,
    NUMBER,
    RAW,
    TEXT,
    Stored,
    data_files,
    numbered_files,
    refused,
    whole_number_of,
    whole_numbers_of,
)

MAGIC = re.compile(rb"NRRD000[1-5]\r?\n")
END = re.compile(rb"\r?\n\r?\n")
TYPES = {
    "i1": ("signed char", "int8", "int8_t"), "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"), "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",), "f8": ("double",),
}
DTYPES = {name: dtype for dtype, names in TYPES.items() for name in names}
NAMES = {dtype: names[-1] for dtype, names in TYPES.items()}
ENCODINGS = {"raw": RAW, "gz": DEFLATE, "gzip": DEFLATE, "txt": TEXT, "text": TEXT, "ascii": TEXT, "hex": HEX}
SYNONYMS = {
    "datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "axismins": "axis mins",
    "axismaxs": "axis maxs", "centerings": "centers", "oldmin": "old min", "oldmax": "old max", "blocksize": "block size",
    "sampleunits": "sample units",
}
NOT_USED = {"content", "number", "min", "max", "old min", "old max", "labels", "units", "sample units", "space units",
            "measurement frame"}
USED = {"type", "block size", "dimension", "sizes", "endian", "encoding", "line skip", "byte skip", "data file", "space",
        "space dimension", "space directions", "space origin", "spacings", "thicknesses", "axis mins", "axis maxs", "centers",
        "kinds"}
VALUE = rf"(?:{NUMBER.pattern}|[+-]?nan|[+-]?inf)"
VECTOR = re.compile(rf"none|\(\s*{VALUE}(?:\s*,\s*{VALUE}){{0,7}}\s*\)", re.IGNORECASE | re.ASCII)
ALONG_AXES = {name: re.compile(VALUE, re.IGNORECASE | re.ASCII) for name in ("spacings", "thicknesses", "axis mins", "axis maxs")}
ALONG_AXES["kinds"] = ALONG_AXES["centers"] = re.compile(r"[A-Za-z0-9?-]{1,40}")
DOMAIN_KINDS = ("domain", "space", "time", "none", "???")


def parse(path: Path, file: BinaryIO) -> Stored:
    """Return what the header says. Raises AutosegError where a field is unknown, contradicts another, or is out of bounds."""
    header, first_byte = _header(path, file)
    lines = header.decode("utf-8", "surrogateescape").splitlines()[1:]
    fields, names = _fields(path, lines)
    missing = {"type", "dimension", "sizes", "encoding"} - fields.keys()
    if missing:
        raise refused(path, f"it has no {', '.join(sorted(missing))}")
    axes = whole_number_of(path, "dimension", fields["dimension"], 1, MOST_AXES)
    sizes = whole_numbers_of(path, "sizes", fields["sizes"])
    if len(sizes) != axes:
        raise refused(path, f"it has {axes} axes, but {len(sizes)} sizes")
    dtype, encoding = _dtype(path, fields), ENCODINGS.get(fields["encoding"].lower())
    if encoding is None:
        raise AutosegError(f"{path} is packed as {fields['encoding'][:40]!r}, which is not read. Save it as gzip or raw.")
    skip_bytes = whole_number_of(path, "byte skip", fields.get("byte skip", "0"), FROM_THE_END, LARGEST_SKIP)
    if skip_bytes == FROM_THE_END and encoding != RAW:
        raise refused(path, "a byte skip of -1 needs raw voxels")
    files = _files(path, fields["data file"], names) if "data file" in fields else ()
    return Stored(
        sizes=sizes, components_axis=_components_axis(fields.get("kinds", "")), dtype=dtype, encoding=encoding, files=files,
        first_byte=0 if files else first_byte, skip_bytes=skip_bytes, packed_bytes=None,
        skip_lines=whole_number_of(path, "line skip", fields.get("line skip", "0"), 0, LARGEST_SKIP),
        geometry=_geometry(path, fields, axes, dtype),
    )


def _header(path: Path, file: BinaryIO) -> tuple[bytes, int]:
    """Return the header and where the voxels begin: after its first empty line."""
    file.seek(0)
    start = file.read(1 << 14)
    if not MAGIC.match(start):
        raise not_an_image(path, "an NRRD image (it is truncated, or something else)", start)
    end = END.search(start)
    if not end and len(start) == 1 << 14:
        start += file.read(LARGEST_HEADER)
        end = END.search(start)
    if not end and len(start) > LARGEST_HEADER:
        raise refused(path, f"it is longer than {LARGEST_HEADER} bytes")
    return (start[: end.start()], end.end()) if end else (start, len(start))


def _fields(path: Path, lines: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the fields by name, and the lines after "data file: LIST"."""
    fields: dict[str, str] = {}
    for number, line in enumerate(lines):
        if line.startswith("#") or ":=" in line:
            continue
        name, colon, value = line.partition(": ")
        name = SYNONYMS.get(name.strip().lower(), name.strip().lower())
        if not colon or name not in USED | NOT_USED or (len(line) > LONGEST_FIELD and name in USED):
            raise refused(path, f"line {number + 2} begins with {line[:40]!r} and has {len(line)} characters")
        if name in USED and fields.get(name, value.strip()) != value.strip():
            raise refused(path, f'"{name}" is there twice')
        fields[name] = value.strip()
        if name == "data file" and value.strip().upper().startswith("LIST"):
            return fields, [name for name in map(str.strip, lines[number + 1 :]) if name]
    return fields, []


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype:
    name = DTYPES.get(" ".join(fields["type"].lower().split()))
    if name is None:
        raise AutosegError(f"{path} holds voxels of type {fields['type'][:40]!r}, but numbers were expected. Convert it.")
    endian = fields.get("endian", "").lower()
    if endian not in ("little", "big") and (endian or (name[1] != "1" and ENCODINGS.get(fields["encoding"].lower()) != TEXT)):
        raise refused(path, f'"endian" is {endian[:40]!r}, but little or big was expected')
    return np.dtype((">" if endian == "big" else "<") + name)


def _files(path: Path, value: str, names: list[str]) -> tuple[Path, ...]:
    words = value.split()
    if words[:1] and words[0].upper() == "LIST":
        if not names:
            raise truncated(path, "it lists no files of voxels")
        return data_files(path, names)
    if "%" in value and len(words) >= 4:
        first, last, step = whole_numbers_of(path, "data file", " ".join(words[1:4]), -(10**9))
        return numbered_files(path, words[0], first, last, step)
    return data_files(path, [value])


def _components_axis(kinds: str) -> int | None:
    """Return the axis that is no part of space or time."""
    others = [axis for axis, kind in enumerate(kinds.lower().split()) if kind not in DOMAIN_KINDS]
    return others[0] if others else None


def _geometry(path: Path, fields: dict[str, str], axes: int, dtype: np.dtype) -> str:
    """Return a header of raw voxels with the same sizes and place, every word of it checked."""
    lines = ["NRRD0005", f"type: {NAMES[dtype.str[1:]]}", f"dimension: {axes}"]
    if "space" in fields:
        lines.append(f"space: {_matching(path, fields, 'space', re.compile('[A-Za-z0-9-]{1,60}'), 1)[0]}")
    if "space dimension" in fields:
        lines.append(f"space dimension: {whole_number_of(path, 'space dimension', fields['space dimension'], 1, 8)}")
    lines.append(f"sizes: {' '.join(fields['sizes'].split())}")
    for name, form in ALONG_AXES.items():
        if name in fields:
            lines.append(f"{name}: {' '.join(_matching(path, fields, name, form, axes))}")
    for name, count in (("space directions", axes), ("space origin", 1)):
        if name in fields:
            lines.append(f"{name}: {' '.join(_vectors(path, fields, name, count))}")
    return "\n".join([*lines, "endian: little", "encoding: raw", "", ""])


def _matching(path: Path, fields: dict[str, str], name: str, form: re.Pattern[str], count: int) -> list[str]:
    words = fields[name].split()
    if len(words) != count or not all(form.fullmatch(word) for word in words):
        raise refused(path, f'"{name}" is {fields[name][:80]!r}, which are not {count} values of the kind that belongs there')
    return words


def _vectors(path: Path, fields: dict[str, str], name: str, count: int) -> list[str]:
    found = [match.group() for match in VECTOR.finditer(fields[name])]
    if len(found) != count or VECTOR.sub("", fields[name]).strip():
        raise refused(path, f'"{name}" is {fields[name][:80]!r}, which are not {count} vectors')
    return ["".join(vector.split()) for vector in found]
