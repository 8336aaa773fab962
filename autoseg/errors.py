"""The one exception that reaches a user: it says what was found, what was expected, and what to do."""

from __future__ import annotations


class AutosegError(Exception):
    """Something that the user's data, flags or disk caused.

    The message is one or more full sentences: what was found, what was expected, what to do, with the case and file.
    Commands print it without a traceback and exit with 1.
    """
