"""The process that runs other people's C code: it answers one question after another, until its parent is gone.

A question names a function in this package; an answer is JSON, with an array in shared memory where there is one.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import struct
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image_io.checks import damaged

LENGTH = struct.Struct("<I")
SPARE_BYTES, TIMES_FILE, TIMES_ARRAY = 3 * 2**26, 8, 8  # of memory: beside the libraries, for a file, for its array
CPU_S, CPU_BYTES_PER_S = 4.0, 2**22  # of computing time, by file and array
_bounds: dict[str, int] = {}


class Shared:
    """An array in memory that is shared with the parent; it is filled here."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        size = max(1, int(np.prod(shape, dtype=object)) * dtype.itemsize)
        self.descriptor = _nameless_file()
        os.ftruncate(self.descriptor, size)
        self.close = weakref.finalize(self, os.close, self.descriptor)  # what was sent or mapped stays
        self._memory = mmap.mmap(self.descriptor, size)
        self.array = np.frombuffer(self._memory, dtype).reshape(shape)


def shared(array: np.ndarray) -> Shared:
    """Return a copy of the array in shared memory."""
    copy = Shared(array.shape, array.dtype)
    copy.array[...] = array
    return copy


@contextmanager
def named(content: bytes) -> Iterator[str]:
    """Give a plain name under which a library that only opens files by name finds these bytes."""
    with tempfile.TemporaryDirectory() if os.name == "nt" else open(_nameless_file(), "w+b") as place:
        path = Path(place) / "image" if isinstance(place, str) else Path(name_of(place.fileno(), Path()))
        path.write_bytes(content)
        yield str(path)


def name_of(descriptor: int, path: Path) -> str:
    """Return a plain name of an open file, whatever its own is; on Windows, its own."""
    if os.name == "nt":
        return str(path)
    return f"/proc/self/fd/{descriptor}" if os.path.isdir("/proc/self/fd") else f"/dev/fd/{descriptor}"


def load(module: str) -> Any:
    """Return a module of this package, imported outside of the bounds, as its libraries are large."""
    if not _bounds:
        return import_module(f"autoseg.image_io.{module}")
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_bounds["soft"], _bounds["hard"]))
    signal.setitimer(signal.ITIMER_PROF, 0)
    before = _virtual_bytes()
    found = import_module(f"autoseg.image_io.{module}")
    _bounds["before"] += _virtual_bytes() - before
    allow(_bounds["array"])
    return found


def allow(array_bytes: int) -> None:
    """Allow memory and computing time for an array that a file announces, once that is known to be possible."""
    if _bounds:
        _bounds["array"] = array_bytes
        import resource

        most = _bounds["before"] + SPARE_BYTES + TIMES_FILE * _bounds["file"] + TIMES_ARRAY * array_bytes
        soft, hard = _bounds["soft"], _bounds["hard"]
        resource.setrlimit(resource.RLIMIT_AS, (most if soft < 0 else min(most, soft), hard))
        signal.setitimer(signal.ITIMER_PROF, CPU_S + (_bounds["file"] + array_bytes) / CPU_BYTES_PER_S)


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Return the facts that a function gives, or its error, and an array, or none."""
    path = Path(request["path"])
    try:
        function = getattr(import_module(f"autoseg.image_io.{request['module']}"), request["function"])
        with _bounded(path):
            facts, array = function(path, **request["details"])
        if isinstance(array, Shared) and not _bounds:  # in the process that asked
            array.close()
            return facts, array.array
        return facts, array
    except AutosegError as error:
        return {"error": str(error)}, None
    except MemoryError:
        return {"error": str(damaged(path, "reading it takes far more memory than a file of its size needs"))}, None
    except Exception as error:
        return {"error": str(damaged(path, f"{type(error).__name__}: {error}"))}, None


def main() -> None:
    """Answer until the parent closes its end of the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then closes the socket
    _bounds.update(before=0)
    with socket.socket(fileno=int(sys.argv[2])) as parent:
        while request := _received(parent):
            facts, array = answer(json.loads(request))
            if array is not None:
                facts["array"] = {"shape": array.array.shape, "dtype": array.array.dtype.str}
            reply = json.dumps(facts).encode()
            socket.send_fds(parent, [LENGTH.pack(len(reply))], [] if array is None else [array.descriptor])
            if array is not None:
                array.close()
            array = None  # before the parent has its answer, so that nothing of it is left here then
            parent.sendall(reply)


def _received(parent: socket.socket) -> bytes:
    """Return the next question; nothing where the parent is gone."""
    start = parent.recv(LENGTH.size, socket.MSG_WAITALL)
    return parent.recv(LENGTH.unpack(start)[0], socket.MSG_WAITALL) if len(start) == LENGTH.size else b""


@contextmanager
def _bounded(path: Path) -> Iterator[None]:
    """Bound memory and computing time by the file's size, inside the block; only in a process of this module's own."""
    if not _bounds:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        _bounds.update(before=_virtual_bytes(), file=path.stat().st_size, soft=soft, hard=hard)
        allow(0)
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _virtual_bytes() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * mmap.PAGESIZE
    except OSError:
        return 2**40  # a system without it: memory is not bounded


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("autoseg")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
