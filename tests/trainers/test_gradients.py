"""Steps whose gradient is not finite never reach the weights."""

from __future__ import annotations

import math

import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.trainers.gradients import LEFT_OUT, MOST_IN_A_ROW, CheckedSteps


def one_weight(value: float = 1.0) -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    weight = torch.nn.Parameter(torch.tensor([value, value]))
    return weight, torch.optim.SGD([weight], lr=0.5, momentum=0.9)


def make(steps: CheckedSteps, weight: torch.nn.Parameter, optimizer: torch.optim.Optimizer, *gradient: float) -> list[float]:
    weight.grad = torch.tensor(gradient)
    steps.step(optimizer, longest=5.0)
    return weight.tolist()


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_step_that_is_not_finite_is_left_out_and_counted(broken: float) -> None:
    """By hand: 1 - 0.5 * 1, then nothing, then the momentum of the first step alone: 0.5 - 0.5 * (0.9 * 1 + 1)."""
    steps, (weight, optimizer) = CheckedSteps(), one_weight()
    assert make(steps, weight, optimizer, 1.0, 0.0) == [0.5, 1.0]
    assert make(steps, weight, optimizer, broken, 1.0) == [0.5, 1.0]
    assert steps.take() == {LEFT_OUT: 1.0} and steps.take() == {}
    assert make(steps, weight, optimizer, 1.0, 0.0) == pytest.approx([-0.45, 1.0])


def test_the_norm_is_limited() -> None:
    steps, (weight, optimizer) = CheckedSteps(), one_weight()
    assert make(steps, weight, optimizer, 30.0, 40.0) == pytest.approx([1 - 0.5 * 3, 1 - 0.5 * 4])  # (30, 40) is shortened to 5


def test_many_broken_steps_in_a_row_end_the_training() -> None:
    steps, (weight, optimizer) = CheckedSteps(), one_weight()
    for _ in range(MOST_IN_A_ROW - 1):
        make(steps, weight, optimizer, math.nan, 1.0)
    make(steps, weight, optimizer, 0.0, 0.0)
    for _ in range(MOST_IN_A_ROW - 1):
        make(steps, weight, optimizer, math.nan, 1.0)
    with pytest.raises(AutosegError, match=rf"not finite in {MOST_IN_A_ROW} steps in a row.*--set precision=float32"):
        make(steps, weight, optimizer, math.nan, 1.0)
    assert weight.tolist() == [1.0, 1.0]


def test_the_scale_of_float16_falls_where_its_gradients_overflow() -> None:
    steps, (weight, optimizer), scaler = CheckedSteps(), one_weight(), torch.amp.GradScaler("cpu", init_scale=2.0**100)
    for expected in (2.0**99, 2.0**98):
        scaler.scale(weight.sum() * 1e30).backward()
        steps.step(optimizer, 1.0, scaler)
        assert scaler.get_scale() == expected and weight.tolist() == [1.0, 1.0]
    assert steps.take() == {LEFT_OUT: 2.0}
