"""Questions to the process that reads files with other people's C code, which may die or hang without harm to this one.

Each process has one such process, started when it is first needed and used again. It ends with its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image_io.checks import GET_IT_AGAIN
from autoseg.image_io.foreign_process import LENGTH, answer

START = "import sys; sys.path[:] = sys.argv[1].split(chr(10)); from autoseg.image_io.foreign_process import main; main()"
ENVIRONMENT = {  # memory that was given back is kept for the next picture, instead of being asked for page by page
    "MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**26),
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
}
PATIENCE_S, PATIENCE_BYTES_PER_S = 120.0, 2**18
Answer = tuple[dict[str, Any], Any]  # facts, and an array or none


class _Process:
    """A running process and the socket to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-c", START, "\n".join(sys.path), str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=True,
                pass_fds=[theirs.fileno()], env={**os.environ, **ENVIRONMENT},
            )
        self._socket, self._owner = ours, os.getpid()

    def is_ours(self) -> bool:
        """Tell whether this very process started it, not one of which this is a fork."""
        return self._owner == os.getpid()

    def is_gone(self) -> bool:
        """Tell whether it has ended."""
        return self._process.poll() is not None

    def ask(self, request: bytes, patience_s: float) -> Answer:
        """Raises OSError, or EOFError, where the process dies or stays silent."""
        self._socket.settimeout(patience_s)
        self._socket.sendall(LENGTH.pack(len(request)) + request)
        start, descriptors, _, _ = socket.recv_fds(self._socket, LENGTH.size, 1)
        try:
            reply = json.loads(self._receive(LENGTH.unpack(start + self._receive(LENGTH.size - len(start)))[0]))
            return reply, _mapped(descriptors[0], reply["array"]) if descriptors else None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _receive(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            piece = self._socket.recv(count - len(received))
            if not piece:
                raise EOFError
            received += piece
        return bytes(received)

    def end(self) -> int:
        """Kill the process where it still runs, and return its exit status: negative for a signal."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(0.5)
        self._process.kill()
        return self._process.wait()


_lock = threading.Lock()
_running: list[_Process] = []


def ask(module: str, function: str, path: Path, **details: Any) -> Answer:
    """Return what a function of `autoseg.image_io.{module}` says about a file: facts, and an array where it gives one.

    Raises AutosegError as the function does, and where the process that runs it dies or takes far too long.
    """
    request = {"module": module, "function": function, "path": str(path), "details": details}
    if not hasattr(socket, "recv_fds"):  # Windows, where a process cannot be handed a file
        reply, array = answer(request)
    else:
        with _lock:
            reply, array = _answer_of_process(path, json.dumps(request).encode())
    if "error" in reply:
        raise AutosegError(reply["error"])
    return reply, array


def _answer_of_process(path: Path, request: bytes) -> Answer:
    with contextlib.suppress(OSError):
        patience_s = PATIENCE_S + path.stat().st_size / PATIENCE_BYTES_PER_S
        for _ in range(2):
            if not _alive() or _running[-1].is_gone():
                _end()
                _running.append(_Process())
            try:
                return _running[-1].ask(request, patience_s)
            except BrokenPipeError:  # it died while it had nothing to do
                continue
            except (OSError, EOFError, ValueError, struct.error) as error:
                raise _died(path, _end(), error) from error
            except BaseException:  # such as Ctrl-C: its answer would be taken for that to the next question
                _end()
                raise
    raise AutosegError(f"{path} cannot be read: the process that reads such files cannot be started. Try again.")


def _alive() -> bool:
    return bool(_running) and _running[-1].is_ours()


def _end() -> int:
    """End the process, unless it is that of the process from which this one was forked."""
    status = _running[-1].end() if _alive() else 0
    _running.clear()
    return status


def _died(path: Path, status: int, error: Exception) -> AutosegError:
    if isinstance(error, TimeoutError) or -status in (signal.SIGPROF, signal.SIGXCPU):
        return AutosegError(f"{path} is damaged: reading it took far longer than a file of its size needs. {GET_IT_AGAIN}")
    if -status == signal.SIGKILL:
        return AutosegError(f"{path}: the process that read it was killed, most likely because memory ran out. Close other "
                            "programs, use fewer processes (-np 1), or leave the case out.")
    return AutosegError(f"{path} is damaged: the library that reads such files crashed on it (exit {status}). {GET_IT_AGAIN}")


def _mapped(descriptor: int, form: dict[str, Any]) -> np.ndarray:
    """Return the array that the process has put into shared memory."""
    memory = mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return np.frombuffer(memory, np.dtype(form["dtype"])).reshape(form["shape"])


def _forget_after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(_end)
