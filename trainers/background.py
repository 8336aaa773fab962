"""Batches that processes make ahead of the network, by batchgenerators' augmenter: for a GPU, which would wait for threads."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import multiprocessing.connection
import multiprocessing.sharedctypes
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import torch

from autoseg.distributed import world
from autoseg.errors import AutosegError, system_error
from autoseg.parallel import end_with_parent, free_memory_bytes, number_of_workers

MOST_PROCESSES = 12  # as nnU-Net has it
IN_MEMORY = 4  # batches of a process: one that is made, two that wait, one that is handed over
SHARED = "/dev/shm"  # where processes hand tensors to each other

BatchType = TypeVar("BatchType")
Tensors = dict[str, torch.Tensor]


def processes_for(device: torch.device, batch_bytes: int, wanted: int | None) -> int:
    """Return how many processes make batches of so many bytes for a training on `device`; 0 for threads of its own.

    wanted: by the settings; None for as many as there are cores and memory for on CUDA, and none elsewhere.
    """
    if wanted is not None:
        return wanted
    if device.type != "cuda" or sys.platform == "win32":
        return 0
    return number_of_workers(IN_MEMORY * batch_bytes, min(MOST_PROCESSES, world().cores))


class BackgroundBatches(Generic[BatchType]):
    """Batches in order, each made in one of several processes from its number alone (see `Batches`).

    make: returns the tensors of a batch, by name, for its number; it runs in the processes, on the CPU. finish: makes the batch
    of them. is_pinned: tensors come in pinned memory, from which a copy to CUDA waits for nothing.
    The processes go on while nobody asks, until a few batches wait; batches out of order make them begin anew.
    """

    def __init__(
        self, make: Callable[[int], Tensors], finish: Callable[[Tensors], BatchType], processes: int, is_pinned: bool = False
    ) -> None:
        self.make, self.finish = make, finish
        self.processes, self.is_pinned = processes, is_pinned
        self._augmenter: Any = None
        self._next = 0
        self._started: list[Any] = []

    def batches(self, first: int, count: int) -> Iterator[BatchType]:
        """Yield batches number `first` to `first + count - 1`. Raises AutosegError where one cannot be made."""
        for number in range(first, first + count):
            if self._augmenter is None or number != self._next:
                self._begin(number)
            self._next = number + 1
            yield self.finish(self._take())

    def close(self) -> None:
        """End the processes."""
        if self._augmenter is not None:
            augmenter, self._augmenter = self._augmenter, None
            augmenter._finish()

    def _begin(self, number: int) -> None:
        self.close()
        self._augmenter = _library().MultiThreadedAugmenter(
            _Numbered(self.make, number, self.processes), None, self.processes, pin_memory=self.is_pinned)
        self._augmenter.abort_event, self._augmenter.pause_event = _Flag(), _Flag()
        self._augmenter._start()
        self._started = list(self._augmenter._processes)
        threading.Thread(target=_abort_after, args=(self._augmenter.abort_event, self._started), daemon=True).start()

    def _take(self) -> Tensors:
        try:
            item: dict[str, Any] = next(self._augmenter)
        except RuntimeError as error:  # it has ended all processes by now
            self._augmenter = None
            raise AutosegError(self._why()) from error
        if "error" in item:
            self.close()
            raise AutosegError(item["error"])
        return item

    def _why(self) -> str:
        """Return what to say where a process is gone."""
        killed = next((-code for process in self._started if (code := process.exitcode) is not None and code < 0), None)
        found = "A process that makes batches ended"
        if killed is not None:
            found += f" ({signal.Signals(killed).name})"
        free, fewer = free_memory_bytes() / 2**30, max(1, self.processes // 2)
        if killed == getattr(signal, "SIGBUS", None):
            return (f"{found}: {SHARED} is full, through which batches are handed over. Give the container more of it "
                    "(--shm-size=8g), or make batches in threads (--set batch_processes=0).")
        return (f"{found}, most likely because memory ran out ({free:.1f} GiB free now). Close other programs, or take fewer "
                f"processes (--set batch_processes={fewer}). The same command goes on with the last saved state.")


class _Numbered:
    """The source of batches in one process: number `first` + its own, and then every `processes`-th after that."""

    def __init__(self, make: Callable[[int], Tensors], first: int, processes: int) -> None:
        self.make, self.number, self.processes = make, first, processes

    def set_thread_id(self, thread_id: int) -> None:
        """Begin as process number `thread_id`: Ctrl-C is for the parent, without which it ends, and one thread computes."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.excepthook = lambda *its: None  # of the thread that hands tensors over, where the parent is gone
        end_with_parent()
        torch.set_num_threads(1)
        self.number += thread_id

    def __next__(self) -> dict[str, Any]:
        number, self.number = self.number, self.number + self.processes
        try:
            return {name: tensor.share_memory_() for name, tensor in self.make(number).items()}
        except Exception as error:  # the parent raises it: here it would be printed with its traceback
            return {"error": _in_words(error, number)}


