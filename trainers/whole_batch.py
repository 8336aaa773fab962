"""Sums over a whole batch, of which a process computes one part at a time: others compute the rest, or itself does it later.

The loss of a batch is the mean over its samples of the losses of its parts. A loss that is no mean over samples, such as a Dice
that pools the batch, sums what it needs by `whole_sum`; its value is then that of the whole batch in each part, and the gradients
of all parts together are that of the whole batch's loss, exactly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from autoseg.distributed import world

_current: list[WholeBatch] = []


def whole_sum(values: torch.Tensor) -> torch.Tensor:
    """Return the sum over the whole batch, of which `values` is this part's sum, with the gradient of this part's own.

    Where no part of a batch is computed, as in validation, `values` itself. To be called for the same values in each part. They
    must not depend on another such sum.
    """
    return _current[-1].total(values) if _current else values


class WholeBatch:
    """A batch that is computed in parts.

    samples: of the whole batch. in_parts: whether this process, or another, computes more than one part of it, so that sums are
    known only after a first pass over all of them (see `first_pass`).
    """

    def __init__(self, samples: int, in_parts: bool) -> None:
        self.samples, self.in_parts = samples, in_parts
        self.has_sums = False
        self._share, self._place, self._is_first_pass = 1.0, 0, False
        self._sums: list[torch.Tensor] = []

    @contextlib.contextmanager
    def part(self, samples: int) -> Iterator[float]:
        """Compute a part of so many samples in the block; yield its share of the batch."""
        self._share, self._place = samples / self.samples, 0
        _current.append(self)
        try:
            yield self._share
        finally:
            _current.pop()

    @contextlib.contextmanager
    def first_pass(self) -> Iterator[None]:
        """Compute all parts in the block without gradient, so that their sums are known afterwards."""
        self._is_first_pass, self._sums = True, []
        try:
            yield
        finally:
            self._is_first_pass = False
        self._sums = [world().sum(own) for own in self._sums]

    def total(self, own: torch.Tensor) -> torch.Tensor:
        """Return the whole batch's sum in the place of a part's own."""
        self.has_sums = True
        place, self._place = self._place, self._place + 1
        if self._is_first_pass:
            if place == len(self._sums):
                self._sums.append(torch.zeros_like(own))
            self._sums[place] = self._sums[place] + own.detach()
            return own
        total = self._sums[place] if self.in_parts else world().sum(own)
        whole: torch.Tensor = _WithOwnGradient.apply(own, total, self._share)
        return whole


class _WithOwnGradient(torch.autograd.Function):
    """A whole sum with the gradient of a part's own. The part's loss counts by its share only, and this gradient in full."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor, total: torch.Tensor, share: float) -> torch.Tensor:
        """Return the total."""
        ctx.share = share
        return total.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:  # type: ignore[override]
        """Return the part's own gradient."""
        return gradient / ctx.share, None, None
