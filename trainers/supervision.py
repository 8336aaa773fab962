"""Deep supervision: the loss of every decoder level, against the label at that level's resolution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def level_weights(levels: int) -> list[float]:
    """1, 1/2, 1/4, ..., the lowest off (unless it is the only one), scaled to the sum 1 (Isensee et al. 2021)."""
    weights = [0.5**level for level in range(levels)]
    if levels > 1:
        weights[-1] = 0.0
    return [weight / sum(weights) for weight in weights]


class DeepSupervision:
    """Weighted sum of `loss` over decoder levels; the label is brought to each level by its nearest voxel."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def __call__(self, logits: list[torch.Tensor], label: torch.Tensor) -> torch.Tensor:
        """logits: finest first, (B, K, *spatial_i); label (B, 1, *spatial_0) integer -> scalar float32."""
        total = torch.zeros((), device=label.device)
        for weight, level in zip(level_weights(len(logits)), logits, strict=True):
            if weight > 0:
                total = total + weight * self.loss(level, label_at(label, level.shape[2:]))
        return total


def label_at(label: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Label (B, 1, *spatial) at another resolution, by its nearest voxels."""
    if label.shape[2:] == size:
        return label
    return functional.interpolate(label.float(), size, mode="nearest-exact").to(label.dtype)
