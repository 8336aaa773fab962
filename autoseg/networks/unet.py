"""U-Net (Ronneberger et al. 2015; Çiçek et al. 2016) in the plain form of Isensee et al. 2021."""

from __future__ import annotations

from collections.abc import Iterable

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

    def __init__(
        self, topology: Topology, channels_in: int, classes: int, encoder: Iterable[nn.Module] | None = None
    ) -> None:
        """Build the network. encoder: stages other than plain ones, finest first; each gives its entry of `topology.features`."""
        super().__init__()
        features, strides, kernels, norm = topology.features, topology.strides, topology.kernel_sizes, topology.norm
        self.encoder = nn.ModuleList(plain_encoder(topology, channels_in) if encoder is None else encoder)
        levels = range(topology.stages - 1)  # finest first
        self.up = nn.ModuleList(upsampling(features[i + 1], features[i], strides[i + 1]) for i in levels)
        self.decoder = nn.ModuleList(
            ConvStage(2 * features[i], features[i], kernels[i], None, topology.convs_up[i], norm) for i in levels
        )
        heads = levels if topology.deep_supervision else levels[:1]
        self.heads = nn.ModuleList(head(features[i], classes, (1,) * topology.dimensions) for i in heads)
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


def plain_encoder(topology: Topology, channels_in: int) -> list[nn.Module]:
    """Return a row of convolutions for each stage, the first of them with the stage's stride."""
    inputs = (channels_in, *topology.features[:-1])
    by_stage = zip(
        inputs, topology.features, topology.kernel_sizes, topology.strides, topology.convs_per_stage, strict=True)
    return [ConvStage(*arguments, norm=topology.norm) for arguments in by_stage]
