"""Training one network by one optimizer: what learners of that kind share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from autoseg.device import autocast, memory_format, resolve_precision
from autoseg.distributed import world
from autoseg.errors import AutosegError
from autoseg.networks.blocks import Logits
from autoseg.trainers.gradients import CheckedSteps
from autoseg.trainers.rates import build_rate
from autoseg.trainers.settings import OptimizerSettings, differences
from autoseg.trainers.spreading import has_batch_norm, rehearsed, spread, with_whole_batch_norm, without_averaging
from autoseg.trainers.whole_batch import WholeBatch

Parameters = Iterable[nn.Parameter]


class OneNetworkLearner:
    """The part of a `Learner` that is the same whatever the network learns: rate, step, state.

    A batch is computed in `settings.accumulate` parts, and by all processes of the world, each of which sees its share of it.
    """

    in_parts = True  # see `Learner`

    def __init__(self, network: nn.Module, settings: OptimizerSettings, device: torch.device) -> None:
        if settings.accumulate > 1 and has_batch_norm(network):
            raise AutosegError(f"accumulate={settings.accumulate} would compute batch norm from a part of each batch only, which "
                               "is another training. Leave it out, or add --set norm=instance.")
        network = with_whole_batch_norm(network, device)
        self.modules = {"network": network}
        self.given = settings
        self.settings = settings.for_steps(settings.epochs * settings.iterations)
        self.optimizers = {"network": build_optimizer(network.parameters(), self.settings)}
        self.rate = build_rate(self.settings)
        self.device = device
        self.run: Callable[[torch.Tensor], Logits] | None = None  # the network in training: see `_prepare`
        self._spread: nn.Module | None = None
        self._has_sums = True  # whether the loss sums the whole batch (see `whole_sum`)
        self.dtype = resolve_precision(settings.precision, device)
        self.steps = CheckedSteps()
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def set_steps(self, steps: int) -> dict[str, Any]:
        """Choose rate, momentum, warm-up and schedule for this number of steps where the settings leave them open."""
        settings = self.given.for_steps(steps)
        if settings != self.settings:
            self.settings, self.rate = settings, build_rate(settings)
            for group in self.optimizers["network"].param_groups:
                group |= {"momentum": settings.momentum} if settings.optimizer == "sgd" else {}
        return {key: value for key, (_, value) in differences(self.given, settings).items()}

    def set_progress(self, progress: float) -> None:
        """Set the rate of the schedule, after a linear warm-up where one is set."""
        rate, warmup = self.rate.at(progress), self.settings.warmup or 0.0
        if progress < warmup:
            rate *= min(1.0, (progress + 1e-3) / warmup)
        for group in self.optimizers["network"].param_groups:
            group["lr"] = rate

    def end_epoch(self, training_loss: float) -> None:
        """Tell the schedule how the epoch went."""
        self.rate.end_epoch(training_loss)

    @property
    def is_exhausted(self) -> bool:
        """Tell whether the schedule's rate has fallen so low that more epochs would change nothing."""
        return self.rate.is_exhausted

    def step(
        self, image: torch.Tensor, loss: Callable[..., torch.Tensor], *targets: torch.Tensor
    ) -> dict[str, float]:
        """Make one step, with the gradient's norm limited to `gradient_clip`; none where the gradient is not finite.

        image: (B, C, *spatial), this process's share of the batch. loss: of the network's logits and the targets, (B, ...) each,
        of the samples that it is given; see `whole_batch` for one that is no mean over samples. Returns the loss of the whole
        batch.
        """
        network, optimizer = self.modules["network"], self.optimizers["network"]
        network.train()
        optimizer.zero_grad(set_to_none=True)
        parts = self._parts(image, targets)
        batch = WholeBatch(int(world().sum(torch.tensor(len(image)))), in_parts=self.settings.accumulate > 1)
        run = self.run or self._prepare(batch, loss, *parts[0])
        if batch.in_parts and self._has_sums:
            with torch.no_grad(), torch.random.fork_rng(self._devices), batch.first_pass():
                for part in parts:
                    self._forward(network, batch, loss, *part)
        total = torch.zeros((), device=image.device)
        for part in parts:
            with without_averaging(self._spread, is_last=part is parts[-1]):
                value, share = self._forward(run, batch, loss, *part)
                self.scaler.scale(value * (share * world().size)).backward()  # processes' gradients are averaged, not summed
            total += value.detach() * share
        self.steps.step(optimizer, self.settings.gradient_clip, self.scaler)
        return {"loss": world().sum(total).item(), **self.steps.take()}

    def _parts(self, image: torch.Tensor, targets: tuple[torch.Tensor, ...]) -> list[tuple[torch.Tensor, ...]]:
        """Return image and targets of each part; as many parts as are set, or as there are samples."""
        count = min(self.settings.accumulate, len(image))
        if count > 1 and not targets:
            raise AutosegError(f"accumulate={self.settings.accumulate} needs a recipe that hands its targets to `step`, and this "
                               "one does not. Leave it out.")
        edges = [place * len(image) // count for place in range(count + 1)]
        return [(image[first:stop], *(target[first:stop] for target in targets))
                for first, stop in pairwise(edges)]

    def _forward(
        self, run: Callable[[torch.Tensor], Logits], batch: WholeBatch, loss: Callable[..., torch.Tensor], image: torch.Tensor,
        *targets: torch.Tensor,
    ) -> tuple[torch.Tensor, float]:
        """Return the loss of a part of a batch, and the part's share of it."""
        with autocast(self.device, self.dtype):
            logits = run(self._laid_out(image))
        with batch.part(len(image)) as share:
            return loss(logits, *targets), share

    def _prepare(
        self, batch: WholeBatch, loss: Callable[..., torch.Tensor], *part: torch.Tensor
    ) -> Callable[[torch.Tensor], Logits]:
        """Return the network as it runs in training: spread over processes, and compiled.

        Where there are several processes or parts, a step is rehearsed, which shows which weights get no gradient, and whether
        the loss needs sums over the whole batch.
        """
        network = self.modules["network"]
        run: Callable[[torch.Tensor], Logits] = network
        if world().size > 1 or batch.in_parts:
            trial = WholeBatch(len(part[0]), in_parts=False)
            with rehearsed(network, self.device):
                value, _ = self._forward(network, trial, loss, *part)
                value.backward()
                unused = {name for name, values in network.named_parameters() if values.grad is None}
            self._has_sums = trial.has_sums
        if world().size > 1:
            run = self._spread = spread(network, unused)
        self.run = compiled(run) if self.settings.compile else run  # type: ignore[arg-type]
        return self.run

    @property
    def _devices(self) -> list[torch.device]:
        """Return the devices, besides the CPU, that random numbers are drawn on."""
        return [self.device] if self.device.type == "cuda" else []

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
    """Return the optimizer that `settings.optimizer` names. settings: of a known number of steps (see `for_steps`)."""
    return OPTIMIZERS[settings.optimizer](parameters, settings)


def _sgd(parameters: Parameters, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Build stochastic gradient descent with Nesterov momentum."""
    momentum = settings.momentum or 0.0
    return torch.optim.SGD(
        parameters, settings.learning_rate or 0.0, momentum, weight_decay=settings.weight_decay, nesterov=momentum > 0)


def _adam(parameters: Parameters, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Build Adam (Kingma and Ba 2015); weight decay as a gradient of the squared weights."""
    return torch.optim.Adam(parameters, settings.learning_rate or 0.0, weight_decay=settings.weight_decay)


OPTIMIZERS: dict[str, Callable[[Parameters, OptimizerSettings], torch.optim.Optimizer]] = {"sgd": _sgd, "adam": _adam}
