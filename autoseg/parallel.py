"""Independent work in several processes, as many as the free memory allows."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, TypeVar

import psutil

from autoseg.errors import AutosegError, OutOfMemory

Item = TypeVar("Item")

SHARE_OF_FREE_MEMORY = 0.8
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLOSC_NTHREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
SECONDS_TO_END = 20  # that a process is given before it is killed
NOTHING_NOW = "nothing now"  # there may be something later
MEMORY_OF_A_WORKER = 150 * 2**20  # bytes that the interpreter and its libraries take before any image


@dataclass(frozen=True)
class Outcome(Generic[Item]):
    """The outcome of one item: a value, or the error that stopped it."""

    item: Item
    value: Any = None
    error: AutosegError | None = None


Work = Callable[[Iterator[Item], Callable[[Any], None]], Iterator[Outcome[Item]]]
"""Yields the outcomes of items, which it takes one by one, and tells the process that it works for whatever it gives the other
argument, such as progress."""


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

    An AutosegError stops its item only. An item whose worker the system kills (out of memory, as a rule), or for which memory
    runs out, is tried once more at the end, alone; one that fails again is named.

    function, items: picklable (sent to child processes, never to disk).
    bytes_per_item: memory that one item takes at its peak.
    workers: at most so many; None for as many as there are cores.
    """
    count = min(number_of_workers(bytes_per_item, workers), len(items))
    if count <= 1:
        for item in items:
            yield attempt(function, item)
        return
    expected = f"about {bytes_per_item / 2**30:.1f} GiB expected, "
    yield from Crew(partial(_each_by, function), range(count), items, expected=expected).outcomes()


def on_places(
    begin: Callable[[Any], Work[Item]], places: Sequence[Any], items: Sequence[Item], heed: Callable[[Any], None]
) -> Iterator[Outcome[Item]]:
    """Yield the outcome of each item, by a process for each place (see `Crew`); by this process where there is one place."""
    if len(places) == 1 or len(items) < 2:
        yield from begin(places[0])(iter(items), heed)
    else:
        yield from Crew(begin, places, items, heed).outcomes()


def _each_by(function: Callable[[Item], Any], place: int) -> Work[Item]:
    return lambda items, tell: (attempt(function, item) for item in items)


def attempt(function: Callable[[Item], Any], item: Item) -> Outcome[Item]:
    """Return the outcome of an item: an AutosegError, and memory that runs out, are its own."""
    try:
        return Outcome(item, value=function(item))
    except AutosegError as error:
        return Outcome(item, error=error)
    except MemoryError:
        return Outcome(item, error=OutOfMemory(
            f"{item}: memory ran out ({free_memory_bytes() / 2**30:.1f} GiB free). Use fewer processes (-np 1)."))


@dataclass(eq=False)
class _Worker(Generic[Item]):
    """A process of a crew. in_flight: numbers of the items that it was given and has not finished. has_begun: whether it
    was ready for items. is_idle: whether it waits for
    an item. is_alone: whether it has an item that is to be its only one."""

    place: Any
    process: BaseProcess
    connection: Connection[Any, Any]
    in_flight: set[int] = field(default_factory=set)
    has_begun: bool = False
    is_idle: bool = False
    is_alone: bool = False


