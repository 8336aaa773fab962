"""Gzip and zlib, unpacked straight into an array: a volume is never held twice."""

from __future__ import annotations

import zlib
from typing import BinaryIO

GZIP_MAGIC = b"\x1f\x8b"
LARGEST_RATIO = 1032  # deflate cannot unpack a byte to more than this
INPUT_BYTES = 1 << 18
OUTPUT_BYTES = 1 << 20
LARGEST_PADDING = 1 << 16  # zero bytes after the packed data: tapes and some disks fill their last block with them
GZIP, GZIP_OR_ZLIB = 31, 47


class GzipReader:
    """Reads a gzip stream of one or more members, or a zlib stream.

    Raises zlib.error where the data or their checksum are wrong, EOFError where they end too early.
    """

    def __init__(self, file: BinaryIO, wbits: int = GZIP) -> None:
        self._file = file
        self._member = zlib.decompressobj(wbits=wbits)
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
        """Compare checksums, once all data were read. Raises zlib.error where more than zero bytes of padding follows."""
        if self._next(1):
            raise zlib.error("more data than announced")
        if not self._member.eof:
            raise EOFError("the compressed data end too early")
        following = self._packed + self._file.read(LARGEST_PADDING + 1)
        if len(following) > LARGEST_PADDING or following.strip(b"\0"):
            raise zlib.error("something else follows the compressed data")

    def _next(self, limit: int) -> bytes:
        """Return at most `limit` bytes; none at the end of the data."""
        while True:
            self._packed = self._packed or self._file.read(INPUT_BYTES)
            if self._member.eof:
                if len(self._packed) == 1:
                    self._packed += self._file.read(INPUT_BYTES)
                if not self._packed.startswith(GZIP_MAGIC):
                    return b""
                self._member = zlib.decompressobj(wbits=GZIP)
            at_end = not self._packed
            piece = self._member.decompress(self._packed, limit)
            self._packed = self._member.unconsumed_tail or self._member.unused_data
            if piece or at_end:
                return piece
