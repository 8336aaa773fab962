"""Soft Dice (Milletari et al. 2016, Drozdzal et al. 2016) plus cross-entropy, as in Isensee et al. 2021."""

from __future__ import annotations

import torch

from autoseg.dataset import Labels
from autoseg.trainers.losses.targets import Comparison, TrainingData
from autoseg.trainers.settings import LossSettings

SMOOTH = 1e-5


def build(settings: LossSettings, data: TrainingData, pool_batch: bool) -> DiceCrossEntropy:
    """Soft Dice + cross-entropy (nnU-Net; Isensee et al. 2021)."""
    return DiceCrossEntropy(data.labels, pool_batch)


class DiceCrossEntropy:
    """1 - soft Dice of the foreground classes or regions + cross-entropy (of regions: binary)."""

    def __init__(self, labels: Labels, pool_batch: bool) -> None:
        self.labels = labels
        self.pool_batch = pool_batch

    def __call__(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return a scalar float32. logits: (B, K, *spatial). label: (B, 1, *spatial) integer."""
        compared = Comparison(logits, label, self.labels, self.pool_batch)
        return self._cross_entropy(compared) + 1 - soft_dice(compared)

    def _cross_entropy(self, compared: Comparison) -> torch.Tensor:
        """Return the mean over voxels and regions; with an ignore label, as in nnU-Net, the sum over regions of their means."""
        mean = compared.mean(compared.cross_entropy)
        return mean * self.labels.output_channels if self.labels.has_regions and compared.annotated is not None else mean


def soft_dice(compared: Comparison) -> torch.Tensor:
    """Return the mean over foreground channels and images of 2|P∩T| / (|P| + |T|), a scalar in 0..1.

    A class that is absent and not predicted counts as 1.
    """
    probabilities, target = compared.foreground
    overlap = compared.total(probabilities * target)
    total = compared.total(probabilities) + compared.total(target)
    return ((2 * overlap + SMOOTH) / (total + SMOOTH).clamp_min(1e-8)).mean()