def _in_words(error: Exception, number: int) -> str:
    if isinstance(error, AutosegError):
        return str(error)
    if isinstance(error, MemoryError):
        return (f"Memory ran out while batch {number} was made ({free_memory_bytes() / 2**30:.1f} GiB free now). Close other "
                "programs, or take fewer processes (--set batch_processes=).")
    if told := system_error(error):
        return str(told)
    if "shared memory" in str(error) or "/torch_" in str(error):
        return (f"Batch {number} could not be handed over: {SHARED} has {shutil.disk_usage(SHARED).free / 2**20:.0f} MiB free. "
                "Give the container more of it (--shm-size=8g), or make batches in threads (--set batch_processes=0).")
    return (f"Batch {number} could not be made ({type(error).__name__}: {str(error).partition(chr(10))[0]}). "
            "--set batch_processes=0 makes it in this process, where the error is shown in full.")


def _abort_after(abort: Any, processes: list[Any]) -> None:
    """Let the augmenter give up as soon as a process is gone: it may wait for the rest of what that one was sending."""
    multiprocessing.connection.wait([process.sentinel for process in processes])
    abort.set()


@contextlib.contextmanager
def made_ahead(source: Any, device: torch.device, wanted: int | None) -> Iterator[Any]:
    """Give batches, made in processes where the device would wait for them, which end with the block.

    source: of batches, which also has `make`, `finish` (see `BackgroundBatches`) and the bytes of one, `nbytes`. wanted: see
    `processes_for`.
    """
    processes = processes_for(device, source.nbytes, wanted)
    if not processes:
        yield source
        return
    background: BackgroundBatches[Any] = BackgroundBatches(source.make, source.finish, processes, device.type == "cuda")
    try:
        yield background
    finally:
        background.close()


class _Flag:
    """An event between processes without a lock, which a process that is killed would hold for ever."""

    def __init__(self) -> None:
        self._value = multiprocessing.sharedctypes.RawValue(ctypes.c_bool, False)

    def is_set(self) -> bool:
        """Tell whether it was set."""
        return bool(self._value.value)

    def set(self) -> None:
        """Set it, for all processes."""
        self._value.value = True

    def clear(self) -> None:
        """Take it back."""
        self._value.value = False


@functools.cache
def _library() -> Any:
    """Return the augmenter's module, without what it prints, and so that its thread ends all of it where it fails itself."""
    from batchgenerators.dataloading import multi_threaded_augmenter as library

    collect = library.results_loop

    def collect_or_abort(in_queues: Any, out_queue: Any, abort_event: Any, *more: Any) -> None:
        try:
            collect(in_queues, out_queue, abort_event, *more)
        except Exception:  # a process is gone, or what it sent cannot be read
            abort_event.set()

    library.results_loop = collect_or_abort
    library.print = lambda *words: None
    library.logging = _Silent()
    return library


class _Silent:
    """A log that nobody keeps: the library's goes to the standard error."""

    def debug(self, *words: object) -> None:
        """Say nothing."""

    error = debug
