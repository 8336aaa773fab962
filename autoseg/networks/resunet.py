"""Residual encoder U-Net (Isensee et al. 2024, "nnU-Net revisited"), with blocks after He et al. 2016 and 2019."""

from __future__ import annotations

from torch import nn

from autoseg.networks.blocks import ConvNormAct, ResidualBlock
from autoseg.networks.unet import UNet
from autoseg.plan import Topology


class ResidualEncoderUNet(UNet):
    """U-Net whose encoder stages are residual blocks, behind a first convolution; the decoder is the plain U-Net's.

    forward: as `UNet`. `topology.convs_per_stage` counts blocks of two convolutions. Each block begins as the identity (the last
    norm before the sum scales by zero), as in nnU-Net.
    """

    def __init__(self, topology: Topology, channels_in: int, classes: int) -> None:
        super().__init__(topology, channels_in, classes, residual_encoder(topology, channels_in))
        for block in self.modules():
            if isinstance(block, ResidualBlock):
                nn.init.zeros_(block.second.get_parameter("1.weight"))


def residual_encoder(topology: Topology, channels_in: int) -> list[nn.Module]:
    """Return the blocks of each stage, the first with the stage's stride; one convolution stands before the first stage."""
    features, kernels, norm = topology.features, topology.kernel_sizes, topology.norm
    ones = (1,) * topology.dimensions
    stages: list[nn.Module] = []
    for stage, blocks in enumerate(topology.convs_per_stage):
        channels = features[max(stage - 1, 0)]
        first = ResidualBlock(channels, features[stage], kernels[stage], topology.strides[stage], norm)
        others = (ResidualBlock(features[stage], features[stage], kernels[stage], ones, norm) for _ in range(blocks - 1))
        stages.append(nn.Sequential(first, *others))
    return [nn.Sequential(ConvNormAct(channels_in, features[0], kernels[0], None, norm), stages[0]), *stages[1:]]
