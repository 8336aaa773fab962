"""Tiles of several cases in one batch: a small case alone leaves most of a GPU idle.

Cases are predicted in threads. A tile waits until each case that is under way has one waiting; then the tiles of one network
and size are seen as a batch:

    case a  ── tile ──┐
    case b  ── tile ──┼── batch ──>  answers for a, b and c
    case c  ── tile ──┘
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from autoseg.device import is_out_of_memory

RunNetwork = Callable[[nn.Module, torch.Tensor], torch.Tensor]


@dataclass
class _Asked:
    """A tile (B, C, *patch) that waits for a network. answer: its output (B, K, *patch), or what went wrong."""

    network: nn.Module
    tile: torch.Tensor
    answer: torch.Tensor | BaseException | None = None


def alone(network: nn.Module, tile: torch.Tensor) -> torch.Tensor:
    """Return the output (B, K, *patch) of a network, of deep supervision the finest, for tiles of one case."""
    output: torch.Tensor = network(tile)[0]
    return output


class SharedTiles:
    """A network's output for tiles, as `alone` gives it, of cases in threads, each inside `case`: their tiles share batches.

    The thread that comes last computes for all, with its own modes of torch: they must be those of the others.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._cases = 0
        self._waiting: list[_Asked] = []

    @contextmanager
    def case(self) -> Iterator[None]:
        """Count the block as a case that is under way: other tiles wait for its tiles."""
        with self._condition:
            self._cases += 1
        try:
            yield
        finally:
            with self._condition:
                self._cases -= 1
                self._compute_when_all_wait()

    def __call__(self, network: nn.Module, tile: torch.Tensor) -> torch.Tensor:
        """Return the output for a tile. Raises what the network raised for it; memory that ran out for a batch is no such
        thing: then each tile is tried alone."""
        asked = _Asked(network, tile)
        with self._condition:
            self._waiting.append(asked)
            self._compute_when_all_wait()
            self._condition.wait_for(lambda: asked.answer is not None)
        if isinstance(asked.answer, BaseException):
            raise asked.answer
        assert asked.answer is not None
        return asked.answer

    def _compute_when_all_wait(self) -> None:
        if len(self._waiting) < self._cases:
            return
        waiting, self._waiting = self._waiting, []
        alike: dict[tuple[int, torch.Size], list[_Asked]] = {}
        for asked in waiting:
            alike.setdefault((id(asked.network), asked.tile.shape[1:]), []).append(asked)
        for together in alike.values():
            _answer(together)
        self._condition.notify_all()


def _answer(together: Sequence[_Asked]) -> None:
    """Answer tiles of one network and size."""
    try:
        output = alone(together[0].network, torch.cat([asked.tile for asked in together]) if together[1:] else together[0].tile)
        for asked, its in zip(together, output.split([len(asked.tile) for asked in together]), strict=True):
            asked.answer = its
    except BaseException as error:  # each thread raises its own
        if together[1:] and isinstance(error, RuntimeError) and is_out_of_memory(error):
            for asked in together:
                _answer([asked])
        else:
            for asked in together:
                asked.answer = error
