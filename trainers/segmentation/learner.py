"""The learner that segments: put together from the parts that the settings name."""

from __future__ import annotations

import torch
from torch import nn

from autoseg.dataset import Labels
from autoseg.device import to_device
from autoseg.networks import build_network
from autoseg.plan import Configuration
from autoseg.tasks.segmentation.cascade import input_channels
from autoseg.trainers.losses import Loss, build_loss
from autoseg.trainers.losses.targets import TrainingData, regions_of
from autoseg.trainers.one_network import OneNetworkLearner
from autoseg.trainers.segmentation.batches import Batch
from autoseg.trainers.segmentation.settings import SegmentationSettings
from autoseg.trainers.supervision import LevelsLoss, supervise


def segmentation_learner(
    configuration: Configuration, data: TrainingData, settings: SegmentationSettings, device: torch.device,
    loss: Loss | None = None,
) -> SegmentationLearner:
    """Return the configuration's network, with the loss, supervision, optimizer and learning rate that the settings name.

    configuration: with the settings in it, as `effective_configuration` makes it. loss: one of your own, in place of the one
    that `settings.loss` names: it takes logits (B, K, *spatial) and label values (B, 1, *spatial) and gives a scalar.
    Raises AutosegError where settings do not fit the labels.
    """
    torch.manual_seed(settings.seed)
    network = build_network(configuration.network, input_channels(configuration, data.labels), data.labels.output_channels)
    network = to_device(network, device, configuration.dimensions)
    loss = loss or build_loss(settings, data, configuration.pools_batch)
    levels_loss = supervise(loss, configuration.network, data.labels, settings.supervision)
    return SegmentationLearner(network, levels_loss, data.labels, settings, device)


class SegmentationLearner(OneNetworkLearner):
    """A learner of one network, one optimizer and one loss (see `Learner`)."""

    def __init__(
        self, network: nn.Module, loss: LevelsLoss, labels: Labels, settings: SegmentationSettings, device: torch.device
    ) -> None:
        super().__init__(network, settings, device)
        self.loss = loss
        self.labels = labels

    def training_step(self, batch: Batch) -> dict[str, float]:
        """Make one step with the gradient's norm held at `gradient_clip`."""
        return self.step(batch.image, self.loss, batch.label)

    def validation_step(self, batch: Batch) -> tuple[dict[str, float], torch.Tensor]:
        """Return loss, and true positive, false positive, false negative voxels (classes, 3) int64."""
        logits = self.predict(batch.image)
        with torch.inference_mode():
            loss = self.loss(logits, batch.label)
            return {"loss": loss.item()}, count_overlap(logits[0], batch.label, self.labels).cpu()


def count_overlap(logits: torch.Tensor, label: torch.Tensor, labels: Labels) -> torch.Tensor:
    """Return (foreground classes or regions, 3): true positive, false positive, false negative voxels of a batch.

    logits (B, K, *spatial), label (B, 1, *spatial) of class values; voxels of the ignore label are left out.
    """
    reference = regions_of(label, list(labels.foreground.values())).bool()
    if labels.has_regions:
        predicted = logits > 0
    else:
        predicted = regions_of(logits.argmax(1, keepdim=True), list(labels.foreground.values())).bool()
    if labels.ignore is not None:
        annotated = label != labels.ignore
        reference, predicted = reference & annotated, predicted & annotated
    axes = [0, *range(2, label.ndim)]
    return torch.stack(
        ((predicted & reference).sum(axes), (predicted & ~reference).sum(axes), (~predicted & reference).sum(axes)), dim=1
    )
