"""A network as other programs take it over: its finest logits alone, and patches to compare its answers on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Finest(nn.Module):
    """A network in eval mode that gives its finest logits alone: (B, C, *patch) -> (B, K, *patch).

    The network's own weights are laid out contiguously (no channels last, 1-kernels included): a trace shows plain layers.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        for values in self.parameters():
            values.data = values.data.clone(memory_format=torch.contiguous_format)
        self.eval()

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        finest: torch.Tensor = self.network(patch)[0]
        return finest


def example_patches(count: int, channels: int, patch_size: Sequence[int]) -> torch.Tensor:
    """Return patches (count, channels, *patch_size) float32 of noise with mean 0 and variance 1, the same each time."""
    return torch.randn((count, channels, *patch_size), generator=torch.Generator().manual_seed(0))
