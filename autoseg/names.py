"""Names of cases: all files of a case are called after it, so names must be fit for files, and differ on every disk."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

RESERVED = ("summary",)  # summary.json lies beside what is written of the cases


def name_fault(name: str) -> str:
    """Return in words why no file can be called after a case, such as 'the name is empty'; "" where one can."""
    kinds = {unicodedata.category(letter) for letter in name}
    if not name:
        return "the name is empty"
    if "Cs" in kinds:
        return "the name is not UTF-8"
    if name in (".", "..") or "Cc" in kinds or set(name) & set("/\\"):
        return "the name holds a slash, a backslash or a control character, or is one of dots alone"
    return "the name is that of a file of autoseg's own" if on_disk(name) in RESERVED else ""


def on_disk(name: str) -> str:
    """Return the name as a disk sees it that tells neither capital letters nor the forms of Unicode apart."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def same_on_disk(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of names that are the same to one disk or another, such as ("a", "A"); sorted."""
    first: dict[str, str] = {}
    for name in sorted(names):
        key = on_disk(name)
        if key in first:
            yield first[key], name
        first.setdefault(key, name)
