"""The learner of a band at the level, by binary cross-entropy."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from autoseg.device import to_device
from autoseg.networks import build_network
from autoseg.plan import Topology
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.topology.shapes import reshaped
from autoseg.trainers.localization.batches import LocatorBatch
from autoseg.trainers.localization.settings import LocalizationSettings
from autoseg.trainers.one_network import OneNetworkLearner
from autoseg.trainers.supervision import DeepSupervision


def locator_learner(plans: ProjectionPlans, settings: LocalizationSettings, device: torch.device) -> LocatorLearner:
    """Return a learner of the plans' network as the settings change it, with one output: logits of the band."""
    torch.manual_seed(settings.seed)
    network = build_network(locator_network(plans, settings), plans.channels + sees_position(plans, settings), classes=1)
    return LocatorLearner(to_device(network, device, dimensions=2), settings, device)


def sees_position(plans: ProjectionPlans, settings: LocalizationSettings) -> bool:
    """Tell whether the network sees how far each row is from the scan's ends."""
    return plans.position if settings.position is None else settings.position


def locator_network(plans: ProjectionPlans, settings: LocalizationSettings) -> Topology:
    """Return the shape of the network that these settings train. Raises AutosegError for an unknown network."""
    network = reshaped(plans.network, settings.network, settings.base_features, settings.norm)
    return network.model_copy(update={"deep_supervision": settings.deep_supervision})


class LocatorLearner(OneNetworkLearner):
    """A learner of one network that puts out one logit per pixel (see `autoseg.trainers.loop.Learner`)."""

    def __init__(self, network: nn.Module, settings: LocalizationSettings, device: torch.device) -> None:
        super().__init__(network, settings, device)
        weight = torch.tensor(settings.positive_weight, device=device)

        def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return functional.binary_cross_entropy_with_logits(logits.float(), target, pos_weight=weight)

        self._levels = DeepSupervision(cross_entropy, settings.supervision)
        self._finest = cross_entropy

    def training_step(self, batch: LocatorBatch) -> dict[str, float]:
        """Make one step with the gradient's norm held at `gradient_clip`."""
        return self.step(batch.image, self._levels, batch.target)

    def validation_step(self, batch: LocatorBatch) -> tuple[dict[str, float], torch.Tensor]:
        """Return loss, and true positive, false positive, false negative pixels (1, 3) int64 of the band."""
        logits = self.predict(batch.image)[0]
        with torch.inference_mode():
            predicted, band = logits > 0, batch.target > 0.5
            counts = torch.stack([(predicted & band).sum(), (predicted & ~band).sum(), (~predicted & band).sum()])
            return {"loss": self._finest(logits, batch.target).item()}, counts[None].cpu()
