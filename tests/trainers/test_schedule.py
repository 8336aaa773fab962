"""How long a training lasts that is given a time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from autoseg.trainers.schedule import Schedule
from autoseg.trainers.settings import TrainingSettings


def test_a_timed_schedule_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 1 s in 1000 s (900 s without the reserve): epochs get shorter so that at least 20 fit."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    schedule = Schedule(TrainingSettings(max_hours=1000 / 3600))
    epoch, progress = 0, []
    while epoch < schedule.epochs:
        started, iteration = now, 0
        while True:
            progress.append(schedule.progress(epoch, iteration))
            now += 1.0
            iteration += 1
            if schedule.is_epoch_over(epoch, iteration):
                break
        now += 2.0  # validation
        schedule.end_epoch(epoch, now - started)
        epoch += 1
    assert epoch >= 20
    assert 850 < now <= 900 + schedule.iterations + 2
    assert progress[-1] > 0.95 and all(later >= earlier - 0.05 for earlier, later in pairwise(progress))
