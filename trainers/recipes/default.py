"""`default`: Dice + cross-entropy, deep supervision, SGD with Nesterov momentum, polynomial decay (Isensee et al. 2021)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from autoseg.dataset import Labels
from autoseg.device import autocast, memory_format, resolve_precision, to_device
from autoseg.networks import build_network
from autoseg.plan import Configuration
from autoseg.trainers.batches import Batch
from autoseg.trainers.losses.dice_ce import DiceBinaryCrossEntropy, DiceCrossEntropy, regions_of
from autoseg.trainers.settings import Settings
from autoseg.trainers.supervision import DeepSupervision, Loss


def build(configuration: Configuration, labels: Labels, settings: Settings, device: torch.device) -> SegmentationTask:
    """A U-Net of the plan with the loss that the labels ask for: softmax for classes, sigmoid for regions."""
    torch.manual_seed(settings.seed)
    network = build_network(configuration.network, len(configuration.normalization), labels.output_channels)
    network = to_device(network, device, configuration.dimensions)
    optimizer = torch.optim.SGD(
        network.parameters(), settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
    )
    pool_batch = configuration.dimensions == 2
    loss: Loss = DiceCrossEntropy(pool_batch, labels.ignore)
    if labels.has_regions:
        loss = DiceBinaryCrossEntropy(list(labels.foreground.values()), pool_batch, labels.ignore)
    return SegmentationTask(network, optimizer, loss, labels, settings, device)


class SegmentationTask:
    """One network, one optimizer, one loss (see `Task`)."""

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, loss: Loss, labels: Labels, settings: Settings,
        device: torch.device,
    ) -> None:
        self.modules = {"network": network}
        self.optimizers = {"network": optimizer}
        self.loss = DeepSupervision(loss)
        self.labels = labels
        self.settings = settings
        self.device = device
        self.dtype = resolve_precision(settings.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def set_progress(self, progress: float) -> None:
        """Polynomial decay, (1 - progress)^0.9, after a linear warm-up where one is set."""
        rate = self.settings.learning_rate * max(0.0, 1 - progress) ** 0.9
        if progress < self.settings.warmup:
            rate *= (progress + 1e-3) / self.settings.warmup
        for group in self.optimizers["network"].param_groups:
            group["lr"] = rate

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
        """Weights, optimizer and scaler."""
        return {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
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
