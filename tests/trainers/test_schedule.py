"""How long a training lasts that is given a time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from autoseg.errors import AutosegError
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.settings import TrainingSettings


def test_a_timed_schedule_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 1 s in 1000 s (900 s without the reserve): epochs get shorter so that at least 20 fit."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    schedule = Schedule(TrainingSettings(max_hours=1000 / 3600))
    epoch, progress, shown = 0, list[float](), list[float]()
    while epoch < schedule.epochs:
        started, iteration = now, 0
        while True:
            progress.append(schedule.progress(epoch, iteration))
            now += 1.0
            iteration += 1
            is_over = schedule.is_epoch_over(epoch, iteration)
            shown.append(schedule.shown(epoch, iteration))
            if is_over:
                break
        now += 2.0  # validation
        schedule.end_epoch(epoch, now - started)
        epoch += 1
    assert epoch >= 20
    assert 850 < now <= 900 + schedule.iterations + 2
    assert shown == sorted(shown) and shown[9] == pytest.approx(10 / 1000) and shown[-1] == pytest.approx(now / 1000, abs=0.01)
    assert progress[-1] > 0.95 and all(later >= earlier - 0.05 for earlier, later in pairwise(progress))


def test_a_time_too_short_for_one_step_is_refused_with_what_a_step_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """36 s without the reserve of a tenth are 32.4 s; a step takes 40 s."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    schedule = Schedule(TrainingSettings(max_hours=0.01))
    schedule.begin()
    now = 40.0
    with pytest.raises(AutosegError, match="leaves 32 s for training, but one step took 40 s"):
        schedule.is_epoch_over(0, 1)
    within = Schedule(TrainingSettings(max_hours=0.02))
    within.begin()
    now = 60.0
    assert not within.is_epoch_over(0, 1)


def test_a_time_for_a_few_steps_ends_with_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 s without the reserve are 54 s: steps of 20 s end after the third, not after the thirteen that are measured."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    schedule = Schedule(TrainingSettings(max_hours=60 / 3600))
    schedule.begin()
    over = []
    for step in range(1, 4):
        now += 20.0
        over.append(schedule.is_epoch_over(0, step))
    schedule.end_epoch(0, now)
    assert over == [False, False, True] and schedule.epochs == 1 and schedule.shown(0, 3) == 1


def test_many_steps_on_a_cpu_are_announced_before_the_first() -> None:
    note = Schedule(TrainingSettings()).before_cpu()
    assert note is not None and "no GPU" in note and "--max-hours" in note
    assert Schedule(TrainingSettings(epochs=10, iterations=20)).before_cpu() is None
    assert Schedule(TrainingSettings(max_hours=1)).before_cpu() is None


def test_a_long_training_without_a_gpu_is_announced_once_with_the_flags_that_bound_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 10 s: 1000 × 250 of them, less the 4 that are done, are 2,499,960 s, that is 694 h 26 min."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    schedule, told = Schedule(TrainingSettings()), []
    for step in range(1, 9):
        now += 30.0 if step == 1 else 10.0  # the first one warms up
        told.append(schedule.long_without_gpu(0, step))
    [note] = filter(None, told)
    assert "no GPU" in note and "694 h 26 min" in note and "estimated" in note
    assert all(flag in note for flag in ("--max-hours", "--epochs", "--iterations"))
    short = Schedule(TrainingSettings(epochs=2, iterations=5))
    assert not any(short.long_without_gpu(0, step) for step in range(1, 9))
