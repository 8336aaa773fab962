"""Schedules by which the learning rate falls: with the share of the training done, or when the training loss stops falling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from autoseg.trainers.settings import OptimizerSettings


class Rate(Protocol):
    """A schedule of the learning rate."""

    @property
    def is_exhausted(self) -> bool:
        """Tell whether more epochs would change nothing."""

    def at(self, progress: float) -> float:
        """Return the rate where this share (0..1) of the training is done."""

    def end_epoch(self, training_loss: float) -> None:
        """Take note that an epoch is over. training_loss: mean of its training losses."""

    def state_dict(self) -> dict[str, float]:
        """Return plain values from which training can continue."""

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from what `state_dict` returned."""


class Polynomial:
    """A polynomial decay of the rate: (1 - progress)^0.9 (Isensee et al. 2021)."""

    def __init__(self, settings: OptimizerSettings) -> None:
        self.first = _first(settings)

    @property
    def is_exhausted(self) -> bool:
        return False

    def at(self, progress: float) -> float:
        return self.first * max(0.0, 1 - progress) ** 0.9

    def end_epoch(self, training_loss: float) -> None:
        pass

    def state_dict(self) -> dict[str, float]:
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None:
        pass


class Plateau:
    """A constant rate, × `factor` whenever the moving average of the training loss has not improved for `patience` epochs.

    It is exhausted when it has fallen below `floor` (Zhao and Zeng 2019). The epochs are counted anew after each fall.
    """

    def __init__(self, settings: OptimizerSettings) -> None:
        self.settings = settings.plateau
        self.rate = _first(settings)
        self.smoothed: float | None = None
        self.best = math.inf
        self.waited = 0

    @property
    def is_exhausted(self) -> bool:
        return self.rate < self.settings.floor

    def at(self, progress: float) -> float:
        return self.rate

    def end_epoch(self, training_loss: float) -> None:
        keep = self.settings.smoothing
        self.smoothed = training_loss if self.smoothed is None else keep * self.smoothed + (1 - keep) * training_loss
        if self.smoothed < self.best - self.settings.threshold:
            self.best, self.waited = self.smoothed, 0
            return
        self.waited += 1
        if self.waited >= self.settings.patience:
            self.rate, self.waited = self.rate * self.settings.factor, 0

    def state_dict(self) -> dict[str, float]:
        state = {"rate": self.rate, "best": self.best, "waited": self.waited}
        return state if self.smoothed is None else {**state, "smoothed": self.smoothed}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.rate, self.best, self.waited = state["rate"], state["best"], int(state["waited"])
        self.smoothed = state.get("smoothed")


RATES: dict[str, Callable[[OptimizerSettings], Rate]] = {"poly": Polynomial, "plateau": Plateau}


def build_rate(settings: OptimizerSettings) -> Rate:
    """Return the rate that `settings.schedule` names. settings: of a known number of steps (see `for_steps`)."""
    return RATES[settings.schedule or "poly"](settings)


def _first(settings: OptimizerSettings) -> float:
    if settings.learning_rate is None:
        raise ValueError("settings must be those of a known number of steps (for_steps)")
    return settings.learning_rate
