"""Batches of slices: drawn by their number alone, and evenly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.tasks.anomaly.store import SlicesDescription, StoredSlices, open_slices, write_slices
from autoseg.trainers.anomaly import batches
from autoseg.trainers.anomaly.batches import SliceBatches, normal_slices

CPU = torch.device("cpu")
NUMBERED = torch.arange(10, dtype=torch.float16)[:, None, None, None].expand(10, 1, 8, 8)


def numbers(batch: torch.Tensor) -> list[int]:
    return [int(value) for value in batch[:, 0, 0, 0]]


def stored_case(folder: Path, case: str, first: int, normal: tuple[bool, ...]) -> StoredSlices:
    """Slices whose pixels are all (first + index) / 100."""
    description = SlicesDescription(
        case=case, shapes={}, origin="", plans="", case_truth=None, truths=(None,) * len(normal),
        blank=(False,) * len(normal), normal=normal)
    values = (first + np.arange(len(normal), dtype=np.float32)) / 100
    write_slices(folder, description, np.broadcast_to(values[:, None, None, None], (len(normal), 1, 8, 8)))
    return open_slices(folder, case)


def test_a_batch_depends_on_its_number_and_the_seed_alone() -> None:
    def stream(seed: int = 0) -> SliceBatches:
        return SliceBatches(NUMBERED, 16, seed, CPU)

    first = [numbers(batch) for batch in stream().batches(0, 6)]
    torch.manual_seed(99)
    assert [numbers(batch) for batch in stream().batches(2, 3)] == first[2:5]
    assert len({tuple(batch) for batch in first}) == 6
    assert [numbers(batch) for batch in stream(1).batches(0, 6)] != first


def test_slices_are_drawn_evenly_in_the_form_that_networks_take() -> None:
    """8000 draws of 10 slices: 800 each, with a standard deviation of 27."""
    drawn = list(SliceBatches(NUMBERED, 80, 0, CPU).batches(0, 100))
    assert drawn[0].shape == (80, 1, 8, 8) and drawn[0].dtype == torch.float32
    counts = np.bincount([number for batch in drawn for number in numbers(batch)], minlength=10)
    assert len(counts) == 10 and (abs(counts - 800) < 4 * 27).all()


def test_a_batch_may_be_larger_than_there_are_slices() -> None:
    only, = SliceBatches(NUMBERED[:1], 5, 0, CPU).batches(0, 1)
    assert only.shape == (5, 1, 8, 8)


def test_the_normal_slices_of_all_cases_come_in_order(tmp_path: Path) -> None:
    cases = [stored_case(tmp_path, "a", 10, (True, False, True)), stored_case(tmp_path, "b", 20, (False, False)),
             stored_case(tmp_path, "c", 30, (False, True))]
    slices = normal_slices(cases)
    assert slices.shape == (3, 1, 8, 8) and slices.dtype == torch.float16
    assert [round(100 * float(image[0, 0, 0])) for image in slices] == [10, 12, 31]


def test_slices_that_do_not_fit_into_memory_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = stored_case(tmp_path, "a", 0, (True,) * 4)
    monkeypatch.setattr(batches, "free_memory_bytes", lambda: 2 * 4 * (4 * 64))
    assert len(normal_slices([case])) == 4
    monkeypatch.setattr(batches, "free_memory_bytes", lambda: 2 * 4 * (4 * 64) - 1)
    with pytest.raises(AutosegError, match="4 normal slices take .* more than half of what is free.* --image-size 64"):
        normal_slices([case])
