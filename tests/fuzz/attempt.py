"""What is tried, and how one attempt ends: the verdicts, and what they are measured by."""

from __future__ import annotations

import ctypes
import os
import shutil
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import psutil

from autoseg.errors import AutosegError

GOOD, BAD = ("ok", "refused"), ("crash", "hang", "memory", "exception", "noise", "different")
VERDICTS = (*GOOD, *BAD)
HANG_S = 5.0  # of the processor: a machine that does other work beside must not make a hang of a slow second
MEMORY_BYTES, MEMORY_FACTOR = 200 * 2**20, 10  # both must be exceeded: bytes, and times the bytes of the files


@dataclass(frozen=True)
class Change:
    """What a mutator did. words: said in messages. is_sealed: a checksum of the format covers it, so that the file is read as it
    was or refused."""

    words: str
    is_sealed: bool = False


@dataclass(frozen=True)
class Target:
    """A kind of file, and how it is read.

    make: writes a good file into an empty folder and returns what `read` is given. read: gives what the file says. mutate:
    changes files in the folder of such a copy. judge: returns what is wrong with what was read of a changed file, "" where
    nothing is; it is given what the good file gave, the path, what was read, and the change.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    mutate: Callable[[Random, Path], Change]
    judge: Callable[[Any, Path, Any, Change], str]


@dataclass(frozen=True)
class Case:
    """A file of the corpus: one kind of harm. item: of the issue that listed the kinds. make, read: as in `Target`.

    judge: returns what is wrong with what was read, where it may be read at all; None where the file must be refused.
    """

    name: str
    item: int
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    judge: Callable[[Any], str] | None = None


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. details: the message, the traceback or the noise. change: what was done to the good file."""

    verdict: str
    details: str = ""
    change: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain values."""
        return asdict(self)


class Noise:
    """What libraries write to this process's (and its children's) standard output and error, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115
        for descriptor in (1, 2):
            os.dup2(self._file.fileno(), descriptor)

    def take(self) -> str:
        """Return what has been written since the last call."""
        ctypes.CDLL(None).fflush(None)
        self._file.seek(0)
        text = self._file.read().decode("utf-8", "replace")
        self._file.seek(0)
        self._file.truncate()
        return text


def tried(read: Callable[[], Any], judge: Callable[[Any], str] | None, files: Path, noise: Noise) -> Outcome:
    """Return how reading ends in this process. judge: see `Case`. files: the folder of what is read.

    Seconds are those of the processor; memory is the growth of the peak of resident memory, of this process and of its children.
    """
    noise.take()
    before = _reset_peak()
    start = processor_seconds(psutil.Process())
    try:
        found = read()
    except AutosegError as error:
        verdict, details = "refused", str(error)
        found = None
    except BaseException:  # whatever it is, it is a finding
        verdict, details = "exception", traceback.format_exc()
        found = None
    else:
        verdict, details = "ok", ""
    seconds, peak = processor_seconds(psutil.Process()) - start, max(0, _peak_bytes() - before)
    if verdict == "ok":
        details = _judged(judge, found)
        verdict = "different" if details else "ok"
    del found
    written = noise.take()
    if verdict in GOOD and written:
        verdict, details = "noise", written
    if verdict in (*GOOD, "noise") and peak > max(MEMORY_BYTES, MEMORY_FACTOR * bytes_of(files)):
        verdict, details = "memory", f"{peak / 2**20:.0f} MiB; then {verdict}: {details}"
    if verdict in (*GOOD, "noise") and seconds > HANG_S:
        verdict, details = "hang", f"{seconds:.1f} s; then {verdict}: {details}"
    return Outcome(verdict, details[-4000:], "", seconds, peak)


def _judged(judge: Callable[[Any], str] | None, found: Any) -> str:
    if judge is None:
        return "it was read, though it must be refused"
    try:
        return judge(found)
    except Exception:
        return f"what was read cannot be judged: {traceback.format_exc()}"


def bytes_of(folder: Path) -> int:
    """Return the bytes of all regular files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def copied(good: Path, folder: Path, path: Path) -> Path:
    """Copy a good file's folder into the empty `folder`, and return what its `path` is there."""
    shutil.copytree(good, folder, dirs_exist_ok=True)
    return folder / path.relative_to(good)


def processor_seconds(process: psutil.Process) -> float:
    """Return the seconds of the processor that a process and its children took, those that ended among them."""
    seconds = 0.0
    with suppress(psutil.NoSuchProcess):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def tree_bytes(process: psutil.Process) -> int:
    """Return the resident bytes of a process and of its children."""
    total = 0
    with suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += one.memory_info().rss
    return total


def _family() -> list[str]:
    """Return this process's number and those of its children and theirs."""
    found = ["self"]
    for process in found:
        for listed in Path(f"/proc/{process}/task").glob("*/children"):
            with suppress(OSError):
                found += listed.read_text(encoding="ascii").split()
    return found


def _reset_peak() -> int:
    """Set the peak of resident memory back to what is resident now, and return that; Linux alone can."""
    for process in _family():
        with suppress(OSError):
            Path(f"/proc/{process}/clear_refs").write_text("5", encoding="ascii")
    return _peak_bytes()


def _peak_bytes() -> int:
    total = 0
    for process in _family():
        with suppress(OSError, StopIteration, ValueError):
            lines = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace").splitlines()
            total += 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return total
