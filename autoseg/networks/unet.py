"""U-Net (Ronneberger et al. 2015; Çiçek et al. 2016) in the plain form of Isensee et al. 2021."""

from __future__ import annotations

import torch
from torch import nn

from autoseg.networks.blocks import ConvStage, Logits, head, initialize_he, upsampling
from autoseg.plan import Topology


class UNet(nn.Module):
    """Strided convolutions down, transposed convolutions up, a logit head at every decoder level.

    forward: (B, channels_in, *spatial) float -> list of logits (B, classes, *spatial_i), finest first; one entry per
    decoder level in training mode with deep supervision, else the finest alone. `spatial` must be divisible by the
    product of the strides along each axis.
    """

    def __init__(self, topology: Topology, channels_in: int, classes: int) -> None:
        super().__init__()
        features, strides, kernels = topology.features, topology.strides, topology.kernel_sizes
        ones = (1,) * topology.dimensions
        inputs = (channels_in, *features[:-1])
        self.encoder = nn.ModuleList(
            ConvStage(*arguments)
            for arguments in zip(inputs, features, kernels, strides, topology.convs_per_stage, strict=True)
        )
        levels = range(len(features) - 1)  # finest first
        self.up = nn.ModuleList(upsampling(features[i + 1], features[i], strides[i + 1]) for i in levels)
        self.decoder = nn.ModuleList(
            ConvStage(2 * features[i], features[i], kernels[i], ones, topology.convs_up[i]) for i in levels
        )
        heads = levels if topology.deep_supervision else levels[:1]
        self.heads = nn.ModuleList(head(features[i], classes, topology.dimensions) for i in heads)
        initialize_he(self)

    def forward(self, x: torch.Tensor) -> Logits:
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        x = skips.pop()
        logits: Logits = []
        wanted = len(self.heads) if self.training else 1
        for level in reversed(range(len(self.decoder))):
            x = torch.cat((self.up[level](x), skips.pop()), dim=1)  # popped, so that prediction can free it
            x = self.decoder[level](x)
            if level < wanted:
                logits.append(self.heads[level](x))
        return logits[::-1]
