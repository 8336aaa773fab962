"""Run a command and measure its seconds and the peak memory of its whole process tree."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

SECONDS_BETWEEN_SAMPLES = 0.2  # at least: reading a size walks all pages
SHARE_OF_SAMPLING = 0.02  # of the time, that it takes at most


@dataclass(frozen=True)
class Measurement:
    """The time and memory that a command took.

    seconds: from start to end. processor_seconds: of all its processes together; other work on the machine hardly
    changes them. peak_bytes: highest sum over the process tree of the proportional set size.
    """

    seconds: float
    processor_seconds: float
    peak_bytes: int

    def __str__(self) -> str:
        return f"{self.seconds:7.1f} s {self.processor_seconds:7.1f} processor s {self.peak_bytes / 1e9:6.2f} GB"


def measure(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Measurement:
    """Run `command` to its end. Raises SystemExit with its output where it fails.

    Proportional set size (Linux): memory shared by several processes counts once. Elsewhere the resident set size.
    """
    start, processor_start = time.perf_counter(), _processor_seconds_of_children()
    peak, pause = 0, SECONDS_BETWEEN_SAMPLES
    with subprocess.Popen(
        [str(part) for part in command], env=None if environment is None else dict(environment), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:
        while True:
            try:
                output, _ = process.communicate(timeout=pause)
                break
            except subprocess.TimeoutExpired:
                began = time.perf_counter()
                peak = max(peak, tree_bytes(process.pid))
                pause = max(SECONDS_BETWEEN_SAMPLES, (time.perf_counter() - began) / SHARE_OF_SAMPLING)
    seconds = time.perf_counter() - start
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{output}")
    return Measurement(seconds, _processor_seconds_of_children() - processor_start, peak)


def tree_bytes(pid: int) -> int:
    """Memory of a process and all its descendants, bytes."""
    try:
        parent = psutil.Process(pid)
        return sum(_process_bytes(process) for process in (parent, *parent.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def _processor_seconds_of_children() -> float:
    """Return the seconds of all processes that this one has started and that have ended, with their own."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _process_bytes(process: psutil.Process) -> int:
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
        return 1024 * next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    except (OSError, StopIteration):
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def ratios(ours: Measurement, theirs: Measurement) -> str:
    """Return how many times less time and memory we take."""
    return (
        f"{theirs.seconds / ours.seconds:.1f} times faster, "
        f"{theirs.processor_seconds / ours.processor_seconds:.1f} times less processor time, "
        f"{theirs.peak_bytes / ours.peak_bytes:.1f} times less memory"
    )
