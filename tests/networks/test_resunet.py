"""The residual encoder U-Net against nnU-Net's, whose weights and outputs it shares (dynamic_network_architectures 0.4.4)."""

from __future__ import annotations

import pytest
import torch

from autoseg.networks.blocks import ResidualBlock
from autoseg.networks.resunet import ResidualEncoderUNet
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import topology_of


@pytest.mark.parametrize(("spacing_mm", "patch", "channels", "classes", "parameters"), [
    ((1.0, 1.0), (512, 512), 1, 3, 140_019_061),
    ((1.0, 1.0, 1.0), (128, 128, 128), 1, 3, 102_350_575),
    ((5.0, 1.5, 1.5), (20, 256, 256), 2, 4, 140_662_776),
], ids=["2d", "3d", "anisotropic"])
def test_it_has_as_many_parameters_as_nnunets(
    spacing_mm: tuple[float, ...], patch: tuple[int, ...], channels: int, classes: int, parameters: int
) -> None:
    """Expected: of ResidualEncoderUNet with the same arguments, convolutions with bias, affine instance norm."""
    with torch.device("meta"):
        network = ResidualEncoderUNet(topology_of("resunet", pool(spacing_mm, patch)), channels, classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_a_block_begins_as_the_activation_of_what_came_in() -> None:
    topology = topology_of("resunet", pool((1.0, 1.0), (16, 16)), 4)
    block = next(module for module in ResidualEncoderUNet(topology, 1, 2).modules() if isinstance(module, ResidualBlock))
    x = torch.randn(1, 4, 6, 6)
    assert torch.allclose(block(x), torch.nn.functional.leaky_relu(x, 0.01))


def test_what_passes_by_a_block_is_averaged_over_the_stride_and_convolved_where_channels_change() -> None:
    block = ResidualBlock(2, 3, (3, 3), (1, 2))
    torch.nn.init.zeros_(block.second[1].weight)
    x = torch.randn(1, 2, 4, 6)
    averaged = (x[..., ::2] + x[..., 1::2]) / 2
    passed = torch.einsum("oi,bixy->boxy", block.skip[1][0].weight[..., 0, 0], averaged)
    normalized = (passed - passed.mean((2, 3), keepdim=True)) / (passed.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(block(x), torch.nn.functional.leaky_relu(normalized, 0.01), atol=1e-5)
