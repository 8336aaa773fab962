"""The record that a job keeps of itself: where it runs, for how long, on what, and how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import ClassVar, Literal

import psutil

from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.plan import Frozen
from autoseg.workspace import read_model

RECORD = "AUTOSEG_JOB"  # the variable that names the record of the job that a command is
WATCHED = "AUTOSEG_JOB_ENDS_WITH_STDIN"  # set where the command ends when the process that started it does
STOPPED = 130  # exit code after Ctrl-C, and here after SIGTERM
SAME_START_S = 2.0  # by which two readings of a process's start may differ


class JobRecord(Frozen):
    """The content of a job's record. started: of the process. began, ended: of the last attempt. seconds: of all together.
    machine: the GPU or processor in words; "" where no network runs. gpu: CUDA_VISIBLE_DEVICES. slurm: its number there."""

    remedy: ClassVar[str] = "Remove it: it says no more than where the job ran."

    state: Literal["running", "done", "failed", "stopped"]
    host: str
    process: int
    started: float
    began: str
    ended: str = ""
    seconds: float = 0.0
    attempts: int = 1
    code: int | None = None
    machine: str = ""
    gpu: str = ""
    slurm: str = ""

    @property
    def is_alive(self) -> bool:
        """Tell whether its process runs on this host."""
        with contextlib.suppress(psutil.Error):
            return self.host == socket.gethostname() and (
                abs(psutil.Process(self.process).create_time() - self.started) < SAME_START_S)
        return False


def read_job(path: Path) -> JobRecord | None:
    """Return a job's record; None where it has none yet, or a damaged one."""
    try:
        return read_model(path, JobRecord) if path.exists() else None
    except AutosegError:
        return None


def as_job(run: Callable[[], int], device: str | None) -> int:
    """Run a command; where it is a job of a run, keep its record. device: as given to the command; None where it runs no network.

    SIGTERM then ends the command as Ctrl-C does.
    """
    path = os.environ.pop(RECORD, None)  # processes that this one starts are not the job
    if path is None:
        return run()
    if os.environ.pop(WATCHED, None):
        threading.Thread(target=_end_with_stdin, name="end with the run", daemon=True).start()
    usual = signal.signal(signal.SIGTERM, _stop)
    before, began = read_job(Path(path)), time.monotonic()
    spent = before.seconds if before else 0.0
    record = _begun(1 + (before.attempts if before else 0), device)
    write_json(Path(path), record.model_copy(update={"seconds": spent}))
    code = 1
    try:
        code = run()
    except KeyboardInterrupt:
        code = STOPPED
        raise
    finally:
        state = {0: "done", STOPPED: "stopped"}.get(code, "failed")
        write_json(Path(path), record.model_copy(update={
            "state": state, "code": code, "ended": _now(), "seconds": spent + time.monotonic() - began}))
        signal.signal(signal.SIGTERM, usual)
    return code


def _begun(attempts: int, device: str | None) -> JobRecord:
    return JobRecord(
        state="running", host=socket.gethostname(), process=os.getpid(), started=psutil.Process().create_time(), began=_now(),
        attempts=attempts, machine="" if device is None else machine_of(device), gpu=os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        slurm=os.environ.get("SLURM_JOB_ID", ""))


def machine_of(device: str) -> str:
    """Return what networks run on; "" where the device cannot be used: the command says why."""
    from autoseg.device import machine_in_words, resolve_device

    with contextlib.suppress(AutosegError):
        return machine_in_words(resolve_device(device))
    return ""


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_with_stdin() -> None:
    """End this process as SIGTERM does when the process at the other end of its standard input is gone."""
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
    os._exit(1)  # what waits for another thread or process
