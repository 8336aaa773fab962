"""The one exception that reaches a user: it says what was found, what was expected, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AutosegError(Exception):
    """An error that the user's data, flags or disk caused.

    The message is one or more full sentences: what was found, what was expected, what to do, with the case and file.
    Commands print it without a traceback and exit with 1.
    """


def some(names: Iterable[object], most: int = 5) -> str:
    """Return the first of many names, as a message lists them: "a, b, c, d, e, ..."."""
    texts = [str(name) for name in names]
    return ", ".join(texts[:most]) + (", ..." if len(texts) > most else "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ' Did you mean "default"?', with a space before it, for a name that is nearly one of those known; else ""."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f' Did you mean "{by_lower[near[0]]}"?' if near else ""


def many(count: int, noun: str) -> str:
    """Return a number with its noun: "1 case", "2 cases"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
