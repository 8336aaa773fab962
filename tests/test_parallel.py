"""Work in several processes."""

from __future__ import annotations

import os
import signal

import pytest

from autoseg.parallel import number_of_cores, run_parallel


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
    assert "killed twice" in str(failed[0].error)
