"""Starting the processes of one training on this machine, and ending all of them where one ends early."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import multiprocessing

from autoseg.distributed import LostConnectionError, World, device_of, is_of_connection, join
from autoseg.errors import AutosegError
from autoseg.parallel import cores_shared_by, end_with_parent, free_memory_bytes

POLL_S = 0.2
GRACE_S = 5.0  # for the others to end by themselves
GOES_ON = "The same command goes on with the last saved state."


class Word(NamedTuple):
    """The last word of a process. kind: whether it is done (its result), has an error for the user (its message), broke (the last
    line of its traceback), or lost the others."""

    kind: Literal["done", "told", "broke", "lost"]
    content: Any


def launch(count: int, device: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call `function(**arguments)` in so many processes of a world of their own; return the main one's result.

    function: of a module, so that a new process can import it. device: as a user names it. Raises AutosegError with the reason
    where one process fails or is killed, after all others have ended.
    """
    device_of(World(size=count, local_size=count), device)
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    words: dict[int, Word] = {}
    first = None
    with tempfile.TemporaryDirectory(prefix="autoseg-") as folder, _quiet_launcher(), cores_shared_by(count):
        started = multiprocessing.start_processes(
            _run, (count, device, f"{Path(folder).as_uri()}/store", [writer for _, writer in pipes], function, dict(arguments)),
            nprocs=count, join=False, start_method="spawn")
        try:
            while not started.join(timeout=POLL_S, grace_period=GRACE_S):
                _hear(pipes, words)
        except multiprocessing.ProcessExitedException as error:
            first = error.error_index
        finally:
            _end(started.processes)
    _hear(pipes, words)
    if first is not None:
        raise AutosegError(_reason(words, [process.exitcode or 0 for process in started.processes], first))
    return words[0].content


def _run(
    rank: int, count: int, device: str, store: str, writers: list[Connection], function: Callable[..., Any],
    arguments: dict[str, Any],
) -> None:
    """Be process number `rank`: Ctrl-C is for the parent, without which it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    try:
        join(World(rank, count, rank, count), device, store)
        result = function(**arguments)
        writers[rank].send(Word("done", result if rank == 0 else None))
        return
    except AutosegError as error:
        word = Word("lost" if isinstance(error, LostConnectionError) else "told", str(error))
    except Exception as error:
        word = Word("lost" if is_of_connection(error) else "broke", traceback.format_exception_only(error)[-1].strip())
        if word.kind == "broke":
            traceback.print_exc()
    writers[rank].send(word)
    sys.stdout.flush()
    sys.exit(1)


def _hear(pipes: list[tuple[Connection, Connection]], words: dict[int, Word]) -> None:
    for rank, (reader, _) in enumerate(pipes):
        with contextlib.suppress(EOFError, OSError):
            if rank not in words and reader.poll():
                words[rank] = reader.recv()


def _end(processes: list[Any]) -> None:
    """End all processes that still run."""
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        process.join(GRACE_S)
        if process.is_alive():
            process.kill()
            process.join()


def _reason(words: Mapping[int, Word], codes: list[int], first: int) -> str:
    """Return what to say where processes failed. codes: with which each ended. first: the one that was seen to end first."""
    for word in words.values():
        if word.kind == "told":
            return str(word.content)
    ended = [rank for rank, code in enumerate(codes) if code not in (0, 1, -signal.SIGTERM)]
    rank = next((rank for rank, word in words.items() if word.kind == "broke"), ended[0] if ended else first)
    if rank in words and words[rank].kind == "broke":
        return f"Process {rank} of {len(codes)} failed, and all others were ended: {words[rank].content}"
    how = f"was killed ({signal.Signals(-codes[rank]).name})" if codes[rank] < 0 else f"ended (exit code {codes[rank]})"
    why = ", most likely because memory ran out" if codes[rank] == -getattr(signal, "SIGKILL", 9) else ""
    return (f"Process {rank} of {len(codes)} {how}{why} ({free_memory_bytes() / 2**30:.1f} GiB free now), and all others were "
            f"ended. {GOES_ON}")


@contextlib.contextmanager
def _quiet_launcher() -> Iterator[None]:
    """Keep torch's launcher from writing to the standard error which processes it ends."""
    log = logging.getLogger(torch.multiprocessing.spawn.__module__)
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
