"""Independent work in several processes, as many as the free memory allows."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psutil

from autoseg.errors import AutosegError

Item = TypeVar("Item")

SHARE_OF_FREE_MEMORY = 0.8
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLOSC_NTHREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
MEMORY_OF_A_WORKER = 150 * 2**20  # bytes that the interpreter and its libraries take before any image


@dataclass(frozen=True)
class Outcome(Generic[Item]):
    """The outcome of one item: a value, or the error that stopped it."""

    item: Item
    value: Any = None
    error: AutosegError | None = None


def number_of_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory_bytes() -> int:
    """Return the bytes that can be taken without swapping, within the limit of this process's control group where it has one."""
    free = int(psutil.virtual_memory().available)
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as limit, \
                open("/sys/fs/cgroup/memory.current", encoding="ascii") as used:
            free = min(free, int(limit.read()) - int(used.read()))
    except (OSError, ValueError):
        pass
    return max(free, 0)


def number_of_workers(bytes_per_item: int, requested: int | None = None) -> int:
    """Return how many items of `bytes_per_item` can be worked on at once: at least 1, at most `requested` or the cores."""
    by_memory = int(free_memory_bytes() * SHARE_OF_FREE_MEMORY) // (bytes_per_item + MEMORY_OF_A_WORKER)
    return max(1, min(requested or number_of_cores(), by_memory))


def run_parallel(
    function: Callable[[Item], Any], items: Sequence[Item], bytes_per_item: int, workers: int | None = None
) -> Iterator[Outcome[Item]]:
    """Yield the outcome of `function(item)` for each item, in the order in which they finish.

    An AutosegError stops its item only. A worker that the system kills (out of memory, as a rule) stops nobody: the
    items in flight are tried once more, one at a time, and one that dies again is named.

    function, items: picklable (sent to child processes, never to disk).
    bytes_per_item: memory that one item takes at its peak.
    workers: at most so many; None for as many as there are cores.
    """
    count = min(number_of_workers(bytes_per_item, workers), len(items))
    if count <= 1:
        for item in items:
            yield _attempt(function, item)
        return
    waiting = deque(items)
    while waiting:
        lost: list[Item] = []
        yield from _run_pool(function, waiting, count, lost)
        for item in lost:
            alone: list[Item] = []
            yield from _run_pool(function, deque([item]), 1, alone)
            if alone:
                yield Outcome(item, error=AutosegError(
                    f"{item}: the process that worked on it was killed twice, the second time alone, most likely because "
                    f"memory ran out (about {bytes_per_item / 2**30:.1f} GiB expected, {free_memory_bytes() / 2**30:.1f} "
                    "GiB free now). Close other programs, or use a machine with more memory."))


def _run_pool(
    function: Callable[[Item], Any], waiting: deque[Item], workers: int, lost: list[Item]
) -> Iterator[Outcome[Item]]:
    """Yield outcomes of the items that are `waiting`, until all are done or a worker is killed.

    Items are taken from `waiting` as they begin. Those in flight when a worker is killed are appended to `lost`.
    """
    running: dict[Future[Outcome[Item]], Item] = {}
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    try:
        while (waiting and not lost) or running:
            while waiting and not lost and len(running) < workers:
                item = waiting.popleft()
                try:
                    with cores_shared_by(workers):  # a worker is started by the submission that needs it
                        running[pool.submit(_attempt, function, item)] = item
                except BrokenProcessPool:
                    lost.append(item)
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                item = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    lost.append(item)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _attempt(function: Callable[[Item], Any], item: Item) -> Outcome[Item]:
    try:
        return Outcome(item, value=function(item))
    except AutosegError as error:
        return Outcome(item, error=error)
    except MemoryError:
        return Outcome(item, error=AutosegError(
            f"{item}: memory ran out ({free_memory_bytes() / 2**30:.1f} GiB free). Use fewer processes (-np 1)."))


def _begin() -> None:
    """Prepare a worker: Ctrl-C is for its parent, without which it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent() -> None:
    """Let this process, which multiprocessing started, end as soon as its parent is gone, however that ended.

    Else, after a kill -9 of the parent, it would wait for work for ever, and hold the terminal's pipe.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), name="end with parent", daemon=True).start()


def _end_after(sentinel: int) -> None:
    """End this process at once, without any clean-up that could wait, when the system reports the other's end."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


@contextlib.contextmanager
def cores_shared_by(workers: int) -> Iterator[None]:
    """Give the workers that are started inside the block their part of the cores for matrix products and for reading.

    The libraries read these variables when they are first imported. A worker imports the user's own script before it runs
    anything of ours, so they must be set before it starts.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(max(1, number_of_cores() // workers))))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
