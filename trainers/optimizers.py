"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from autoseg.trainers.settings import OptimizerSettings

Parameters = Iterable[nn.Parameter]


def build_optimizer(parameters: Parameters, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """The one that `settings.optimizer` names."""
    return OPTIMIZERS[settings.optimizer](parameters, settings)


def _sgd(parameters: Parameters, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Stochastic gradient descent with Nesterov momentum."""
    return torch.optim.SGD(
        parameters, settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay, nesterov=settings.momentum > 0
    )


def _adam(parameters: Parameters, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015); weight decay as a gradient of the squared weights."""
    return torch.optim.Adam(parameters, settings.learning_rate, weight_decay=settings.weight_decay)


OPTIMIZERS: dict[str, Callable[[Parameters, OptimizerSettings], torch.optim.Optimizer]] = {"sgd": _sgd, "adam": _adam}
