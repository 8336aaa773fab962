"""Batches of normal slices, all of which are in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from autoseg.errors import AutosegError, many
from autoseg.parallel import free_memory_bytes
from autoseg.tasks.anomaly.store import StoredSlices

SHARE_OF_FREE_MEMORY = 0.5


def normal_slices(cases: Sequence[StoredSlices]) -> torch.Tensor:
    """Return all slices of these cases that may be trained on, (N, C, S, S) float16 between -1 and 1.

    Raises AutosegError where there is none, or where they do not fit into memory.
    """
    chosen = [(case, np.flatnonzero(case.normal)) for case in cases]
    count = sum(len(indices) for _, indices in chosen)
    if count == 0:
        raise AutosegError(
            f"None of the {many(len(cases), 'case')} of this fold has a normal slice to train on. Check case_labels in "
            "dataset.json, or the labels: slices without foreground count as normal.")
    parts: list[torch.Tensor] = []
    for case, indices in chosen:
        if len(indices):
            slices = case.read()
            if not parts:
                _require_memory(count, slices[0].size)
            parts.append(torch.from_numpy(slices[indices].astype(np.float16)))
    return torch.cat(parts)


def _require_memory(count: int, values: int) -> None:
    needed = 2 * 2 * count * values  # float16, and once more while they are put together
    if needed > SHARE_OF_FREE_MEMORY * free_memory_bytes():
        raise AutosegError(
            f"{count} normal slices take {needed / 2**30:.1f} GiB of memory, more than half of what is free. Close other "
            "programs, or plan smaller slices: autoseg_plan_and_preprocess DATASET --planner slices --image-size 64.")


class SliceBatches:
    """Batches of slices that are drawn evenly from all. The draw depends only on `seed` and the batch's number."""

    def __init__(self, slices: torch.Tensor, batch_size: int, seed: int, device: torch.device) -> None:
        self.slices, self.batch_size, self.seed, self.device = slices, batch_size, seed, device

    def batches(self, first: int, count: int) -> Iterator[torch.Tensor]:
        """Yield batches number `first` to `first + count - 1`, (B, C, S, S) float32 on the device."""
        for number in range(first, first + count):
            rng = np.random.default_rng((self.seed, number))
            chosen = torch.from_numpy(rng.integers(len(self.slices), size=self.batch_size))
            yield self.slices[chosen].to(self.device, torch.float32)
