"""Training one network by one optimizer: what learners of that kind share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from autoseg.device import autocast, memory_format, resolve_precision
from autoseg.errors import AutosegError
from autoseg.networks.blocks import Logits
from autoseg.trainers.gradients import CheckedSteps
from autoseg.trainers.rates import build_rate
from autoseg.trainers.settings import OptimizerSettings

Parameters = Iterable[nn.Parameter]


class OneNetworkLearner:
    """The part of a `Learner` that is the same whatever the network learns: rate, step, state."""

    def __init__(self, network: nn.Module, settings: OptimizerSettings, device: torch.device) -> None:
        self.modules = {"network": network}
        self.optimizers = {"network": build_optimizer(network.parameters(), settings)}
        self.rate = build_rate(settings)
        self.settings = settings
        self.device = device
        self.run = compiled(network) if settings.compile else network
        self.dtype = resolve_precision(settings.precision, device)
        self.steps = CheckedSteps()
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def set_progress(self, progress: float) -> None:
        """Set the rate of the schedule, after a linear warm-up where one is set."""
        rate = self.rate.at(progress)
        if progress < self.settings.warmup:
            rate *= min(1.0, (progress + 1e-3) / self.settings.warmup)
        for group in self.optimizers["network"].param_groups:
            group["lr"] = rate

    def end_epoch(self, training_loss: float) -> None:
        """Tell the schedule how the epoch went."""
        self.rate.end_epoch(training_loss)

    @property
    def is_exhausted(self) -> bool:
        """Tell whether the schedule's rate has fallen so low that more epochs would change nothing."""
        return self.rate.is_exhausted

    def step(self, image: torch.Tensor, loss: Callable[[Logits], torch.Tensor]) -> dict[str, float]:
        """Make one step, with the gradient's norm limited to `gradient_clip`; none where the gradient is not finite.

        image: (B, C, *spatial). loss: of the network's logits.
        """
        network, optimizer = self.modules["network"], self.optimizers["network"]
        network.train()
        optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.dtype):
            logits = self.run(self._laid_out(image))
        value = loss(logits)
        self.scaler.scale(value).backward()
        self.steps.step(optimizer, self.settings.gradient_clip, self.scaler)
        return {"loss": value.item(), **self.steps.take()}

    def predict(self, image: torch.Tensor) -> Logits:
        """Return the network's logits in prediction, without gradients. image: (B, C, *spatial)."""
        network = self.modules["network"]
        network.eval()
        with torch.inference_mode(), autocast(self.device, self.dtype):
            logits: Logits = network(self._laid_out(image))
        return logits

    def _laid_out(self, image: torch.Tensor) -> torch.Tensor:
        return image.contiguous(memory_format=memory_format(self.device, image.ndim - 2))

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizer, schedule and scaler."""
        return {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "rate": self.rate.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, on this device or on another one.

        A state of float32 or bfloat16 holds no scale; training in float16 then begins with the usual one.
        """
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.rate.load_state_dict(state.get("rate", {}))
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])


def compiled(network: nn.Module) -> Callable[[torch.Tensor], Logits]:
    """Return the network as torch.compile has it: compiled when it is first called, which raises AutosegError where it cannot be.

    The network itself stays as it is: its weights, which both share, keep their names.
    """
    fast = torch.compile(network)

    def run(image: torch.Tensor) -> Logits:
        try:
            logits: Logits = fast(image)
        except RuntimeError as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            raise AutosegError(f"The network could not be compiled ({str(error).splitlines()[0]}). Leave out --set "
                               "compile=true, or install what is missing.") from error
        return logits

    return run


def build_optimizer(parameters: Parameters, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return the optimizer that `settings.optimizer` names."""
    return OPTIMIZERS[settings.optimizer](parameters, settings)


def _sgd(parameters: Parameters, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Build stochastic gradient descent with Nesterov momentum."""
    return torch.optim.SGD(
        parameters, settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay, nesterov=settings.momentum > 0
    )


def _adam(parameters: Parameters, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Build Adam (Kingma and Ba 2015); weight decay as a gradient of the squared weights."""
    return torch.optim.Adam(parameters, settings.learning_rate, weight_decay=settings.weight_decay)


OPTIMIZERS: dict[str, Callable[[Parameters, OptimizerSettings], torch.optim.Optimizer]] = {"sgd": _sgd, "adam": _adam}
