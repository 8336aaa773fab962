"""Deep supervision: the loss of every decoder level, against the label."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from autoseg.dataset import Labels
from autoseg.networks.upsampled import upsample
from autoseg.plan import Topology
from autoseg.trainers.losses import Loss
from autoseg.trainers.losses.targets import annotated_in, outputs_of
from autoseg.trainers.settings import SupervisionSettings
from autoseg.trainers.whole_batch import whole_sum

LevelsLoss = Callable[[list[torch.Tensor], torch.Tensor], torch.Tensor]


def supervise(loss: Loss, topology: Topology, labels: Labels, settings: SupervisionSettings) -> LevelsLoss:
    """Return the loss of all that a network of this topology puts out in training."""
    levels = DeepSupervision(loss, settings)
    return ClassificationGuided(levels, labels) if topology.classification_guided else levels


class DeepSupervision:
    """The weighted sum of `loss` over decoder levels, each at its own resolution or brought up to the label's."""

    def __init__(self, loss: Loss, settings: SupervisionSettings) -> None:
        self.loss = loss
        self.settings = settings

    def __call__(self, logits: list[torch.Tensor], label: torch.Tensor) -> torch.Tensor:
        """Return a scalar float32. logits: finest first, (B, K, *spatial_i). label: (B, 1, *spatial_0) integer."""
        total = torch.zeros((), device=label.device)
        for weight, level in zip(level_weights(len(logits), self.settings.weights), logits, strict=True):
            if weight > 0:
                total = total + weight * self._of_level(level, label)
        return total

    def _of_level(self, level: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if self.settings.resolution == "level" or level.shape[2:] == label.shape[2:]:
            return self.loss(level, label_at(label, level.shape[2:]))
        return self.loss(upsample(level.float(), label.shape[2:]), label)


class ClassificationGuided:
    """The loss of all levels, and the binary cross-entropy of which classes the patch holds (Huang et al. 2020).

    In a patch with voxels of the ignore label a class that is not seen may still be there: only those that are seen count.
    """

    def __init__(self, levels: LevelsLoss, labels: Labels) -> None:
        self.levels = levels
        self.labels = labels

    def __call__(self, logits: list[torch.Tensor], label: torch.Tensor) -> torch.Tensor:
        """Return a scalar float32. logits: as for `DeepSupervision`; in training also the presence of classes, last."""
        if len(logits) == 1:  # prediction: the network has used the presence itself
            return self.levels(logits, label)
        *levels, presence = logits
        present = outputs_of(label, self.labels).flatten(2).amax(2)
        annotated = annotated_in(label, self.labels)
        counts = torch.ones_like(present)
        if annotated is not None:
            counts = torch.maximum(present, annotated.flatten(1).amin(1, keepdim=True))
        guidance = functional.binary_cross_entropy_with_logits(presence.float().flatten(1), present, counts, reduction="sum")
        return self.levels(levels, label) + whole_sum(guidance) / whole_sum(counts.sum()).clamp_min(1)


def level_weights(levels: int, scheme: str = "halving") -> list[float]:
    """Return the weight of each level, finest first; their sum is 1.

    halving: 1, 1/2, 1/4, ..., the lowest off, unless it is the only one (Isensee et al. 2021). equal: all alike.
    """
    if scheme == "equal":
        return [1 / levels] * levels
    weights = [0.5**level for level in range(levels)]
    if levels > 1:
        weights[-1] = 0.0
    return [weight / sum(weights) for weight in weights]


def label_at(label: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Return a label (B, 1, *spatial) at another resolution, by its nearest voxels."""
    if label.shape[2:] == size:
        return label
    return functional.interpolate(label.float(), size, mode="nearest-exact").to(label.dtype)
