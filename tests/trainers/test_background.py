"""Batches made by processes: their order, what happens to errors, and that no process is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.trainers import background
from autoseg.trainers.background import BackgroundBatches, Tensors, processes_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="batches are made by threads there")


def numbered(number: int) -> Tensors:
    """A batch that says its number and who made it."""
    return {"number": torch.full((2, 3), number), "maker": torch.tensor(os.getpid())}


def failing(number: int) -> Tensors:
    if number == 5:
        raise AutosegError("case spine_07: its file is damaged.")
    if number == 8:
        raise KeyError("spine")
    return numbered(number)


Made = tuple[int, int]


def stream_of(make=numbered, processes: int = 3) -> BackgroundBatches[Made]:
    return BackgroundBatches(make, lambda its: (int(its["number"][1, 2]), int(its["maker"])), processes)


@pytest.fixture
def stream() -> Iterator[BackgroundBatches[Made]]:
    made = stream_of()
    yield made
    made.close()


def test_batches_come_in_order_from_processes_that_go_on(stream: BackgroundBatches[Made]) -> None:
    epochs = [list(stream.batches(first, 5)) for first in (4, 9)]
    assert [number for epoch in epochs for number, _ in epoch] == list(range(4, 14))
    makers = [maker for epoch in epochs for _, maker in epoch]
    assert len(set(makers)) == 3 and os.getpid() not in makers and makers[:7] == makers[3:]


def test_batches_out_of_order_are_those_of_their_numbers(stream: BackgroundBatches[Made]) -> None:
    stopped = stream.batches(0, 10)
    assert [next(stopped)[0], next(stopped)[0]] == [0, 1]
    assert [number for number, _ in stream.batches(10, 2)] == [10, 11]
    assert [number for number, _ in stream.batches(3, 2)] == [3, 4]
    stream.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(("bad", "words"), [
    (5, "case spine_07: its file is damaged."), (8, "Batch 8 could not be made .KeyError: 'spine'.*batch_processes=0")])
def test_an_error_of_a_process_is_raised_here_and_ends_all(bad: int, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    stream, got = stream_of(failing), []
    with pytest.raises(AutosegError, match=words):
        got.extend(number for number, _ in stream.batches(bad - 2, 9))
    assert got[:2] == [bad - 2, bad - 1] and not multiprocessing.active_children() and capfd.readouterr() == ("", "")


def test_a_process_that_is_killed_is_noticed(capfd: pytest.CaptureFixture[str]) -> None:
    stream = stream_of()
    with pytest.raises(AutosegError, match=r"ended \(SIGKILL\), most likely because memory ran out.*batch_processes=1\)"):
        for _, maker in stream.batches(0, 1000):
            if psutil.pid_exists(maker):
                os.kill(maker, signal.SIGKILL)
    assert not multiprocessing.active_children() and capfd.readouterr() == ("", "")


def test_threads_make_batches_where_no_gpu_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr("autoseg.distributed.number_of_cores", lambda: 40)
    monkeypatch.setattr("autoseg.parallel.free_memory_bytes", lambda: 10 * 2**30)
    assert processes_for(cpu, 1, None) == 0 and processes_for(cpu, 1, 2) == 2 and processes_for(cuda, 1, 0) == 0
    assert processes_for(cuda, 1, None) == background.MOST_PROCESSES
    assert processes_for(cuda, 2**29, None) == 3  # four batches of half a GiB each, and what an interpreter takes


PARENT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, FOLDER)
from test_background import stream_of
stream = stream_of()
makers = [maker for _, maker in stream.batches(0, 6)]
try:  # before what tells the test that the signal may come
    print(*makers[:3], flush=True)
    for _ in stream.batches(6, 10**9):
        time.sleep(0.001)
except KeyboardInterrupt:
    print("stopped", flush=True)
finally:
    stream.close()
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_training(how: signal.Signals) -> None:
    script = PARENT.replace("FOLDER", repr(str(Path(__file__).parent)))
    parent = subprocess.Popen([sys.executable, "-c", script], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              start_new_session=True)
    makers = [int(word) for word in parent.stdout.readline().split()]  # type: ignore[union-attr]
    assert len(makers) == 3
    if how == signal.SIGINT:  # Ctrl-C goes to all processes of a terminal
        os.killpg(parent.pid, how)
    else:
        parent.kill()
    output, errors = parent.communicate(timeout=60)
    assert (output, errors) == ("stopped\n" if how == signal.SIGINT else "", "")
    until = time.monotonic() + 30
    while any(map(psutil.pid_exists, makers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, makers))
