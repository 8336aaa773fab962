"""Changes to bytes and to headers of text: what breaks, what lies, and what is only odd."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

HOSTILE_NUMBERS = (
    "-1",
    "0",
    "1",
    "2",
    "3",
    "7",
    "1e308",
    "-1e308",
    "2147483647",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "nan",
    "inf",
    "-inf",
    "0.5",
    "1e-320",
    "²",
    "1_0",
    "0x10",
    "",
    "9" * 5000,
)
HOSTILE_INTEGERS = (-(2**31), -1, 0, 1, 2, 3, 255, 256, 4097, 32767, 65535, 65536, 2**20, 2**30, 2**31 - 1, 2**31, 2**32 - 1)
HOSTILE_FLOATS = (-1.0, 0.0, 1e-30, 0.5, 352.5, 1e9, 3e38, float("inf"), float("-inf"), float("nan"))
HOSTILE_TEXTS = (
    "raw",
    "gzip",
    "bzip2",
    "hex",
    "txt",
    "True",
    "False",
    "LOCAL",
    "LIST",
    "/dev/zero",
    "/etc/passwd",
    "../x",
    "MET_CHAR",
    "MET_DOUBLE",
    "double",
    "block",
    "uchar",
    "%s%n",
    "\0",
    "é",
    "(",
    ")",
    '"',
    "(1,0",
    "none",
    ":",
    "=",
    "#",
)

Bytes = Callable[[Random, bytes], tuple[bytes, str]]


def flip_bits(random: Random, data: bytes) -> tuple[bytes, str]:
    """Return the data with one to eight bits turned, and what was done, as all functions here do."""
    changed = bytearray(data)
    places = [random.randrange(8 * len(data)) for _ in range(random.choice((1, 1, 1, 2, 8)))]
    for place in places:
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed), f"bits {places} turned"


def set_byte(random: Random, data: bytes) -> tuple[bytes, str]:
    """Set one byte, mostly to an end of its range."""
    place, value = random.randrange(len(data)), random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
    return data[:place] + bytes([value]) + data[place + 1 :], f"byte {place} set to {value}"


def set_number(random: Random, data: bytes) -> tuple[bytes, str]:
    """Set an aligned number of 2, 4 or 8 bytes to a hostile value."""
    form = random.choice(("h", "i", "q", "f", "d"))
    order = random.choice("<>")
    size = struct.calcsize(order + form)
    value = random.choice(HOSTILE_FLOATS if form in "fd" else HOSTILE_INTEGERS)
    if isinstance(value, int):
        value = (value + 2 ** (8 * size - 1)) % 2 ** (8 * size) - 2 ** (8 * size - 1)
    packed = struct.pack(order + form, value) if form != "f" else struct.pack(order + "f", min(max(value, -3e38), 3e38))
    place = random.randrange(0, max(1, len(data) - size + 1), 2)
    return data[:place] + packed + data[place + size :], f"{order}{form} at {place} set to {value}"


def truncate(random: Random, data: bytes) -> tuple[bytes, str]:
    """Cut the end off."""
    end = random.choice((random.randrange(len(data)), len(data) - 1, len(data) - random.randrange(1, min(16, len(data)) + 1)))
    return data[:end], f"cut to {end} bytes"


def append(random: Random, data: bytes) -> tuple[bytes, str]:
    """Put bytes behind the end."""
    count = random.choice((1, 4, 100, 10_000, 1_000_000))
    tail = bytes(count) if random.random() < 0.5 else random.randbytes(count)
    return data + tail, f"{count} bytes appended"


def repeat_block(random: Random, data: bytes) -> tuple[bytes, str]:
    """Repeat a part."""
    start, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[start:], f"bytes {start} to {end} repeated"


def remove_block(random: Random, data: bytes) -> tuple[bytes, str]:
    """Take a part away."""
    start = random.randrange(len(data))
    end = min(len(data), start + random.choice((1, 2, 4, 16, 64, random.randrange(len(data)) + 1)))
    return data[:start] + data[end:], f"bytes {start} to {end} removed"


ANYWHERE: tuple[Bytes, ...] = (flip_bits, flip_bits, set_byte, set_number, truncate, append, repeat_block, remove_block)
IN_PLACE: tuple[Bytes, ...] = (flip_bits, set_byte, set_number, set_number)


def changed_bytes(random: Random, data: bytes, header_bytes: int = 0) -> tuple[bytes, str]:
    """Return data after one change, half the time within its first bytes. header_bytes: how many these are."""
    if not data:
        return b"\0", "a byte where there was none"
    if header_bytes and random.random() < 0.5:
        head, words = random.choice(IN_PLACE)(random, data[:header_bytes])
        return head + data[header_bytes:], words
    return random.choice(ANYWHERE)(random, data)


def spliced(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """Return the start of one file and the end of another."""
    cut, other_cut = random.randrange(len(data)), random.randrange(len(other))
    other_cut = random.choice((other_cut, min(cut, len(other))))
    return data[:cut] + other[other_cut:], f"bytes from {cut} replaced by another file's from {other_cut}"


def changed_text(random: Random, data: bytes, ends: Sequence[bytes]) -> tuple[bytes, str]:
    """Return data whose header of text lines was changed. ends: texts of which the first that is found ends the header."""
    end = next((data.index(mark) + len(mark) for mark in ends if mark in data), len(data))
    lines = data[:end].decode("latin-1").split("\n")
    number = random.randrange(len(lines))
    lines, words = random.choice(
        (_other_number, _other_number, _other_number, _other_word, _long_line, _without, _twice, _swapped)
    )(random, lines, number)
    return "\n".join(lines).encode("utf-8" if random.random() < 0.1 else "latin-1", "replace") + data[end:], words


def _other_number(random: Random, lines: list[str], number: int) -> tuple[list[str], str]:
    with_numbers = [place for place, line in enumerate(lines) if re.search(r"\d", line)]
    if not with_numbers:
        return _other_word(random, lines, number)
    place = random.choice(with_numbers)
    found = random.choice(list(re.finditer(r"-?\d+(\.\d+)?(e[+-]?\d+)?", lines[place])))
    text = random.choice(HOSTILE_NUMBERS)
    line = lines[place][: found.start()] + text + lines[place][found.end() :]
    return [*lines[:place], line, *lines[place + 1 :]], f"line {place} reads {line[:80]!r}"


def _other_word(random: Random, lines: list[str], number: int) -> tuple[list[str], str]:
    words = re.split(r"([ =:]+)", lines[number])
    words[random.randrange(len(words))] = random.choice(HOSTILE_TEXTS)
    line = "".join(words)
    return [*lines[:number], line, *lines[number + 1 :]], f"line {number} reads {line!r}"


def _long_line(random: Random, lines: list[str], number: int) -> tuple[list[str], str]:
    count, letter = random.choice((300, 2000, 2100, 10_000, 100_000)), random.choice("1 a(-.,\t")
    line = random.choice((lines[number] + letter * count, letter * count, lines[number] + " " + "1 " * (count // 2)))
    return [*lines[:number], line, *lines[number + random.randrange(2) :]], f"line {number} is {len(line)} characters long"


def _without(random: Random, lines: list[str], number: int) -> tuple[list[str], str]:
    return [*lines[:number], *lines[number + 1 :]], f"line {number} removed"


def _twice(random: Random, lines: list[str], number: int) -> tuple[list[str], str]:
    return [*lines[: number + 1], *lines[number:]], f"line {number} doubled"


def _swapped(random: Random, lines: list[str], number: int) -> tuple[list[str], str]:
    other, lines = random.randrange(len(lines)), list(lines)
    lines[number], lines[other] = lines[other], lines[number]
    return lines, f"lines {number} and {other} swapped"
