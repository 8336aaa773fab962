"""The one exception that reaches a user: it says what was found, what was expected, and what to do."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

AGAIN = "Nothing that was whole is lost; run the same command again when it is mended."
REASONS = {  # of the system's errors that a user can mend
    errno.ENOSPC: f"the disk is full. {AGAIN}", errno.EDQUOT: f"the disk is full. {AGAIN}",
    errno.EACCES: "permission is denied. Check who may read and write it.",
    errno.EPERM: "permission is denied. Check who may read and write it.",
    errno.EROFS: "the disk is read-only. Choose another place.",
    errno.ENAMETOOLONG: "the name is longer than the disk allows, which is 255 bytes as a rule. Choose a shorter one.",
    errno.ELOOP: "its links lead in a circle. Mend or remove them.",
    errno.ENOTDIR: "a file stands where a folder is expected. Move it, or choose another path.",
    errno.EISDIR: "a folder stands where a file is expected. Move it, or choose another path.",
    errno.EEXIST: "something else has this name. Move it, or choose another path.",
    errno.ENOENT: "it does not exist. Check the path.",
    errno.EMFILE: "too many files are open. Use fewer processes (-np), or raise the limit (ulimit -n).",
    errno.EIO: "the disk cannot read or write it. Look whether the disk is damaged.",
}


class AutosegError(Exception):
    """An error that the user's data, flags or disk caused.

    The message is one or more full sentences: what was found, what was expected, what to do, with the case and file.
    Commands print it without a traceback and exit with 1.
    """


class OutOfMemory(AutosegError):
    """The memory, of the machine or a card, was too small for one case beside what else was in it."""


def system_error(error: Exception) -> AutosegError | None:
    """Return in words what the system refused because of a path or a disk; None for an error of another kind."""
    if isinstance(error, OSError) and error.errno is not None:
        name = "" if error.filename is None else str(error.filename)
        where = f"{name if len(name) < 500 else f'{name[:200]} ... {name[-50:]}'}: " * bool(name)
        return AutosegError(f"{where}{REASONS.get(error.errno) or f'{error.strerror}.'}")
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # of pathlib, until Python 3.13
        return AutosegError(f"{str(error).removeprefix('Symlink loop from ')}: {REASONS[errno.ELOOP]}")
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return AutosegError(f"{error.object[:200]!a} is not UTF-8. Rename the file or folder.")
    if type(error) is ValueError and "null" in str(error) and "embedded" in str(error):
        return AutosegError("A path holds a zero byte, which no path can. Give another one.")
    return None


def require_not_empty(name: str, value: object) -> None:
    """Raise AutosegError where a user gave an option or argument without anything in it."""
    if isinstance(value, str) and not value:
        raise AutosegError(f"{name} is empty. Give a value, or leave it out.")


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
