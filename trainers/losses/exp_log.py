"""Exponential logarithmic loss for small structures beside large ones (Wong et al. 2018, MICCAI)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.trainers.losses.targets import Comparison, TrainingData, power
from autoseg.trainers.settings import ExpLogSettings, LossSettings

SMOOTH = 1.0  # the paper's pseudocount, in voxels


def build(settings: LossSettings, data: TrainingData, pool_batch: bool) -> ExpLog:
    """Exponential logarithmic Dice + cross-entropy, for small structures beside large ones (Wong et al. 2018)."""
    if settings.exp_log.dice_weight == 0 and settings.exp_log.ce_weight == 0:
        raise AutosegError("exp_log.dice_weight and exp_log.ce_weight are both 0: nothing would be learned. Raise one of them.")
    return ExpLog(data.labels, label_weights(data, settings.exp_log.class_weights), settings.exp_log, pool_batch)


class ExpLog:
    """dice_weight · mean over labels of (-ln Dice)^γ + ce_weight · mean over voxels of w·(-ln p)^γ, p and w of the true label.

    Dice = (2|P∩T| + 1) / (|P| + |T| + 1) in voxels, averaged over all labels, background included, as in the paper, whose i
    runs over every softmax output; and over images (in 2D the batch is one image). Each region is a problem of two labels,
    inside and outside: its loss is that of two classes with logits (0, its logit); the mean over regions is taken.

    Where γ < 1, x^γ is infinitely steep at 0, the value of a perfect prediction; but along the logits its slope falls to 0 there.
    So -ln Dice and -ln p are computed from |p - t| and 1 - p, with a small relative error however small they are: no value is
    shifted, and all gradients are finite; where p is near 0 they are above 0.

    weights: (labels,), or (regions, 2) of outside and inside.
    """

    def __init__(self, labels: Labels, weights: torch.Tensor, settings: ExpLogSettings, pool_batch: bool) -> None:
        self.labels = labels
        self.weights = weights
        self.settings = settings
        self.pool_batch = pool_batch

    def __call__(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return a scalar float32. logits: (B, K, *spatial). label: (B, 1, *spatial) integer."""
        compared = Comparison(logits, label, self.labels, self.pool_batch)
        loss = torch.zeros((), device=logits.device)
        if self.settings.dice_weight > 0:
            loss = loss + self.settings.dice_weight * power(minus_log_dice(compared), self.settings.gamma).mean()
        if self.settings.ce_weight > 0:
            weighted = power(compared.minus_log_p, self.settings.gamma) * self._weights_at(compared)
            loss = loss + self.settings.ce_weight * compared.mean(weighted)
        return loss

    def _weights_at(self, compared: Comparison) -> torch.Tensor:
        """Return the weight of each voxel's true label, (B, 1, *spatial), or of each region's, (B, K, *spatial)."""
        weights = self.weights.to(compared.logits.device)
        if not self.labels.has_regions:
            return weights[compared.classes]
        outside, inside = (side.reshape(-1, *[1] * (compared.logits.ndim - 2)) for side in weights.unbind(1))
        return outside + (inside - outside) * compared.target


def minus_log_dice(compared: Comparison) -> torch.Tensor:
    """Return -ln Dice of every label, (images, labels); of every region's inside and outside, (images, 2 · regions).

    With overlap |P∩T| and error |P| + |T| - 2|P∩T|, -ln Dice = ln(1 + error / (2 · overlap + 1)).
    """
    overlap, error = compared.total(compared.target * compared.probabilities), compared.total(compared.error)
    if compared.labels.has_regions:
        outside = compared.total((1 - compared.target) * torch.sigmoid(-compared.logits))
        overlap, error = torch.cat([outside, overlap], dim=-1), torch.cat([error, error], dim=-1)
    return torch.log1p(error / (2 * overlap + SMOOTH))


def label_weights(data: TrainingData, given: Sequence[float] | None) -> torch.Tensor:
    """Return weights of the cross-entropy: the root of (all voxels / voxels of the label), or as given: (labels,) float32.

    For regions (regions, 2): outside and inside, in the same way; where weights are given, outside counts 1. A label that
    occurs nowhere weighs as much as the rarest one that occurs. Raises AutosegError for another number than one per output.
    """
    if given is None and not data.labels.has_regions:
        return _rarity(data.class_voxels, sum(data.class_voxels))
    if given is None:
        outside = [data.voxels - voxels for voxels in data.class_voxels]
        return torch.stack([_rarity(outside, data.voxels), _rarity(data.class_voxels, data.voxels)], dim=1)
    _require_one_per_output(given, data.labels)
    weights = torch.tensor(given)
    return torch.stack([torch.ones_like(weights), weights], dim=1) if data.labels.has_regions else weights


def _rarity(voxels: Sequence[int], total: int) -> torch.Tensor:
    rarest = min((count for count in voxels if count > 0), default=1)
    return torch.tensor([(max(total, 1) / (count or rarest)) ** 0.5 for count in voxels])


def _require_one_per_output(weights: Sequence[float], labels: Labels) -> None:
    if len(weights) == labels.output_channels:
        return
    names = list(labels.foreground)
    if not labels.has_regions:
        by_value = {value: name for name, values in labels.foreground.items() for value in values}
        names = ["background", *(by_value.get(value, str(value)) for value in range(1, labels.output_channels))]
    raise AutosegError(
        f"exp_log.class_weights has {len(weights)} values ({', '.join(f'{weight:g}' for weight in weights)}), expected "
        f"{len(names)}, one for each of {', '.join(names)}, in this order. Give as many, or none for weights by rarity.")
