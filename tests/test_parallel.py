"""Work in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from autoseg.errors import AutosegError, OutOfMemory
from autoseg.parallel import Crew, Outcome, Work, number_of_cores, run_parallel


def test_workers_are_born_with_their_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("BLOSC_NTHREADS", raising=False)
    outcomes = run_parallel(os.getenv, ["OMP_NUM_THREADS", "BLOSC_NTHREADS"], bytes_per_item=1, workers=2)
    workers = min(2, number_of_cores())
    if workers == 1:
        pytest.skip("one core: nothing runs in parallel")
    assert {outcome.value for outcome in outcomes} == {str(number_of_cores() // workers)}
    assert os.environ["OMP_NUM_THREADS"] == "7" and "BLOSC_NTHREADS" not in os.environ


def test_a_killed_worker_stops_no_other_item_and_the_one_that_kills_it_is_named() -> None:
    """The function sends its process a signal: SIGCONT does nothing to it, SIGKILL ends it."""
    if number_of_cores() == 1:
        pytest.skip("one core: nothing runs in parallel")
    items = [signal.SIGCONT, signal.SIGKILL, *[signal.SIGCONT] * 4]
    outcomes = list(run_parallel(signal.raise_signal, items, bytes_per_item=1, workers=2))
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    assert len(outcomes) == len(items)
    assert [outcome.item for outcome in failed] == [signal.SIGKILL]
    assert "killed twice (SIGKILL), the second time alone" in str(failed[0].error)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_workers_end_when_their_parent_is_killed() -> None:
    """Nobody holds the pipe of the killed process's output any more, so that what reads from it ends, too."""
    if number_of_cores() == 1:
        pytest.skip("one core: nothing runs in parallel")
    script = textwrap.dedent("""
        import time
        from autoseg.parallel import run_parallel
        if __name__ == "__main__":
            list(run_parallel(time.sleep, [600] * 4, bytes_per_item=1, workers=2))
        """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as parent:
        children: list[psutil.Process] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and sum("spawn_main" in " ".join(child.cmdline()) for child in children) < 2:
            time.sleep(0.1)
            children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        time.sleep(1)  # until they work
        parent.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=60)
        for child in alive:
            child.kill()
        assert not alive
        parent.communicate(timeout=60)


def begin(place: str) -> Work[str]:
    """A place of a crew: it works on words, unless the place or the word says otherwise."""
    if place == "taken":
        raise AutosegError("the card is taken")

    def each(items: Iterator[str], tell: Callable[[Any], None]) -> Iterator[Outcome[str]]:
        for item in items:
            tell(item)
            if item == "bug":
                raise LookupError("of ours")
            is_too_big = item == "huge" or (item == "big" and place == "small")
            yield Outcome(item, error=OutOfMemory(f"{item} on {place}")) if is_too_big else Outcome(item, value=place)

    return each


def test_a_place_that_runs_out_of_memory_gives_its_item_to_another() -> None:
    told: list[Any] = []
    outcomes = list(Crew(begin, ["small", "large"], ["big", "huge", "big", "little"], told.append).outcomes())
    ended = sorted((outcome.item, outcome.value or str(outcome.error)[:4]) for outcome in outcomes)
    assert ended[:2] == [("big", "large")] * 2 and ended[2] == ("huge", "huge") and ended[3][0] == "little"
    assert told.count("huge") == 2 and told.count("little") == 1


def test_a_place_that_cannot_begin_is_left_to_others_and_said() -> None:
    told: list[Any] = []
    assert [outcome.value for outcome in Crew(begin, ["taken", "large"], ["a", "b"], told.append).outcomes()] == ["large"] * 2
    assert {str(word) for word in told} >= {"a", "b"}
    with pytest.raises(AutosegError, match="the card is taken"):
        list(Crew(begin, ["taken", "taken"], ["a", "b"]).outcomes())


def test_a_fault_of_ours_in_a_process_is_raised_here() -> None:
    with pytest.raises(LookupError, match="of ours") as raised:
        list(Crew(begin, ["one", "other"], ["a", "bug"]).outcomes())
    assert "in each" in str(raised.value.__cause__)
    assert not multiprocessing.active_children()
