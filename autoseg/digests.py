"""Digests of files: what decides whether a file is still the same. Times only save reading it again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image_io import files_of, is_series
from autoseg.plan import Frozen
from autoseg.workspace import read_model

BYTES_AT_ONCE = 2**20
MAY_CHANGE_UNSEEN_NS = 2 * 10**9  # a file that was written so recently could be written again within one tick of its clock


class Digested(NamedTuple):
    """The digest of a file. state: size in bytes, and the two times of change, that the file had then."""

    state: tuple[int, int, int]
    digest: str


class KnownDigests(Frozen):
    """The content of `digests.json`: digests of files, by their resolved paths. Without it they are computed again."""

    files: dict[str, Digested] = {}


_known: dict[str, Digested] = {}  # in this process
_asked_for: list[dict[str, Digested]] = []  # in each `remembered_digests` that is open, the innermost last


def file_digest(path: Path) -> str:
    """Return 16 hexadecimal digits (BLAKE2b) of a file's bytes. A file whose size and times are as they were is not read again.

    Raises AutosegError where it cannot be read.
    """
    try:
        where, status = str(path.resolve()), path.stat()
        state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        found = _known.get(where)
        if found is None or found.state != state:
            found = Digested(state, _digest_of(path))
    except OSError as error:
        raise AutosegError(f"{path} cannot be read: {error.strerror or error}.") from error
    if time.time_ns() - max(state[1:]) > MAY_CHANGE_UNSEEN_NS:
        for digests in (_known, *_asked_for):
            digests[where] = found
    return found.digest


def content_stamps(paths: Iterable[Path | None]) -> tuple[str, ...]:
    """Return of those files that are not None texts that change when their content does, wherever they lie and whenever they were
    written: name and digest; of a missing file its name alone. Raises AutosegError where one cannot be read."""
    return tuple(_content_stamp(path) for path in paths if path is not None)


def _content_stamp(path: Path) -> str:
    files = files_of(path)
    if len(files) > 1 or is_series(path):
        return f"{path.name}, {hashlib.blake2b(''.join(sorted(map(file_digest, files))).encode(), digest_size=8).hexdigest()}"
    return f"{path.name}, {file_digest(path)}" if files else path.name


@contextlib.contextmanager
def remembered_digests(path: Path) -> Iterator[None]:
    """Know the digests in the file `path` (see `KnownDigests`), and afterwards add those that were asked for to it."""
    try:
        before = read_model(path, KnownDigests).files if path.exists() else {}
    except AutosegError:
        before = {}
    for where, digested in before.items():
        _known.setdefault(where, digested)
    asked: dict[str, Digested] = {}
    _asked_for.append(asked)
    try:
        yield
    finally:
        _asked_for.pop()
        if not asked.items() <= before.items():
            there = {where: digested for where, digested in (before | asked).items() if os.path.exists(where)}
            with contextlib.suppress(AutosegError):  # the next command computes them again
                write_json(path, KnownDigests(files=there))


def _digest_of(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=8)
    with open(path, "rb") as file:
        while piece := file.read(BYTES_AT_ONCE):
            digest.update(piece)
    return digest.hexdigest()
