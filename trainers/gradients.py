"""Optimizer steps that are made only on gradients that are finite."""

from __future__ import annotations

import torch

from autoseg.distributed import world
from autoseg.errors import AutosegError

LEFT_OUT = "steps_left_out"  # in what a step returns, and among the values of an epoch
MOST_IN_A_ROW = 30  # steps; in float16 the first ones may be left out until the scale of the loss fits


class CheckedSteps:
    """Steps of optimizers. One whose gradient is not finite is left out: weights and moments stay as they are.

    left_out: how many were, since `take` was called.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._in_a_row = 0

    def step(
        self, optimizer: torch.optim.Optimizer, longest: float = float("inf"), scaler: torch.amp.GradScaler | None = None
    ) -> None:
        """Make a step, with the gradient's norm limited to `longest`. scaler: of the loss that the gradients come from.

        Raises AutosegError after many steps in a row whose gradient was not finite.
        """
        if scaler is not None:
            scaler.unscale_(optimizer)
        parameters = [weights for group in optimizer.param_groups for weights in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, longest)
        if world().all(bool(torch.isfinite(norm))):
            self._in_a_row = 0
            optimizer.step() if scaler is None else scaler.step(optimizer)
        else:
            self.left_out += 1
            self._in_a_row += 1
            optimizer.zero_grad(set_to_none=True)
        if scaler is not None:
            scaler.update()
        if self._in_a_row >= MOST_IN_A_ROW:
            raise AutosegError(
                f"The gradient was not finite in {self._in_a_row} steps in a row, so that nothing is learned any more. The last "
                "saved state is complete. Look for extreme intensities with `autoseg verify`, lower the learning rate with --set "
                "learning_rate=, or compute more precisely with --set precision=float32.")

    def take(self) -> dict[str, float]:
        """Return how many steps were left out since the last call, as a learner's step tells it; nothing where none was."""
        count, self.left_out = self.left_out, 0
        return {LEFT_OUT: float(count)} if count else {}
