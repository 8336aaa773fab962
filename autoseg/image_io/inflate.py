"""Gzip, unpacked straight into an array: a volume is never held twice."""

from __future__ import annotations

import zlib
from typing import BinaryIO

GZIP_MAGIC = b"\x1f\x8b"
LARGEST_RATIO = 1032  # deflate cannot unpack a byte to more than this
INPUT_BYTES = 1 << 18
OUTPUT_BYTES = 1 << 20


class GzipReader:
    """Reads a gzip stream of one or more members; what follows the last one is ignored.

    Raises zlib.error where the data or their checksum are wrong, EOFError where they end too early.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._member = zlib.decompressobj(wbits=31)
        self._packed = b""

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` (bytes) and return how many there were: fewer than asked for only at the end of the data."""
        filled = 0
        while filled < len(buffer):
            piece = self._next(min(len(buffer) - filled, OUTPUT_BYTES))
            if not piece:
                break
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def finish(self) -> None:
        """Unpack what is left of the current member, so that its checksum is compared."""
        while not self._member.eof:
            if not self._next(OUTPUT_BYTES) and not self._member.eof:
                raise EOFError("the compressed data end too early")

    def _next(self, limit: int) -> bytes:
        """Return at most `limit` bytes; none at the end of the data."""
        while True:
            self._packed = self._packed or self._file.read(INPUT_BYTES)
            if self._member.eof:
                if not self._packed.startswith(GZIP_MAGIC):
                    return b""
                self._member = zlib.decompressobj(wbits=31)
            at_end = not self._packed
            piece = self._member.decompress(self._packed, limit)
            self._packed = self._member.unconsumed_tail or self._member.unused_data
            if piece or at_end:
                return piece
