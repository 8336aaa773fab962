"""Text for terminals and log files that are not UTF-8 (Windows' code pages, ASCII): no character stops a command."""

from __future__ import annotations

import codecs
import sys
from io import TextIOWrapper

ASCII = {
    "→": ">", "×": "x", "∪": "+", "·": "-", "–": "-", "−": "-", "—": "-", "…": "~", "∞": "inf", "\u00a0": " ",
    "°": " deg", "±": "+-", "²": "2", "³": "3", "≥": ">=", "≤": "<=", "≈": "~", "µ": "u", "μ": "u",
}
"""What stands for our own marks; one character where tables hold them, so that columns line up."""


def allow_any_encoding() -> None:
    """Let stdout and stderr of this process write every text, whatever their encoding.

    Our own marks (→, ×, ...) become ASCII where the encoding lacks them; other characters, also of undecodable file names, become
    escapes such as \\xfc. A stream that is no text file (a notebook's) stays as it is. May be called again.
    """
    codecs.register_error(__name__, _replacement)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "backslashreplace"):
            stream.reconfigure(errors=__name__)


def _replacement(error: UnicodeError) -> tuple[str, int]:
    """Return ASCII for the characters that could not be encoded, and where to go on; codecs calls it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    marks = error.object[error.start:error.end]
    return "".join(ASCII.get(mark) or mark.encode("ascii", "backslashreplace").decode("ascii") for mark in marks), error.end
