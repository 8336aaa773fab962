"""A lock on what two processes must not write at the same time. It names host and process, and ends with the process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from autoseg.errors import AutosegError
from autoseg.files import disk_error, make_folder, parse_json
from autoseg.slurm_queue import queued
from autoseg.wording import moment

try:
    import fcntl
except ImportError:  # Windows: the process that the file names tells whether the lock holds
    fcntl = None  # type: ignore[assignment]

OF_JOB = {"cluster": "SLURM_CLUSTER_NAME", "job": "SLURM_JOB_ID", "restart": "SLURM_RESTART_COUNT"}  # known on every host
SAME_START_S = 2.0  # by which two readings of a process's start may differ
_held: set[Path] = set()  # by this process: the system's locks do not keep its own threads apart


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock while the block runs. path: a file that lies beside what is written, and is removed in the end.

    The system ends the lock with the process, however that ends; a file that a killed process of this host left is ignored, and
    one of a SLURM job that has ended or was requeued, in another job of that cluster. what: the subject of the message, such as
    "Fold 0 of 2d, default". Raises AutosegError where another process holds the lock, or one of another host may.
    """
    path = path.resolve()
    made = [folder for folder in path.parents if not folder.exists()]  # the innermost first
    make_folder(path.parent)
    if path in _held:
        raise _refusal(path, what, _owner())
    with _opened(path) as file:
        if not _is_granted(file):
            raise _refusal(path, what, _read(file))
        if _may_be_held(there := _read(file)):
            raise _refusal(path, what, there)
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(_owner()).encode(), 0)
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)
            with contextlib.suppress(OSError):
                path.unlink()
                for folder in made:  # where nothing came of the work; a folder with files stays
                    folder.rmdir()


def is_held(path: Path) -> bool:
    """Tell whether a process holds a lock, as far as its file says: one of another host may be gone."""
    try:
        there = parse_json(path.read_bytes())
        if there["host"] != socket.gethostname():
            return True
        return abs(psutil.Process(int(there["process"])).create_time() - float(there["started"])) < SAME_START_S
    except (OSError, psutil.Error, KeyError, TypeError, ValueError):
        return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        yield file
    finally:
        os.close(file)


def _is_granted(file: int) -> bool:
    """Tell whether the system gives this process the lock of an open file; True where it knows no locks."""
    if fcntl is None:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # a file system without locks
    return os.fstat(file).st_nlink > 0  # else its last holder has just removed it: another process may hold a new one


def _owner() -> dict[str, Any]:
    """Return how this process is named in a lock."""
    return {"host": socket.gethostname(), "process": os.getpid(), "started": psutil.Process().create_time(),
            "locked": datetime.now().astimezone().isoformat(timespec="seconds"),
            **{key: os.environ[variable] for key, variable in OF_JOB.items() if variable in os.environ}}


def _read(file: int) -> dict[str, Any]:
    """Return the process that a lock's file names; {} where it names none."""
    try:
        content = parse_json(os.pread(file, 4096, 0))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _may_be_held(there: dict[str, Any]) -> bool:
    """Tell whether the process that a lock names may hold it, though the system gave it to this one: on another host, whose locks
    need not be seen here, or where the system knows no locks."""
    if not there:
        return False
    if there.get("host") != socket.gethostname():
        return not _is_gone(there)
    if there.get("process") == os.getpid():
        return False
    try:
        return abs(psutil.Process(int(there["process"])).create_time() - float(there["started"])) < SAME_START_S and fcntl is None
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def _is_gone(there: dict[str, Any]) -> bool:
    """Tell whether the process that a lock names is gone, on whatever host: SLURM has ended its job, or requeued it as this."""
    cluster, job = there.get("cluster"), there.get("job")
    if cluster is None or job is None or cluster != os.environ.get("SLURM_CLUSTER_NAME"):
        return False
    if job == os.environ.get("SLURM_JOB_ID"):
        return bool(there.get("restart", "0") != os.environ.get("SLURM_RESTART_COUNT", "0"))
    there_now = queued([str(job)])
    return there_now is not None and str(job) not in there_now


def _refusal(path: Path, what: str, there: dict[str, Any]) -> AutosegError:
    host, process = there.get("host", "an unknown host"), there.get("process", "?")
    since = f" since {moment(there['locked'])}" if "locked" in there else ""
    gone = "" if host == socket.gethostname() else f" If that process is gone, remove {path}."
    return AutosegError(f"{what} is in use by process {process} on {host}{since}: two processes would overwrite each other's "
                        f"files. Wait until it ends, or stop it.{gone}")
