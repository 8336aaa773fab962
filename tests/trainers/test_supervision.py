"""Deep supervision against answers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.trainers.losses.dice_ce import DiceCrossEntropy
from autoseg.trainers.settings import SupervisionSettings
from autoseg.trainers.supervision import ClassificationGuided, DeepSupervision, label_at, level_weights


def test_level_weights_halve_the_lowest_is_off_and_they_sum_to_one() -> None:
    assert level_weights(3) == pytest.approx([2 / 3, 1 / 3, 0])
    assert level_weights(1) == [1.0]


def test_deep_supervision_is_the_weighted_sum_over_levels() -> None:
    label = torch.randint(0, 2, (1, 1, 8, 8))
    levels = [torch.randn(1, 2, size, size) for size in (8, 4, 2)]
    loss = DiceCrossEntropy(Labels(values={"background": 0, "a": 1}), pool_batch=False)
    expected = 2 / 3 * loss(levels[0], label) + 1 / 3 * loss(levels[1], label_at(label, levels[1].shape[2:]))
    assert DeepSupervision(loss, SupervisionSettings())(levels, label).item() == pytest.approx(expected.item(), abs=1e-6)


def test_levels_may_all_count_alike_at_full_resolution() -> None:
    label = torch.randint(0, 2, (1, 1, 8, 8))
    levels = [torch.randn(1, 2, size, size) for size in (8, 4)]
    loss = DiceCrossEntropy(Labels(values={"background": 0, "a": 1}), pool_batch=False)
    full = torch.nn.functional.interpolate(levels[1], (8, 8), mode="bilinear", align_corners=False)
    expected = (loss(levels[0], label) + loss(full, label)) / 2
    settings = SupervisionSettings(weights="equal", resolution="full")
    assert DeepSupervision(loss, settings)(levels, label).item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize(("ignored", "expected"), [
    (0, [1.0, 1.0, 0.0]),  # background and class 1 are there, class 2 is not
    (3, [1.0, 1.0, None]),  # class 2 may be where nobody has looked: it does not count
    (16, [None, None, None]),
])
def test_which_classes_a_patch_holds_is_learned_where_it_is_known(ignored: int, expected: list[float | None]) -> None:
    label = torch.zeros(1, 1, 4, 4, dtype=torch.int16)
    label[..., 0, 0] = 1
    label.view(-1)[16 - ignored:] = 9
    presence = torch.zeros(1, 3, 1, 1, requires_grad=True)
    loss = ClassificationGuided(lambda levels, label: torch.zeros(()), Labels(
        values={"background": 0, "a": 1, "b": 2, "ignore": 9}, ignore=9))
    loss([torch.zeros(1, 3, 4, 4), presence], label).backward()  # type: ignore[no-untyped-call]
    assert presence.grad is not None
    counted = sum(value is not None for value in expected)
    slopes = [0.0 if value is None else (0.5 - value) / counted for value in expected]  # sigmoid(0) - target
    assert presence.grad.flatten().tolist() == pytest.approx(slopes)


def test_labels_are_brought_down_without_new_values() -> None:
    label = torch.tensor([[[[0, 0, 3, 3], [0, 0, 3, 3], [5, 5, 0, 0], [5, 5, 0, 0]]]], dtype=torch.int16)
    assert label_at(label, torch.Size((2, 2))).tolist() == [[[[0, 3], [5, 0]]]]
