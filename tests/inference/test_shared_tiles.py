"""Tiles of cases that are predicted in threads share batches; each gets its own answer, whatever becomes of the others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from autoseg.inference.shared_tiles import SharedTiles


class Double(nn.Module):
    """Twice the image; notes the size of each batch, and refuses those that are too large or hold a nan."""

    def __init__(self, largest: int = 100) -> None:
        super().__init__()
        self.largest = largest
        self.batches: list[int] = []

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        self.batches.append(len(x))
        if len(x) > self.largest:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        if x.isnan().any():
            raise ValueError("nan")
        return [2 * x, x[..., ::2]]


def predict(shared: SharedTiles, network: nn.Module, cases: list[list[torch.Tensor]]) -> list[list[torch.Tensor] | Exception]:
    """What each case gets, all of them begun before the first tile."""
    begun = threading.Barrier(len(cases))

    def one(tiles: list[torch.Tensor]) -> list[torch.Tensor] | Exception:
        with shared.case():
            begun.wait(10)
            try:
                return [shared(network, tile) for tile in tiles]
            except (RuntimeError, ValueError) as error:
                return error

    with ThreadPoolExecutor(len(cases)) as pool:
        return list(pool.map(one, cases, timeout=60))


def tiles(count: int, seed: int, size: int = 4) -> list[torch.Tensor]:
    return list(torch.randn(count, 1, 2, size, size, generator=torch.Generator().manual_seed(seed)))


def test_tiles_of_three_cases_are_batches_of_three_until_one_ends() -> None:
    network, cases = Double(), [tiles(2, 0), tiles(4, 1), tiles(4, 2)]
    for its, found in zip(cases, predict(SharedTiles(), network, cases), strict=True):
        assert not isinstance(found, Exception) and all(map(torch.equal, found, (2 * tile for tile in its)))
    assert network.batches == [3, 3, 2, 2]


def test_tiles_of_other_sizes_and_networks_are_batches_of_their_own() -> None:
    network, other, shared = Double(), Double(), SharedTiles()
    cases = [tiles(1, 0), tiles(1, 1, size=6), tiles(1, 2)]
    for its, found in zip(cases, predict(shared, network, cases), strict=True):
        assert not isinstance(found, Exception) and torch.equal(found[0], 2 * its[0])
    assert sorted(network.batches) == [1, 2]
    assert torch.equal(shared(other, cases[0][0]), 2 * cases[0][0]) and other.batches == [1]  # outside of any case, at once


def test_a_batch_that_memory_cannot_hold_is_seen_tile_by_tile() -> None:
    network, cases = Double(largest=1), [tiles(1, 0), tiles(1, 1)]
    found = predict(SharedTiles(), network, cases)
    assert network.batches == [2, 1, 1]
    assert all(not isinstance(one, Exception) and torch.equal(one[0], 2 * its[0]) for one, its in zip(found, cases, strict=True))


def test_an_error_is_raised_in_every_case_that_waited_and_a_case_that_fails_holds_up_no_other() -> None:
    network, shared = Double(), SharedTiles()
    bad = [torch.full((1, 2, 4, 4), float("nan"))]
    found = predict(shared, network, [bad, tiles(1, 1)])
    assert all(isinstance(one, ValueError) for one in found)

    def fail() -> None:
        with shared.case():
            raise OSError("the disk is full")

    with ThreadPoolExecutor(1) as pool, pytest.raises(OSError, match="disk"):
        pool.submit(fail).result(10)
    assert not isinstance(predict(shared, network, [tiles(2, 1)])[0], Exception)
