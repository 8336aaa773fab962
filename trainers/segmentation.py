"""Training a network to segment: what all recipes share, put together from the parts that the settings name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from autoseg.dataset import Labels
from autoseg.device import autocast, memory_format, resolve_precision, to_device
from autoseg.networks import build_network
from autoseg.plan import Configuration
from autoseg.trainers.batches import Batch
from autoseg.trainers.data import TrainingData
from autoseg.trainers.losses import Loss, build_loss
from autoseg.trainers.losses.targets import regions_of
from autoseg.trainers.optimizers import build_optimizer
from autoseg.trainers.rates import build_rate
from autoseg.trainers.settings import Settings
from autoseg.trainers.supervision import LevelsLoss, supervise


def segmentation_task(
    configuration: Configuration, data: TrainingData, settings: Settings, device: torch.device, loss: Loss | None = None
) -> SegmentationTask:
    """The configuration's network, with the loss, supervision, optimizer and learning rate that the settings name.

    configuration: with the settings in it, as `effective_configuration` makes it. loss: one of your own, in place of the one
    that `settings.loss` names: it takes logits (B, K, *spatial) and label values (B, 1, *spatial) and gives a scalar.
    Raises AutosegError where settings do not fit the labels.
    """
    torch.manual_seed(settings.seed)
    network = build_network(configuration.network, len(configuration.normalization), data.labels.output_channels)
    network = to_device(network, device, configuration.dimensions)
    loss = loss or build_loss(settings, data, configuration.dimensions)
    return SegmentationTask(network, supervise(loss, configuration.network, data.labels, settings), data.labels, settings, device)


class SegmentationTask:
    """One network, one optimizer, one loss (see `Task`)."""

    def __init__(
        self, network: nn.Module, loss: LevelsLoss, labels: Labels, settings: Settings, device: torch.device
    ) -> None:
        self.modules = {"network": network}
        self.optimizers = {"network": build_optimizer(network.parameters(), settings)}
        self.rate = build_rate(settings)
        self.loss = loss
        self.labels = labels
        self.settings = settings
        self.device = device
        self.dtype = resolve_precision(settings.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def set_progress(self, progress: float) -> None:
        """The rate of the schedule, after a linear warm-up where one is set."""
        rate = self.rate.at(progress)
        if progress < self.settings.warmup:
            rate *= (progress + 1e-3) / self.settings.warmup
        for group in self.optimizers["network"].param_groups:
            group["lr"] = rate

    def end_epoch(self, training_loss: float) -> None:
        """Tell the schedule how the epoch went."""
        self.rate.end_epoch(training_loss)

    @property
    def is_exhausted(self) -> bool:
        """Whether the schedule's rate has fallen so low that more epochs would change nothing."""
        return self.rate.is_exhausted

    def training_step(self, batch: Batch) -> dict[str, float]:
        """One step with the gradient's norm held at `gradient_clip`."""
        network, optimizer = self.modules["network"], self.optimizers["network"]
        network.train()
        optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.dtype):
            logits = network(self._laid_out(batch.image))
        loss = self.loss(logits, batch.label)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(network.parameters(), self.settings.gradient_clip)
        self.scaler.step(optimizer)
        self.scaler.update()
        return {"loss": loss.item()}

    def validation_step(self, batch: Batch) -> tuple[dict[str, float], torch.Tensor]:
        """Loss, and true positive, false positive, false negative voxels (classes, 3) int64."""
        network = self.modules["network"]
        network.eval()
        with torch.inference_mode(), autocast(self.device, self.dtype):
            logits = network(self._laid_out(batch.image))
        with torch.inference_mode():
            loss = self.loss(logits, batch.label)
            return {"loss": loss.item()}, count_overlap(logits[0], batch.label, self.labels).cpu()

    def _laid_out(self, image: torch.Tensor) -> torch.Tensor:
        return image.contiguous(memory_format=memory_format(self.device, image.ndim - 2))

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizer, schedule and scaler."""
        return {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "rate": self.rate.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave, on this device or on another one.

        A state of float32 or bfloat16 holds no scale; training in float16 then begins with the usual one.
        """
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.rate.load_state_dict(state.get("rate", {}))
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])


def count_overlap(logits: torch.Tensor, label: torch.Tensor, labels: Labels) -> torch.Tensor:
    """(foreground classes or regions, 3): true positive, false positive, false negative voxels of a batch.

    logits (B, K, *spatial), label (B, 1, *spatial) of class values; voxels of the ignore label are left out.
    """
    reference = regions_of(label, list(labels.foreground.values())).bool()
    if labels.has_regions:
        predicted = logits > 0
    else:
        predicted = regions_of(logits.argmax(1, keepdim=True), list(labels.foreground.values())).bool()
    if labels.ignore is not None:
        known = label != labels.ignore
        reference, predicted = reference & known, predicted & known
    axes = [0, *range(2, label.ndim)]
    return torch.stack(
        ((predicted & reference).sum(axes), (predicted & ~reference).sum(axes), (~predicted & reference).sum(axes)), dim=1
    )
