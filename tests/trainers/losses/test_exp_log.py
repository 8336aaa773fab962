"""The exponential logarithmic loss against answers worked out by hand and in float64."""

from __future__ import annotations

import math

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.trainers.losses import build_loss
from autoseg.trainers.losses.exp_log import ExpLog, label_weights
from autoseg.trainers.losses.targets import TrainingData
from autoseg.trainers.segmentation import SegmentationSettings
from autoseg.trainers.settings import ExpLogSettings

TWO = Labels(values={"background": 0, "a": 1})
THREE = Labels(values={"background": 0, "a": 1, "b": 2})
REGION = Labels(values={"background": 0, "whole": (1, 2)}, regions_class_order=(1,))
REGIONS = Labels(values={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))
UNIT = ExpLogSettings(gamma=1, dice_weight=1, ce_weight=1)


def exp_log(labels: Labels, weights: list[float] | list[list[float]], pool_batch: bool = False, **settings: float) -> ExpLog:
    return ExpLog(labels, torch.tensor(weights), ExpLogSettings(**settings), pool_batch)


def test_two_voxels_by_hand() -> None:
    """Probabilities of a: 0.8 where it is, 0.4 where it is not; of background: 0.2 and 0.6."""
    logits = torch.tensor([[[[0.2, 0.6]], [[0.8, 0.4]]]]).log()
    dice_background, dice_a = (2 * 0.6 + 1) / (0.8 + 1 + 1), (2 * 0.8 + 1) / (1.2 + 1 + 1)
    dice = ((-math.log(dice_background)) ** 0.3 + (-math.log(dice_a)) ** 0.3) / 2
    entropy = (2 * (-math.log(0.8)) ** 0.3 + 5 * (-math.log(0.6)) ** 0.3) / 2
    loss = exp_log(TWO, [5.0, 2.0])(logits, torch.tensor([[[[1, 0]]]]))
    assert loss.item() == pytest.approx(0.8 * dice + 0.2 * entropy, abs=1e-5)


def reference(logits: torch.Tensor, label: torch.Tensor, weights: torch.Tensor, settings: ExpLogSettings) -> float:
    """The paper's formula for classes, written out in float64."""
    p = torch.softmax(logits.double(), 1)
    target = torch.nn.functional.one_hot(label[:, 0].long(), p.shape[1]).movedim(-1, 1).double()
    axes = list(range(2, p.ndim))
    dice = (2 * (p * target).sum(axes) + 1) / ((p + target).sum(axes) + 1)
    surprise = -torch.log_softmax(logits.double(), 1).gather(1, label.long())
    entropy = weights.double()[label.long()] * surprise**settings.gamma
    return (settings.dice_weight * ((-dice.log()) ** settings.gamma).mean() + settings.ce_weight * entropy.mean()).item()


@pytest.mark.parametrize("scale", [0.1, 1, 5, 20, 60])
@pytest.mark.parametrize("right", [True, False])
def test_it_is_the_formula_from_wholly_wrong_to_nearly_perfect(scale: float, right: bool) -> None:
    random = torch.Generator().manual_seed(0)
    label = torch.randint(0, 3, (2, 1, 6, 7, 5), generator=random)
    wanted = label if right else (label + 1) % 3
    logits = scale * torch.nn.functional.one_hot(wanted[:, 0], 3).movedim(-1, 1).float()
    logits = logits + 0.1 * torch.randn(logits.shape, generator=random)
    weights = torch.tensor([1.0, 3.0, 8.0])
    assert exp_log(THREE, weights.tolist())(logits, label).item() == pytest.approx(
        reference(logits, label, weights, ExpLogSettings()), abs=1e-5)


def test_with_exponent_one_and_no_weights_it_is_minus_log_dice_plus_cross_entropy() -> None:
    logits, label = torch.randn(2, 3, 6, 7), torch.randint(0, 3, (2, 1, 6, 7))
    p, target = torch.softmax(logits, 1), torch.nn.functional.one_hot(label[:, 0], 3).movedim(-1, 1)
    dice = (2 * (p * target).sum((2, 3)) + 1) / ((p + target).sum((2, 3)) + 1)
    expected = 0.7 * -dice.log().mean() + 0.4 * torch.nn.functional.cross_entropy(logits, label[:, 0])
    loss = exp_log(THREE, [1.0, 1.0, 1.0], gamma=1, dice_weight=0.7, ce_weight=0.4)(logits, label)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_pooled_batch_counts_as_one_image() -> None:
    logits, label = torch.randn(2, 3, 6, 7), torch.randint(0, 3, (2, 1, 6, 7))
    beside = torch.cat(list(logits), dim=1)[None], torch.cat(list(label), dim=1)[None]
    pooled = exp_log(THREE, [1.0, 2.0, 3.0], pool_batch=True)(logits, label)
    assert pooled.item() == pytest.approx(exp_log(THREE, [1.0, 2.0, 3.0])(*beside).item(), abs=1e-5)


