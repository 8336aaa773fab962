"""Dice + cross-entropy against answers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from autoseg.trainers.losses.dice_ce import DiceBinaryCrossEntropy, DiceCrossEntropy, soft_dice
from autoseg.trainers.supervision import DeepSupervision, label_at, level_weights


def logits_for(probabilities: list[list[float]]) -> torch.Tensor:
    """(1, K, 1, N) logits whose softmax is `probabilities` (N voxels of K)."""
    return torch.tensor(probabilities).T[None, :, None].log()


def test_soft_dice_of_two_voxels_by_hand() -> None:
    probabilities = torch.tensor([[[[0.8, 0.4]]]])
    target = torch.tensor([[[[1.0, 0.0]]]])
    assert soft_dice(probabilities, target, None, False).item() == pytest.approx(1.6 / 2.2, abs=1e-4)


def test_loss_of_two_voxels_by_hand() -> None:
    logits = logits_for([[0.2, 0.8], [0.6, 0.4]])
    label = torch.tensor([[[[1, 0]]]])
    entropy = -(math.log(0.8) + math.log(0.6)) / 2
    assert DiceCrossEntropy(False)(logits, label).item() == pytest.approx(entropy + 1 - 1.6 / 2.2, abs=1e-4)


def test_ignored_voxels_change_nothing() -> None:
    label = torch.tensor([[[[1, 0]]]])
    expected = DiceCrossEntropy(False)(logits_for([[0.2, 0.8], [0.6, 0.4]]), label)
    with_ignored = DiceCrossEntropy(False, ignore=2)(
        logits_for([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]]), torch.tensor([[[[1, 0, 2]]]])
    )
    assert with_ignored.item() == pytest.approx(expected.item(), abs=1e-6)


def test_an_absent_class_that_is_not_predicted_counts_as_right() -> None:
    logits = torch.tensor([[[[30.0, 30.0]], [[-30.0, -30.0]], [[-30.0, -30.0]]]])
    assert DiceCrossEntropy(False)(logits, torch.zeros(1, 1, 1, 2, dtype=torch.int16)).item() == pytest.approx(0, abs=1e-3)


def test_regions_by_hand() -> None:
    """Label 2 lies in both regions, label 1 in the first only."""
    loss = DiceBinaryCrossEntropy([(1, 2), (2,)], pool_batch=False)
    logits = torch.tensor([[[[2.0, 0.0]], [[-1.0, 1.0]]]])
    label = torch.tensor([[[[1, 2]]]])
    p = torch.sigmoid(logits[0, :, 0])
    entropy = -(p[0, 0].log() + p[0, 1].log() + (1 - p[1, 0]).log() + p[1, 1].log()) / 4
    dice = (2 * p[0].sum() / (p[0].sum() + 2) + 2 * p[1, 1] / (p[1].sum() + 1)) / 2
    assert loss(logits, label).item() == pytest.approx((entropy + 1 - dice).item(), abs=1e-4)


def test_extreme_logits_give_finite_losses_and_gradients() -> None:
    logits = torch.tensor([[[[1e4, -1e4]], [[-1e4, 1e4]]]], requires_grad=True)
    loss = DiceCrossEntropy(True)(logits, torch.tensor([[[[1, 0]]]]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(loss.item())
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())


def test_level_weights_halve_the_lowest_is_off_and_they_sum_to_one() -> None:
    assert level_weights(3) == pytest.approx([2 / 3, 1 / 3, 0])
    assert level_weights(1) == [1.0]


def test_deep_supervision_is_the_weighted_sum_over_levels() -> None:
    label = torch.randint(0, 2, (1, 1, 8, 8))
    levels = [torch.randn(1, 2, size, size) for size in (8, 4, 2)]
    loss = DiceCrossEntropy(False)
    expected = 2 / 3 * loss(levels[0], label) + 1 / 3 * loss(levels[1], label_at(label, levels[1].shape[2:]))
    assert DeepSupervision(loss)(levels, label).item() == pytest.approx(expected.item(), abs=1e-6)


def test_labels_are_brought_down_without_new_values() -> None:
    label = torch.tensor([[[[0, 0, 3, 3], [0, 0, 3, 3], [5, 5, 0, 0], [5, 5, 0, 0]]]], dtype=torch.int16)
    assert label_at(label, torch.Size((2, 2))).tolist() == [[[[0, 3], [5, 0]]]]
