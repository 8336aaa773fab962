"""One network over several processes: gradients averaged by DistributedDataParallel, batch norm over the whole batch."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from autoseg.distributed import world


def has_batch_norm(network: nn.Module) -> bool:
    """Tell whether samples of a batch change what the network makes of each other."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def with_whole_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network with statistics of batch norm that are those of all processes' samples; its weights are the same
    objects, by the same names."""
    if world().size == 1 or not has_batch_norm(network):
        return network
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return converted
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = WholeBatchNorm
    return network


class WholeBatchNorm(_BatchNorm):
    """Batch norm over the samples of all processes, as nn.SyncBatchNorm, which runs on CUDA only, on the CPU."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Accept any number of axes."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the normalized values. input: (B, C, *spatial)."""
        if not self.training:
            return super().forward(input)
        axes, shape = [0, *range(2, input.ndim)], [1, -1, *[1] * (input.ndim - 2)]
        values = input.float()
        count = world().sum(torch.tensor(float(values.numel() // values.shape[1])))
        mean = _sum(values.sum(axes)) / count
        centred = values - mean.reshape(shape)
        variance = _sum(centred.square().sum(axes)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp_min(1))
        scaled = centred * (variance + self.eps).rsqrt().reshape(shape)
        if self.weight is not None:
            scaled = scaled * self.weight.reshape(shape) + self.bias.reshape(shape)
        return scaled.to(input.dtype)

    def _remember(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _Sum(torch.autograd.Function):
    """The sum of what all processes give, with its gradient: what one gives changes what all others compute."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        return world().sum(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Return the sum of all processes' gradients."""
        return world().sum(gradient)


def _sum(values: torch.Tensor) -> torch.Tensor:
    total: torch.Tensor = _Sum.apply(values)
    return total


@contextlib.contextmanager
def rehearsed(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore the network's buffers and the state of random numbers after the block, and throw gradients away."""
    before = {name: copy.deepcopy(values) for name, values in network.named_buffers()}
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    with torch.no_grad():
        for name, values in network.named_buffers():
            values.copy_(before[name])
    network.zero_grad(set_to_none=True)


def spread(network: nn.Module, unused: set[str]) -> DistributedDataParallel:
    """Return the network with gradients that are averaged over all processes.

    unused: names of weights that get no gradient, such as those of a decoder level that no loss looks at.
    """
    ignored = [*unused, *(name for name, _ in network.named_buffers())]  # buffers are the same in all processes
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(network, ignored)
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    return DistributedDataParallel(network)


def without_averaging(run: nn.Module | None, is_last: bool) -> AbstractContextManager[Any]:
    """Return a context in which gradients of a part of a batch are added up here alone, unless it is the last."""
    if is_last or not isinstance(run, DistributedDataParallel):
        return contextlib.nullcontext()
    return run.no_sync()
