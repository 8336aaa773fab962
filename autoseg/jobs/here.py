"""Jobs on this machine, side by side: one on each GPU, or a part of the cores each."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from autoseg.console import ShowProgress
from autoseg.errors import AutosegError, many
from autoseg.jobs.graph import End, Job, is_ready, lacking, listed
from autoseg.jobs.record import RECORD, WATCHED
from autoseg.jobs.states import last_lines
from autoseg.parallel import THREAD_VARIABLES, number_of_cores
from autoseg.workspace import JobsFolder

SECONDS_BETWEEN_LOOKS = 0.2
PATIENCE_S = 30  # that a job has to end after SIGTERM


@dataclass(frozen=True)
class Lane:
    """A place where one job runs at a time. name: such as "GPU 1". cores: that it may use. variables: of the environment."""

    name: str
    cores: frozenset[int]
    variables: Mapping[str, str] = field(default_factory=dict)


def lanes_on(device: str, count: int) -> list[Lane]:
    """Return so many lanes, among which the cores are divided. device: of which kind; on "cuda", each has a GPU of its own, of
    those that CUDA_VISIBLE_DEVICES shows. Raises AutosegError where there are fewer GPUs."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(number_of_cores()))
    parts = [frozenset(cores[number::count] or cores) for number in range(count)]
    threads = [dict.fromkeys(THREAD_VARIABLES, str(len(part) if len(cores) >= count else 1)) for part in parts]
    if device != "cuda":
        return [Lane(f"{device}, {many(len(part), 'core')}", part, its) for part, its in zip(parts, threads, strict=True)]
    gpus = _gpus()
    if len(gpus) < count:
        raise AutosegError(f"--gpus {count} was asked for, but {many(len(gpus), 'GPU')} can be used here. Ask for fewer, or give "
                           f"--device cpu, where --gpus {count} runs so many jobs side by side.")
    return [Lane(f"GPU {gpu}", part, {**its, "CUDA_VISIBLE_DEVICES": gpu})
            for gpu, part, its in zip(gpus, parts, threads, strict=False)]


def _gpus() -> list[str]:
    """Return the names under which CUDA shows GPUs to processes that this one starts."""
    import torch

    count = torch.cuda.device_count()
    shown = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return shown[:count] if shown else [str(number) for number in range(count)]


def run_here(jobs: Sequence[Job], folder: JobsFolder, lanes: Sequence[Lane], report: ShowProgress, tell: bool) -> dict[str, End]:
    """Run jobs, each as soon as a lane is free and what it waits for has ended; return how each ended.

    A job that fails stops only those that need it. tell: say what begins, fails, and is not run. Jobs end with this process,
    however it ends.
    """
    from autoseg import console

    def say(text: str) -> None:
        if tell:
            console.show(text)

    ended: dict[str, End] = {}
    waiting, running = list(jobs), dict[str, tuple[Lane, Job, subprocess.Popen[bytes]]]()
    with _ending(running):
        while waiting or running:
            for name, (_, _, process) in list(running.items()):
                if (code := process.poll()) is not None:
                    del running[name]
                    ended[name] = "done" if code == 0 else "failed"
                    say(f"{name} is done." if code == 0 else f"{name} failed{_how(code)}. {last_lines(folder.log(name))}")
            for job in list(waiting):  # each after those that it needs
                if lacks := lacking(job, ended):
                    waiting.remove(job)
                    ended[job.name] = "not run"
                    say(f"{job.name} is not run: it needs {listed(lacks)}.")
            free = [lane for lane in lanes if lane not in [its for its, _, _ in running.values()]]
            for lane, job in zip(free, [job for job in waiting if is_ready(job, ended)], strict=False):
                is_last = len(waiting) == 1 and not running
                running[job.name] = (lane, job, _start(job, folder, lane, lanes if is_last else ()))
                waiting.remove(job)
                say(f"{job.name} begins on {lane.name}. Log: {folder.log(job.name)}")
            report(len(ended) / len(jobs), f"{len(ended)} of {many(len(jobs), 'job')}; {listed(running) or 'done'}")
            time.sleep(SECONDS_BETWEEN_LOOKS if running else 0)
    return ended


def _how(code: int) -> str:
    return f", killed by signal {-code}" if code < 0 else f" with exit code {code}"


def _start(job: Job, folder: JobsFolder, lane: Lane, all_lanes: Sequence[Lane]) -> subprocess.Popen[bytes]:
    """Start a job on the cores of its lane, or where it runs alone, on those of all."""
    cores = frozenset[int]().union(*(its.cores for its in all_lanes)) or lane.cores
    threads = dict.fromkeys(THREAD_VARIABLES, str(len(cores))) if all_lanes else {}
    environment = {**os.environ, **lane.variables, **threads, RECORD: str(folder.record_json(job.name)), WATCHED: "1"}
    with open(folder.log(job.name), "ab") as log, _on(cores):
        return subprocess.Popen(job.command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment,
                                start_new_session=True)


@contextlib.contextmanager
def _on(cores: frozenset[int]) -> Iterator[None]:
    """Let processes that are started inside the block run on these cores alone, where the system knows such a thing."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _ending(running: dict[str, tuple[Lane, Job, subprocess.Popen[bytes]]]) -> Iterator[None]:
    """End what still runs when the block ends: by Ctrl-C, or an error."""
    try:
        yield
    finally:
        processes = [process for _, _, process in running.values()]
        for process in processes:
            process.terminate()
        until = time.monotonic() + PATIENCE_S
        for process in processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
