"""Dice + cross-entropy against answers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.trainers.losses.dice_ce import DiceCrossEntropy, soft_dice
from autoseg.trainers.losses.targets import Comparison

TWO = Labels(values={"background": 0, "a": 1})
THREE = Labels(values={"background": 0, "a": 1, "b": 2})
REGIONS = Labels(values={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))


def logits_for(probabilities: list[list[float]]) -> torch.Tensor:
    """(1, K, 1, N) logits whose softmax is `probabilities` (N voxels of K)."""
    return torch.tensor(probabilities).T[None, :, None].log()


def test_soft_dice_of_two_voxels_by_hand() -> None:
    compared = Comparison(logits_for([[0.2, 0.8], [0.6, 0.4]]), torch.tensor([[[[1, 0]]]]), TWO, pool_batch=False)
    assert soft_dice(compared).item() == pytest.approx(1.6 / 2.2, abs=1e-4)


def test_soft_dice_of_a_pooled_batch_counts_it_as_one_image() -> None:
    logits = torch.cat([logits_for([[0.2, 0.8]]), logits_for([[0.6, 0.4]])])
    label = torch.tensor([1, 0]).reshape(2, 1, 1, 1)
    assert soft_dice(Comparison(logits, label, TWO, pool_batch=True)).item() == pytest.approx(1.6 / 2.2, abs=1e-4)
    assert soft_dice(Comparison(logits, label, TWO, pool_batch=False)).item() == pytest.approx((1.6 / 1.8 + 0) / 2, abs=1e-4)


def test_loss_of_two_voxels_by_hand() -> None:
    logits = logits_for([[0.2, 0.8], [0.6, 0.4]])
    label = torch.tensor([[[[1, 0]]]])
    entropy = -(math.log(0.8) + math.log(0.6)) / 2
    assert DiceCrossEntropy(TWO, False)(logits, label).item() == pytest.approx(entropy + 1 - 1.6 / 2.2, abs=1e-4)


def test_regions_with_an_ignore_label_are_weighted_as_in_nnunet() -> None:
    """Logits of 0 cost ln 2 in each of two regions: their mean without an ignore label, their sum with one.

    nnU-Net divides by its mask's sum, which has one channel, the cross-entropy of two.
    """
    values = {"background": 0, "whole": (1, 2), "core": (2,)}
    ignoring = Labels(values=values | {"ignore": 3}, regions_class_order=(1, 2), ignore=3)
    logits, label = torch.zeros(1, 2, 1, 4), torch.tensor([[[[0, 1, 2, 3]]]])
    for labels, voxels, weight in ((ignoring, 3, 2), (REGIONS, 3, 1)):
        seen = 4 if labels is ignoring else 3
        its = DiceCrossEntropy(labels, False)(logits[..., :seen], label[..., :seen])
        dice = (2 * 0.5 * 2 / (voxels / 2 + 2) + 2 * 0.5 / (voxels / 2 + 1)) / 2  # whole: 2 voxels, core: 1
        assert its.item() == pytest.approx(weight * math.log(2) + 1 - dice, abs=1e-4)


def test_voxels_of_the_ignore_label_count_in_neither_term() -> None:
    """Two voxels by hand, and one that nobody has annotated, whatever is predicted there."""
    ignoring = Labels(values={"background": 0, "a": 1, "ignore": 2}, ignore=2)
    logits, label = logits_for([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]]), torch.tensor([[[[1, 0, 2]]]])
    entropy = -(math.log(0.8) + math.log(0.6)) / 2
    assert DiceCrossEntropy(ignoring, False)(logits, label).item() == pytest.approx(entropy + 1 - 1.6 / 2.2, abs=1e-4)
    nowhere = DiceCrossEntropy(ignoring, False)(logits, torch.full_like(label, 2))
    assert nowhere.item() == pytest.approx(0, abs=1e-6)  # no cross-entropy, and a class that is nowhere counts as right


def test_an_absent_class_that_is_not_predicted_counts_as_right() -> None:
    logits = torch.tensor([[[[30.0, 30.0]], [[-30.0, -30.0]], [[-30.0, -30.0]]]])
    assert DiceCrossEntropy(THREE, False)(logits, torch.zeros(1, 1, 1, 2, dtype=torch.int16)).item() == pytest.approx(0, abs=1e-3)


def test_regions_by_hand() -> None:
    """Label 2 lies in both regions, label 1 in the first only."""
    logits = torch.tensor([[[[2.0, 0.0]], [[-1.0, 1.0]]]])
    label = torch.tensor([[[[1, 2]]]])
    p = torch.sigmoid(logits[0, :, 0])
    entropy = -(p[0, 0].log() + p[0, 1].log() + (1 - p[1, 0]).log() + p[1, 1].log()) / 4
    dice = (2 * p[0].sum() / (p[0].sum() + 2) + 2 * p[1, 1] / (p[1].sum() + 1)) / 2
    assert DiceCrossEntropy(REGIONS, False)(logits, label).item() == pytest.approx((entropy + 1 - dice).item(), abs=1e-4)
