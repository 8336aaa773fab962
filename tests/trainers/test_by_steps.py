"""Optimizer settings that follow from the number of steps, and the words in which a training says them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autoseg.files import write_json
from autoseg.trainers import loop
from autoseg.trainers.one_network import OneNetworkLearner
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.settings import OptimizerSettings
from autoseg.training_log import TrainingRecord, read_log
from autoseg.workspace import FoldFolder, read_model


class Line(OneNetworkLearner):
    """Learns y = 3 x."""

    def training_step(self, batch: torch.Tensor) -> dict[str, float]:
        return self.step(batch, lambda y: (y - 3 * batch).square().mean())  # type: ignore[operator]

    def validation_step(self, batch: torch.Tensor) -> tuple[dict[str, float], torch.Tensor]:
        return {"loss": 0.0}, torch.zeros(0, 3, dtype=torch.int64)


class Numbers:
    """Batches of random numbers."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.clock = 0.0

    def batches(self, first: int, count: int) -> Iterator[torch.Tensor]:
        for number in range(first, first + count):
            self.clock += self.takes_s
            yield torch.randn(4, 1, 1, 1, generator=torch.Generator().manual_seed(number))


def make_run(folder: Path, settings: OptimizerSettings, takes_s: float = 0.0) -> loop.Run:
    place = FoldFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not place.training_json.exists():
        write_json(place.training_json, TrainingRecord(settings={}, machines=()))
    torch.manual_seed(0)
    return loop.Run(Line(nn.Conv2d(1, 1, 1), settings, torch.device("cpu")), Numbers(takes_s), None, [], settings, place,
                    Schedule(settings, reserve=0.0), lambda share, text: None)


def of_optimizer(run: loop.Run) -> dict[str, Any]:
    group = run.learner.optimizers["network"].param_groups[0]
    return {key: group[key] for key in ("momentum", "nesterov", "weight_decay")}


def test_a_training_of_full_length_has_the_settings_of_nnunet() -> None:
    """Isensee et al. 2021: SGD 0.01, Nesterov momentum 0.99, no warm-up, polynomial decay, 1000 epochs of 250 steps."""
    full = OptimizerSettings().settled()
    assert (full.learning_rate, full.momentum, full.warmup, full.schedule) == (0.01, 0.99, 0.0, "poly")


@pytest.mark.parametrize(("steps", "momentum", "warmup"), [
    (1, 0.7, 0.05), (100, 0.7, 0.05), (400, 0.7, 0.05), (600, 0.8, 0.05), (1200, 0.9, 0.05), (2400, 0.95, 0.05),
    (6000, 0.98, 0.05), (12000, 0.99, 0.0), (10**6, 0.99, 0.0)])
def test_momentum_averages_over_a_share_of_the_steps_and_the_rate_follows_it(steps: int, momentum: float, warmup: float) -> None:
    """By hand: 1 - 120 / steps, between 0.7 and 0.99; rate / (1 - momentum) is 1."""
    its = OptimizerSettings().for_steps(steps)
    assert (its.learning_rate, its.momentum, its.warmup) == (pytest.approx(1 - momentum), momentum, warmup)


def test_what_the_user_sets_wins() -> None:
    its = OptimizerSettings(learning_rate=0.003, momentum=0.5, warmup=0.2).for_steps(100)
    assert (its.learning_rate, its.momentum, its.warmup) == (0.003, 0.5, 0.2)
    assert OptimizerSettings(momentum=0.95).for_steps(100).learning_rate == pytest.approx(0.05)  # goes with the momentum given
    assert OptimizerSettings(momentum=0.0).for_steps(100).learning_rate == 0.3


def test_a_plateau_needs_epochs_enough() -> None:
    adam = OptimizerSettings(optimizer="adam", schedule=None)
    assert [adam.model_copy(update={"epochs": epochs}).settled().schedule for epochs in (149, 150)] == ["poly", "plateau"]
    assert adam.model_copy(update={"max_hours": 1.0}).for_steps(10**6).schedule == "poly"
    assert adam.settled().learning_rate == 3e-4 and adam.settled().momentum is None  # Adam has none


def test_what_was_chosen_is_said_and_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "fold", OptimizerSettings(epochs=4, iterations=100, momentum=0.9, precision="float32"))
    loop.train(run)
    assert of_optimizer(run)["momentum"] == 0.9
    said = capfd.readouterr()
    assert "For 400 optimizer steps: learning_rate=0.1, warmup=0.05. What you give with --set wins." in said.out + said.err
    assert read_model(run.folder.training_json, TrainingRecord).chosen == {"learning_rate": 0.1, "warmup": 0.05}


def test_a_timed_training_chooses_by_the_speed_of_its_first_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for a step and 1.15 with validation: 1000 s are 13 + 987 / 1.15 = 871 steps, in 20 epochs of 43: 860."""
    settings = OptimizerSettings(max_hours=1000 / 3600, precision="float32")
    run = make_run(tmp_path / "fold", settings, takes_s=1.0)
    monkeypatch.setattr("time.monotonic", lambda: run.training.clock)  # type: ignore[attr-defined]
    run.schedule = Schedule(settings, reserve=0.0)
    loop.train(run)
    assert run.schedule.steps == 860 and of_optimizer(run)["momentum"] == 0.86
    assert read_model(run.folder.training_json, TrainingRecord).chosen == {
        "learning_rate": 0.14, "momentum": 0.86, "warmup": 0.05}
    assert max(epoch.learning_rate for epoch in read_log(run.folder.log_jsonl)) < 0.14


def test_a_timed_training_goes_on_with_what_was_chosen_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later epochs are slower, so that fewer fit: momentum and rate stay those that the state holds."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_STATES", -1)
    settings = OptimizerSettings(max_hours=1000 / 3600, precision="float32")
    run = make_run(tmp_path / "fold", settings, takes_s=1.0)
    monkeypatch.setattr("time.monotonic", lambda: run.training.clock)  # type: ignore[attr-defined]
    run.schedule = Schedule(settings, reserve=0.0)

    def stop(share: float, text: str) -> None:
        if "epoch 2/" in text:
            run.training.takes_s = 2.0  # type: ignore[attr-defined]
        if "epoch 4/" in text:
            raise KeyboardInterrupt

    run.report = stop
    with pytest.raises(KeyboardInterrupt):
        loop.train(run)
    assert run.schedule.epochs < 15
    again = make_run(tmp_path / "fold", settings, takes_s=2.0)
    again.training.clock = run.training.clock  # type: ignore[attr-defined]
    again.schedule = Schedule(settings, reserve=0.0)
    run.training = again.training
    loop.train(again)
    assert again.schedule.steps == 860 and of_optimizer(again)["momentum"] == 0.86


def test_the_online_validation_of_a_timed_training_is_a_fifth_of_its_short_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs of 43 steps, as above, are followed by 8 batches of validation: a fifth of 250 would take longer than they do."""
    settings = OptimizerSettings(max_hours=1000 / 3600, precision="float32")
    run = make_run(tmp_path / "fold", settings, takes_s=1.0)
    monkeypatch.setattr("time.monotonic", lambda: run.training.clock)  # type: ignore[attr-defined]
    run.schedule, run.validation = Schedule(settings, reserve=0.0), Numbers(takes_s=1.0)
    loop.train(run)
    assert run.validation.clock == 8 * len(run.history)