class Crew(Generic[Item]):
    """Processes that each begin once, such as with networks on a card, and then take items one by one until none is left.

    An item is tried once more, alone, when all others are done, where the system killed its process or memory ran out: in another
    place where there is one. The process that was killed is begun again, but not one that ended before it had an item.
    """

    def __init__(
        self, begin: Callable[[Any], Work[Item]], places: Sequence[Any], items: Sequence[Item],
        heed: Callable[[Any], None] | None = None, expected: str = "",
    ) -> None:
        """begin: called in each process with one of `places`, gives what works there on items as it takes them. All are sent to
        the processes, so they must be picklable. heed: gets what the processes tell, and the AutosegError that kept one from
        beginning while others work. expected: memory that an item takes, for a message."""
        self._begin, self._places, self._items, self._expected = begin, places, items, expected
        self._heed = heed or (lambda told: None)
        self._waiting = deque(range(len(items)))
        self._again: dict[int, Any] = {}  # item to the place where it failed
        self._tried_again: set[int] = set()
        self._workers: list[_Worker[Item]] = []
        self._stopped: AutosegError | None = None  # why the last process could not go on

    def outcomes(self) -> Iterator[Outcome[Item]]:
        """Yield the outcome of each item, in the order in which they finish. Raises what an item raises that is no AutosegError,
        and the AutosegError that kept all processes from beginning. Whatever ends the iteration ends the processes."""
        try:
            for place in self._places[:len(self._items)]:
                self._start(place)
            while self._waiting or self._again or any(worker.in_flight for worker in self._workers):
                if not self._workers:
                    raise self._stopped or ValueError("no place to work at")
                by_connection = {worker.connection: worker for worker in self._workers}
                for connection in multiprocessing.connection.wait(list(by_connection)):
                    yield from self._listen(by_connection[connection])  # type: ignore[index]
                self._employ()
        finally:
            self._end()

    def _start(self, place: Any) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._begin, place), name=f"autoseg {place}")
        with cores_shared_by(len(self._places)):
            process.start()
        theirs.close()  # so that its end is seen when the process ends
        self._workers.append(_Worker(place, process, ours))

    def _listen(self, worker: _Worker[Item]) -> Iterator[Outcome[Item]]:
        """Do what one message of a process asks for."""
        try:
            kind, content = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        if kind == "done":
            number, outcome = content
            worker.in_flight.discard(number)
            if not (isinstance(outcome.error, OutOfMemory) and self._may_try_again(number, worker)):
                yield Outcome(self._items[number], outcome.value, outcome.error)
        elif kind == "told":
            self._heed(content)
        elif kind == "stopped":
            yield from self._bury(worker, *content)
        elif kind == "more":
            self._send(worker, None if worker.is_alone or not self._waiting else self._waiting.popleft())
        else:
            worker.has_begun, worker.is_idle, worker.is_alone = True, True, False

    def _employ(self) -> None:
        """Give items to idle processes: those not tried yet; when no process has one, one that is to be tried again."""
        idle = [worker for worker in self._workers if worker.is_idle]
        while idle and self._waiting:
            self._send(idle.pop(0), self._waiting.popleft())
        if self._again and not any(worker.in_flight for worker in self._workers):
            number, place = next(iter(self._again.items()))
            elsewhere = [worker for worker in self._workers if worker.place != place]
            worker = next((worker for worker in elsewhere or self._workers if worker.is_idle), None)
            if worker is not None:  # else one is about to begin
                del self._again[number]
                worker.is_alone = True
                self._send(worker, number)

    def _send(self, worker: _Worker[Item], number: int | None) -> None:
        if number is not None:
            worker.is_idle = False
            worker.in_flight.add(number)
        with contextlib.suppress(OSError):  # it has ended, which is seen when it is listened to
            worker.connection.send(NOTHING_NOW if number is None else (number, self._items[number]))

    def _may_try_again(self, number: int, worker: _Worker[Item]) -> bool:
        if number in self._tried_again:
            return False
        self._tried_again.add(number)
        self._again[number] = worker.place
        return True

    def _bury(
        self, worker: _Worker[Item], error: Exception | None = None, text: str = ""
    ) -> Iterator[Outcome[Item]]:
        """Take a process away that ended, or stopped by an error, and see to its items. text: the error's trace."""
        self._workers.remove(worker)
        worker.process.join(SECONDS_TO_END)
        if error is not None and not isinstance(error, AutosegError):
            raise error from RuntimeError(f"in the process of {worker.place}:\n{text}")
        how = _end_in_words(worker.process.exitcode)
        for number in sorted(worker.in_flight):
            if not self._may_try_again(number, worker):
                yield Outcome(self._items[number], error=AutosegError(
                    f"{self._items[number]}: the process that worked on it was killed twice ({how}), the second time alone, "
                    f"most likely because memory ran out ({self._expected}{free_memory_bytes() / 2**30:.1f} GiB free now). "
                    "Close other programs, or use a machine with more memory."))
        if error is not None:
            self._stopped = error
            if self._workers:
                self._heed(error)
        elif not worker.has_begun:
            self._stopped = AutosegError(
                f"The process of {worker.place} ended before it had begun ({how}), most likely because memory ran out "
                f"({free_memory_bytes() / 2**30:.1f} GiB free now). Close other programs.")
        elif self._waiting or self._again:
            self._start(worker.place)

    def _end(self) -> None:
        """End the processes that are left. Those that work leave files as they were; one that does not end in time is killed."""
        for worker in self._workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(SECONDS_TO_END)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()


def _end_in_words(exitcode: int | None) -> str:
    """Return how a process ended, such as "SIGKILL"."""
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-exitcode).name
    return f"exit code {exitcode}"


def _serve(connection: Connection[Any, Any], begin: Callable[[Any], Work[Any]], place: Any) -> None:
    """Work in a process of a crew. Ctrl-C is for its parent, which ends it, and without which it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    end_with_parent()
    talk = _Talk(connection)
    try:
        work = begin(place)
        while (first := talk.ask("idle")) is not None:
            for outcome in work(talk.items(first), partial(talk.send, "told")):
                talk.finish(outcome)
    except Exception as error:
        talk.send_error(error)
    except SystemExit:
        pass  # on the way here files were left as they were before
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stdout.flush()
        os._exit(0)  # threads that still work do not count, and what libraries do at their end could be cut short aloud


class _Talk:
    """The worker's side of the connection."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection, self._lock = connection, threading.Lock()
        self._in_flight: list[tuple[int, Any]] = []

    def send(self, kind: str, content: Any = None) -> None:
        """Send a message, from any thread."""
        with self._lock:
            self._connection.send((kind, content))

    def ask(self, kind: str) -> Any:
        """Return the answer to a question: an item with its number, `NOTHING_NOW`, or None where nothing comes any more."""
        self.send(kind)
        try:
            return self._connection.recv()
        except EOFError:
            return None

    def items(self, given: Any) -> Iterator[Any]:
        """Yield the item that was given, and further ones as long as there are any."""
        while given not in (None, NOTHING_NOW):
            self._in_flight.append(given)
            yield given[1]
            given = self.ask("more")

    def finish(self, outcome: Outcome[Any]) -> None:
        """Send the outcome of an item."""
        number = next(number for number, item in self._in_flight if item is outcome.item)
        self._in_flight = [one for one in self._in_flight if one[0] != number]
        self.send("done", (number, Outcome(None, outcome.value, outcome.error)))

    def send_error(self, error: Exception) -> None:
        """Send an error that stops this process, as far as it can be sent."""
        text = "".join(traceback.format_exception(error))
        try:
            ForkingPickler.loads(ForkingPickler.dumps(error))
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        with contextlib.suppress(OSError):
            self.send("stopped", (error, text))


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
    share = max(1, number_of_cores() // workers)
    os.environ.update({name: str(min(share, int(its) if (its := before[name] or "").isdecimal() and int(its) else share))
                       for name in THREAD_VARIABLES})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
