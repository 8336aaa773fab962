"""Worker processes under watch: what kills one, holds it or fills its memory ends that attempt and no more."""

from __future__ import annotations

import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from tests.fuzz.attempt import HANG_S, MEMORY_FACTOR, Outcome, bytes_of, processor_seconds, tree_bytes

ROOT = Path(__file__).resolve().parents[2]
KILLED_BYTES = 2**30  # resident memory beyond what a worker had, at which it is killed
PREPARING_S = 600.0  # by the clock, for starting, loading libraries and making the file
STANDSTILL_S = 60.0  # by the clock: of an attempt that waits and computes nothing
OVERTIME_S = 2.0  # of the processor: after HANG_S the worker may still end by itself, and say what it found
POLL_S = 0.05
DEFAULT_READER = "tests.fuzz.images:read_twice"


class Job(NamedTuple):
    """An attempt: a target with its seed, or a case of the corpus. reader: "module:function" that reads images."""

    target: str = ""
    seed: int = 0
    case: str = ""
    reader: str = DEFAULT_READER

    @property
    def command(self) -> str:
        """Return the command that repeats the attempt alone."""
        reader = "" if self.reader == DEFAULT_READER else f" --reader {self.reader}"
        which = f"--case {self.case}" if self.case else f"--target {self.target} --seed {self.seed}"
        return f"python -m tests.fuzz {which}{reader}"

    def line(self) -> bytes:
        """Return the job as a worker takes it."""
        fields = {"case": self.case} if self.case else {"target": self.target, "seed": self.seed}
        return json.dumps(fields | {"reader": self.reader}).encode() + b"\n"


class Watched:
    """A worker process, started where there is none."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""

    def carry_out(self, job: Job) -> Outcome:
        """Return how a job ended, whatever became of the worker."""
        process = self._started()
        with suppress(BrokenPipeError):
            process.stdin.write(job.line())  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        said = self._next(process, time.monotonic() + PREPARING_S)
        if not isinstance(said, dict) or "begins" not in said:
            raise RuntimeError(f"{job.command}: the attempt could not be prepared ({said}): {self._noise()}")
        place, change, baseline = Path(said["begins"]), said.get("change", ""), tree_bytes(psutil.Process(process.pid))
        limit = max(KILLED_BYTES, MEMORY_FACTOR * bytes_of(place))
        ended = self._next(process, time.monotonic() + STANDSTILL_S, baseline + limit)
        if isinstance(ended, dict):
            return Outcome(**ended["outcome"])
        return Outcome(
            ended, self._noise()[-2000:] if ended == "crash" else f"killed after {HANG_S} s or {limit >> 20} MiB", change
        )

    def close(self) -> None:
        """End the worker and its children."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process.stdin.close()  # type: ignore[union-attr]
            self._process.stdout.close()  # type: ignore[union-attr]
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir(parents=True)
            self._received = b""
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.worker", str(self.scratch)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "TMPDIR": str(self.scratch)},
            )
        return self._process

    def _next(self, process: subprocess.Popen[bytes], deadline: float, limit_bytes: int | None = None) -> dict[str, Any] | str:
        """Return the next line that the worker says; "crash", "hang" or "memory" where it ended or was killed instead."""
        output, watched = process.stdout, psutil.Process(process.pid)
        most_s = processor_seconds(watched) + HANG_S + OVERTIME_S if limit_bytes else float("inf")
        assert output is not None
        while b"\n" not in self._received:
            if select.select([output], [], [], POLL_S)[0]:
                if not (piece := os.read(output.fileno(), 1 << 16)):
                    code = process.wait()
                    self.close()
                    return "crash" if limit_bytes else f"it ended with {code}"
                self._received += piece
            elif time.monotonic() > deadline or processor_seconds(watched) > most_s:
                self.close()
                return "hang"
            elif limit_bytes and tree_bytes(watched) > limit_bytes:
                self.close()
                return "memory"
        line, _, self._received = self._received.partition(b"\n")
        return dict(json.loads(line))

    def _noise(self) -> str:
        with suppress(OSError):
            return (self.scratch / "noise.txt").read_text(encoding="utf-8", errors="replace")
        return ""


def carried_out(jobs: Iterable[Job], processes: int, keep: Path | None = None) -> Iterator[tuple[Job, Outcome]]:
    """Yield jobs with their outcomes as they end.

    processes: workers at the same time. keep: folder that gets the files of attempts that end badly; None keeps none. A hang is
    one where the second attempt hangs, too: the machine may have been busy.
    """
    waiting, done = iter(jobs), queue.Queue[Any](4 * processes)
    lock, stop = threading.Lock(), threading.Event()

    def work(scratch: Path) -> None:
        worker = Watched(scratch)
        try:
            while not stop.is_set():
                with lock:
                    job = next(waiting, None)
                if job is None:
                    break
                outcome = worker.carry_out(job)
                outcome = worker.carry_out(job) if outcome.verdict == "hang" else outcome
                if keep is not None and outcome.verdict not in ("ok", "refused"):
                    _keep(scratch / "attempt", keep, job, outcome)
                done.put((job, outcome))
        except BaseException as error:
            done.put(error)
        finally:
            worker.close()
            done.put(None)

    with tempfile.TemporaryDirectory(prefix="autoseg-fuzz-") as folder:
        threads = [threading.Thread(target=work, args=(Path(folder) / str(number),), daemon=True) for number in range(processes)]
        for thread in threads:
            thread.start()
        try:
            yield from _taken(done, processes)
        finally:
            stop.set()
            while any(thread.is_alive() for thread in threads):
                with suppress(queue.Empty):
                    done.get(timeout=0.1)


def _taken(done: queue.Queue[Any], running: int) -> Iterator[tuple[Job, Outcome]]:
    while running:
        got = done.get()
        if got is None:
            running -= 1
        elif isinstance(got, BaseException):
            raise got
        else:
            yield got


def _keep(attempt: Path, keep: Path, job: Job, outcome: Outcome) -> None:
    """Copy the files of an attempt, with its outcome, into a folder of its own."""
    place = keep / outcome.verdict / (job.case or f"{job.target}_{job.seed}")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "outcome.txt").write_text(
        f"{job.command}\n{outcome.change}\n{outcome.details}\n", encoding="utf-8", errors="backslashreplace"
    )
    for path in attempt.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 16 * 2**20:
            with suppress(OSError):
                shutil.copy(path, place / path.name)