def test_a_region_is_a_problem_of_two_classes() -> None:
    logits, label = 3 * torch.randn(2, 1, 6, 7), torch.randint(0, 2, (2, 1, 6, 7))
    of_classes = exp_log(TWO, [1.5, 4.0])(torch.cat([torch.zeros_like(logits), logits], 1), label)
    assert exp_log(REGION, [[1.5, 4.0]])(logits, label).item() == pytest.approx(of_classes.item(), abs=1e-5)


def test_the_loss_of_regions_is_the_mean_over_them() -> None:
    logits, label = torch.randn(2, 2, 6, 7), torch.randint(0, 3, (2, 1, 6, 7))
    each = [
        exp_log(TWO, weights)(torch.cat([torch.zeros(2, 1, 6, 7), logits[:, number, None]], 1), inside.long())
        for number, (weights, inside) in enumerate((([1.0, 2.0], label > 0), ([1.5, 4.0], label == 2)))]
    loss = exp_log(REGIONS, [[1.0, 2.0], [1.5, 4.0]])(logits, label)
    assert loss.item() == pytest.approx(sum(each).item() / 2, abs=1e-5)


def test_nothing_but_near_perfection_is_flat() -> None:
    """Wholly wrong logits of any size keep a gradient that makes them better; perfect ones have none, and it is no NaN."""
    label = torch.tensor([[[[1, 0]]]])
    for size in (20.0, 100.0, 1e4):
        logits = torch.tensor([[[[size, -size]], [[-size, size]]]], requires_grad=True)
        (gradient,) = torch.autograd.grad(exp_log(TWO, [1.0, 1.0])(logits, label), logits)
        assert (gradient[0, 0, 0, 0] > 1e-5) and (gradient[0, 1, 0, 1] > 1e-5)
        (gradient,) = torch.autograd.grad(exp_log(TWO, [1.0, 1.0])(-logits, label), logits)
        assert gradient.abs().max() < 0.01


def test_weights_are_the_root_of_how_rare_a_label_is_and_an_absent_one_counts_as_the_rarest() -> None:
    assert label_weights(TrainingData(THREE, 1000, (900, 100, 0)), None).tolist() == pytest.approx(
        [(1000 / 900) ** 0.5, 10**0.5, 10**0.5])
    regions = label_weights(TrainingData(REGIONS, 1000, (100, 0)), None)
    assert regions.tolist() == [pytest.approx([(1000 / 900) ** 0.5, 10**0.5]), pytest.approx([1, 10**0.5])]


def test_weights_of_no_voxels_at_all_are_finite() -> None:
    assert torch.isfinite(label_weights(TrainingData(THREE, 0, (0, 0, 0)), None)).all()


def test_given_weights_are_taken_and_those_of_another_number_refused() -> None:
    data = TrainingData(THREE, 1000, (900, 90, 10))
    assert label_weights(data, (1, 2, 3)).tolist() == [1, 2, 3]
    assert label_weights(TrainingData(REGIONS, 1000, (100, 50)), (2, 3)).tolist() == [[1, 2], [1, 3]]
    settings = SegmentationSettings(loss="exp_log", exp_log=ExpLogSettings(class_weights=(1, 2)))
    with pytest.raises(AutosegError, match=r"has 2 values \(1, 2\), expected 3, one for each of background, a, b, in this order"):
        build_loss(settings, data, False)
    with pytest.raises(AutosegError, match=r"has 3 values \(1, 2, 3\), expected 2, one for each of whole, core"):
        label_weights(TrainingData(REGIONS, 1000, (100, 50)), (1, 2, 3))


def test_both_terms_off_are_refused() -> None:
    settings = SegmentationSettings(loss="exp_log", exp_log=ExpLogSettings(dice_weight=0, ce_weight=0))
    with pytest.raises(AutosegError, match="are both 0"):
        build_loss(settings, TrainingData(TWO, 10, (5, 5)), False)
