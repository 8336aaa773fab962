"""What is trained: everything that `loop.py` needs to know of a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import nn


class Batches(Protocol):
    """Where batches come from: whatever the task takes."""

    def batches(self, first: int, count: int) -> Iterator[Any]:
        """Batches number `first` to `first + count - 1`, which depend on their numbers alone."""


class Task(Protocol):
    """Networks, optimizers, and what one step is. Made by a recipe's `build`, run by `loop.py`.

    modules: by name; their weights are the checkpoint. optimizers: by name.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    def set_progress(self, progress: float) -> None:
        """Set the learning rates for this share (0..1) of the training done."""

    def end_epoch(self, training_loss: float) -> None:
        """Told after each epoch, with the mean of its training losses."""

    @property
    def is_exhausted(self) -> bool:
        """Whether the training is over before its last epoch."""

    def training_step(self, batch: Any) -> dict[str, float]:
        """One optimizer step; losses and other values by name, "loss" among them, of which the log keeps each epoch's mean."""

    def validation_step(self, batch: Any) -> tuple[dict[str, float], torch.Tensor]:
        """Losses, and counts (classes, 3) of true positive, false positive and false negative voxels."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values from which training goes on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
