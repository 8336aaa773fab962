"""Learners: everything that `loop.py` needs to know of what is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import nn


class Batches(Protocol):
    """A source of batches, of whatever kind the learner takes."""

    def batches(self, first: int, count: int) -> Iterator[Any]:
        """Yield batches number `first` to `first + count - 1`, which depend on their numbers alone."""


class Learner(Protocol):
    """Networks, optimizers, and what one training step does. A recipe builds it, and `loop.py` runs it.

    modules: by name; their weights are the checkpoint. optimizers: by name.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    def set_progress(self, progress: float) -> None:
        """Set the learning rates for this share (0..1) of the training done."""

    def end_epoch(self, training_loss: float) -> None:
        """Take note that an epoch is over. training_loss: mean of its training losses."""

    @property
    def is_exhausted(self) -> bool:
        """Whether the training is over before its last epoch."""

    def training_step(self, batch: Any) -> dict[str, float]:
        """Make one optimizer step; return losses and other values by name, "loss" among them. The log keeps their means."""

    def validation_step(self, batch: Any) -> tuple[dict[str, float], torch.Tensor]:
        """Return losses, and counts (classes, 3) of true positive, false positive and false negative voxels."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values from which training can continue."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
