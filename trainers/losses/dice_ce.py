"""Soft Dice (Milletari et al. 2016, Drozdzal et al. 2016) plus cross-entropy, as in Isensee et al. 2021."""

from __future__ import annotations

import torch
from torch.nn import functional

SMOOTH = 1e-5


def soft_dice(probabilities: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None, pool_batch: bool) -> torch.Tensor:
    """Mean over classes (and samples, unless `pool_batch`) of 2|P∩T| / (|P| + |T|), a scalar in 0..1.

    probabilities, target: (B, K, *spatial) float. mask: (B, 1, *spatial) float, 0 where nothing is counted.
    pool_batch: count the whole batch as one image. A class that is absent and not predicted counts as 1.
    """
    if mask is not None:
        probabilities, target = probabilities * mask, target * mask
    axes = ([0] if pool_batch else []) + list(range(2, target.ndim))
    overlap = (probabilities * target).sum(axes)
    total = probabilities.sum(axes) + target.sum(axes)
    return ((2 * overlap + SMOOTH) / (total + SMOOTH).clamp_min(1e-8)).mean()


class DiceCrossEntropy:
    """1 - soft Dice of the foreground classes + cross-entropy, for labels (B, 1, *spatial) of class values.

    ignore: label value that counts in neither.
    """

    def __init__(self, pool_batch: bool, ignore: int | None = None) -> None:
        self.pool_batch = pool_batch
        self.ignore = ignore

    def __call__(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """logits (B, K, *spatial), label (B, 1, *spatial) integer -> scalar float32."""
        logits = logits.float()
        classes = label[:, 0].long()
        mask = None
        if self.ignore is not None:
            known = classes != self.ignore
            mask = known[:, None].float()
            classes = torch.where(known, classes, 0)
        log_probabilities = functional.log_softmax(logits, dim=1)
        voxelwise = functional.nll_loss(log_probabilities, classes, reduction="none")
        entropy = voxelwise.mean() if mask is None else (voxelwise * mask[:, 0]).sum() / mask.sum().clamp_min(1)
        one_hot = torch.zeros_like(logits).scatter_(1, classes[:, None], 1)
        dice = soft_dice(log_probabilities.exp()[:, 1:], one_hot[:, 1:], mask, self.pool_batch)
        return entropy + 1 - dice


class DiceBinaryCrossEntropy:
    """1 - soft Dice + binary cross-entropy of independent regions, for labels (B, 1, *spatial) of class values.

    regions: the label values that belong to each output channel. ignore: label value that counts in neither.
    """

    def __init__(self, regions: list[tuple[int, ...]], pool_batch: bool, ignore: int | None = None) -> None:
        self.regions = regions
        self.pool_batch = pool_batch
        self.ignore = ignore

    def __call__(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """logits (B, regions, *spatial), label (B, 1, *spatial) integer -> scalar float32."""
        logits = logits.float()
        target = regions_of(label, self.regions)
        mask = None if self.ignore is None else (label != self.ignore).float()
        voxelwise = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        if mask is None:
            entropy = voxelwise.mean()
        else:
            entropy = (voxelwise * mask).sum() / (mask.sum() * len(self.regions)).clamp_min(1)
        return entropy + 1 - soft_dice(torch.sigmoid(logits), target, mask, self.pool_batch)


def regions_of(label: torch.Tensor, regions: list[tuple[int, ...]]) -> torch.Tensor:
    """Label (B, 1, *spatial) of class values -> (B, regions, *spatial) float32 of 0 and 1."""
    inside = [torch.isin(label[:, 0], torch.as_tensor(values, device=label.device, dtype=label.dtype)) for values in regions]
    return torch.stack(inside, dim=1).float()
