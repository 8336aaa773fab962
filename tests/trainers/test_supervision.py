"""Deep supervision against answers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.trainers.losses.dice_ce import DiceCrossEntropy
from autoseg.trainers.settings import SupervisionSettings
from autoseg.trainers.supervision import DeepSupervision, label_at, level_weights


def test_level_weights_halve_the_lowest_is_off_and_they_sum_to_one() -> None:
    assert level_weights(3) == pytest.approx([2 / 3, 1 / 3, 0])
    assert level_weights(1) == [1.0]


def test_deep_supervision_is_the_weighted_sum_over_levels() -> None:
    label = torch.randint(0, 2, (1, 1, 8, 8))
    levels = [torch.randn(1, 2, size, size) for size in (8, 4, 2)]
    loss = DiceCrossEntropy(Labels(values={"background": 0, "a": 1}), pool_batch=False)
    expected = 2 / 3 * loss(levels[0], label) + 1 / 3 * loss(levels[1], label_at(label, levels[1].shape[2:]))
    assert DeepSupervision(loss, SupervisionSettings())(levels, label).item() == pytest.approx(expected.item(), abs=1e-6)


def test_labels_are_brought_down_without_new_values() -> None:
    label = torch.tensor([[[[0, 0, 3, 3], [0, 0, 3, 3], [5, 5, 0, 0], [5, 5, 0, 0]]]], dtype=torch.int16)
    assert label_at(label, torch.Size((2, 2))).tolist() == [[[[0, 3], [5, 0]]]]
