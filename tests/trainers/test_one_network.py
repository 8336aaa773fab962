"""Steps of the optimizer against nnU-Net's formulas: SGD with Nesterov momentum, weight decay, clipping, polynomial decay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoseg.trainers.one_network import OneNetworkLearner
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.settings import OptimizerSettings


class Weight(nn.Module):
    """A network of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x * self.w]


@pytest.mark.parametrize(("slope", "clipped"), [(3.0, 3.0), (100.0, 12.0)])
def test_three_steps_by_hand(slope: float, clipped: float) -> None:
    """The gradient is clipped before the decay is added; the velocity begins as the first gradient."""
    settings = OptimizerSettings(
        precision="float32", epochs=4, iterations=1, optimizer="sgd", learning_rate=0.01, momentum=0.99, weight_decay=3e-5,
        gradient_clip=12, schedule="poly", warmup=0)
    learner, schedule = OneNetworkLearner(Weight(), settings, torch.device("cpu")), Schedule(settings)
    w, velocity = 2.0, 0.0
    for epoch in range(3):
        learner.set_progress(schedule.progress(epoch, 0))
        learner.step(torch.ones(1, 1, 1, 1), lambda logits: slope * logits[0].sum())
        gradient = clipped + 3e-5 * w
        velocity = 0.99 * velocity + gradient
        w -= 0.01 * (1 - epoch / 4) ** 0.9 * (gradient + 0.99 * velocity)
        assert learner.modules["network"].get_parameter("w").item() == pytest.approx(w, abs=1e-5)
