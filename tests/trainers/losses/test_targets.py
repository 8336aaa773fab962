"""Targets and probabilities against answers worked out by hand, and against float64 where float32 runs out of digits."""

from __future__ import annotations

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.trainers.losses.targets import Comparison, outputs_of, power

LABEL = torch.tensor([[[[0, 1, 2, 3]]]], dtype=torch.int16)
CLASSES = Labels(values={"background": 0, "a": 1, "b": 2, "ignore": 3}, ignore=3)
REGIONS = Labels(values={"background": 0, "whole": (1, 2), "core": (2,), "ignore": 3}, regions_class_order=(1, 2), ignore=3)


def test_targets_of_classes_are_one_hot_and_zero_where_ignored() -> None:
    assert outputs_of(LABEL, CLASSES)[0, :, 0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


def test_targets_of_regions_overlap_and_are_zero_where_ignored() -> None:
    assert outputs_of(LABEL, REGIONS)[0, :, 0].tolist() == [[0, 1, 1, 0], [0, 0, 1, 0]]


def test_totals_and_means_leave_ignored_voxels_out() -> None:
    compared = Comparison(torch.zeros(1, 3, 1, 4), LABEL, CLASSES, pool_batch=False)
    values = torch.tensor([1.0, 2.0, 6.0, 100.0]).expand(1, 3, 1, 4)
    assert compared.total(values).tolist() == [[9, 9, 9]]
    assert compared.mean(values).item() == 3
    nothing = Comparison(torch.zeros(1, 3, 1, 4), torch.full_like(LABEL, 3), CLASSES, pool_batch=False)
    assert nothing.mean(values).item() == 0


@pytest.mark.parametrize("margin", [-1e4, -50, -3, 0, 3, 15, 20, 40, 60])
@pytest.mark.parametrize("regions", [False, True])
def test_error_and_surprise_are_exact_in_proportion_to_themselves(margin: float, regions: bool) -> None:
    labels = Labels(values={"background": 0, "a": 1})
    logits = torch.tensor([0.0, margin]).reshape(1, 2, 1, 1)
    if regions:
        labels = Labels(values={"background": 0, "a": (1, 2)}, regions_class_order=(1,))
        logits = logits[:, 1:]
    compared = Comparison(logits, torch.ones(1, 1, 1, 1, dtype=torch.int16), labels, pool_batch=False)
    exact = torch.tensor(margin, dtype=torch.float64)
    assert compared.one_minus_p.item() == pytest.approx(torch.sigmoid(-exact).item(), rel=1e-5)
    assert compared.error[0, -1].item() == pytest.approx(torch.sigmoid(-exact).item(), rel=1e-5)
    assert compared.minus_log_p.item() == pytest.approx(torch.nn.functional.softplus(-exact).item(), rel=1e-5)
    assert compared.cross_entropy.item() == pytest.approx(compared.minus_log_p.item(), abs=1e-6)


def test_the_power_of_zero_has_a_finite_gradient() -> None:
    values = torch.tensor([0.0, 1e-38, 0.25], requires_grad=True)
    power(values, 0.5).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None and values.grad.tolist() == [0, 0, 1]
