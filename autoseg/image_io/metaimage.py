"""The header of MetaImage files, taken apart and checked here before any library sees it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image_io.checks import not_an_image
from autoseg.image_io.stored import (
    DEFLATE,
    FROM_THE_END,
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

DTYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}
NUMBERS = {  # by field: how many there are, of n axes
    "Offset": 1, "Position": 1, "Origin": 1, "CenterOfRotation": 1, "ElementSpacing": 1, "ElementSize": 1,
    "TransformMatrix": 2, "Rotation": 2, "Orientation": 2,
}
FLAGS = ("BinaryData", "CompressedData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
USED = {*NUMBERS, *FLAGS, "ObjectType", "ObjectSubType", "NDims", "DimSize", "ElementType", "ElementNumberOfChannels",
        "HeaderSize", "CompressedDataSize", "ElementDataFile", "AnatomicalOrientation", "DistanceUnits"}
LAST = re.compile(rb"(?:^|\n)[ \t]*ElementDataFile[ \t]*[=:][^\n]*(?:\n|$)")


def parse(path: Path, file: BinaryIO) -> Stored:
    """Return what the header says. Raises AutosegError where a field contradicts another, or is out of bounds."""
    header, first_byte = _header(path, file)
    fields = _fields(path, header.decode("utf-8", "surrogateescape").splitlines())
    missing = {"NDims", "DimSize", "ElementType"} - fields.keys()
    if missing or fields.get("ObjectType", "Image") != "Image":
        raise refused(path, f"it has no {', '.join(sorted(missing))}" if missing else "it is no image")
    axes = whole_number_of(path, "NDims", fields["NDims"], 1, MOST_AXES)
    sizes = whole_numbers_of(path, "DimSize", fields["DimSize"])
    if len(sizes) != axes:
        raise refused(path, f"it has {axes} axes, but {len(sizes)} sizes")
    channels = whole_number_of(path, "ElementNumberOfChannels", fields.get("ElementNumberOfChannels", "1"), 1, 2**31)
    skip_bytes = whole_number_of(path, "HeaderSize", fields.get("HeaderSize", "0"), FROM_THE_END, LARGEST_SKIP)
    encoding = _encoding(path, fields)
    if skip_bytes == FROM_THE_END and encoding != RAW:
        raise refused(path, "a HeaderSize of -1 needs voxels that are not packed")
    files = _files(path, fields["ElementDataFile"], header, file, first_byte)
    packed = fields.get("CompressedDataSize", "0")
    return Stored(
        sizes=(channels, *sizes) if channels > 1 else sizes, components_axis=0 if channels > 1 else None,
        dtype=_dtype(path, fields), encoding=encoding, files=files,
        first_byte=(max(skip_bytes, 0) if files else first_byte), skip_lines=0,
        skip_bytes=skip_bytes if skip_bytes < 0 or not files else 0,
        packed_bytes=(whole_number_of(path, "CompressedDataSize", packed, 0, 2**62) or None) if encoding == DEFLATE else None,
        geometry=_geometry(path, fields, axes, channels),
    )


def _header(path: Path, file: BinaryIO) -> tuple[bytes, int]:
    """Return the header, to the end of its last field, and where that is."""
    file.seek(0)
    start = file.read(1 << 14)
    end = LAST.search(start)
    if not end and len(start) == 1 << 14:
        start += file.read(LARGEST_HEADER)
        end = LAST.search(start)
    if not end:
        raise not_an_image(path, "a MetaImage (it is truncated, or something else): it has no ElementDataFile, or", start)
    return start[: end.end()], end.end()


def _fields(path: Path, lines: list[str]) -> dict[str, str]:
    """Return the fields that are used by name; others are notes of the program that wrote the file."""
    fields: dict[str, str] = {}
    for number, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, sign, value = map(str.strip, re.split(r"([=:])", line, maxsplit=1)) if re.search("[=:]", line) else (line, "", "")
        if name not in USED and sign:
            continue
        if not sign or len(line) > LONGEST_FIELD:
            raise refused(path, f"line {number + 1} begins with {line[:40]!r} and has {len(line)} characters")
        if fields.get(name, value) != value:
            raise refused(path, f'"{name}" is there twice')
        fields[name] = value
    return fields


def _is(path: Path, fields: dict[str, str], name: str, otherwise: str = "False") -> bool:
    value = fields.get(name, otherwise)
    if value[:1].lower() not in ("t", "f", "1", "0", "y", "n"):
        raise refused(path, f'"{name}" is {value[:40]!r}, but True or False was expected')
    return value[0].lower() in ("t", "1", "y")


def _encoding(path: Path, fields: dict[str, str]) -> str:
    if _is(path, fields, "CompressedData"):
        return DEFLATE
    return RAW if _is(path, fields, "BinaryData", "True") else TEXT


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype:
    name = DTYPES.get(fields["ElementType"].removesuffix("_ARRAY"))
    if name is None:
        raise AutosegError(f"{path} holds voxels of type {fields['ElementType'][:40]!r}, but numbers were expected. Convert it.")
    orders = {_is(path, fields, order) for order in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB") if order in fields}
    if len(orders) > 1:
        raise refused(path, "BinaryDataByteOrderMSB and ElementByteOrderMSB contradict each other")
    return np.dtype((">" if True in orders else "<") + name)


def _files(path: Path, value: str, header: bytes, file: BinaryIO, first_byte: int) -> tuple[Path, ...]:
    """Return the files of voxels that are named: one, a list, or a pattern with first and last number; none for LOCAL."""
    words = value.split()
    if value.upper() == "LOCAL":
        return ()
    if words and words[0].upper() == "LIST":
        file.seek(first_byte)
        lines = file.read(LARGEST_HEADER).decode("utf-8", "surrogateescape").splitlines()
        return data_files(path, [line.strip() for line in lines if line.strip()] or [""])
    if "%" in value and len(words) >= 3:
        first, last, step = whole_numbers_of(path, "ElementDataFile", " ".join([*words[1:], "1"][:3]), -(10**9))
        return numbered_files(path, words[0], first, last, step)
    return data_files(path, [value])


def _geometry(path: Path, fields: dict[str, str], axes: int, channels: int) -> str:
    """Return a header of binary voxels with the same sizes and place, every word of it checked."""
    lines = ["ObjectType = Image", f"NDims = {axes}", "BinaryData = True", "BinaryDataByteOrderMSB = False"]
    for name, power in NUMBERS.items():
        if name in fields:
            words = fields[name].split()
            if len(words) != axes**power or not all(NUMBER.fullmatch(word) for word in words):
                raise refused(path, f'"{name}" is {fields[name][:80]!r}, but {axes**power} numbers were expected')
            lines.append(f"{name} = {' '.join(words)}")
    for name in ("AnatomicalOrientation", "DistanceUnits"):
        if name in fields and re.fullmatch(r"[A-Za-z?]{1,8}", fields[name]):
            lines.append(f"{name} = {fields[name]}")
    if channels > 1:
        lines.append(f"ElementNumberOfChannels = {channels}")
    return "\n".join([*lines, f"DimSize = {' '.join(fields['DimSize'].split())}",
                      f"ElementType = {fields['ElementType'].removesuffix('_ARRAY')}", "ElementDataFile = LOCAL", ""])
