"""One contract for every network: shapes, heads, gradients, memory format, prediction; and the published U-Net's parameters."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from autoseg.device import to_device
from autoseg.errors import AutosegError
from autoseg.networks import NETWORKS, build_network
from autoseg.plan import Topology
from autoseg.topology.pooling import Pooling
from autoseg.topology.shapes import SHAPES, topology_of

GRIDS = {
    "2d": Pooling((8, 12), ((1, 1), (2, 2), (2, 2)), ((3, 3),) * 3, (4, 4)),
    "3d": Pooling((8, 12, 8), ((1, 1, 1), (2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 3, (4, 4, 4)),
    "anisotropic": Pooling((6, 8, 12), ((1, 1, 1), (1, 2, 2), (2, 2, 2)), ((1, 3, 3), (1, 3, 3), (3, 3, 3)), (2, 4, 4)),
}
every_network_and_grid = pytest.mark.parametrize(
    ("name", "grid"), [pytest.param(name, grid, id=f"{name}-{grid}") for name in sorted(NETWORKS) for grid in GRIDS])


def make(name: str, grid: str, channels_in: int = 2, **changes: object) -> nn.Module:
    """With five classes."""
    torch.manual_seed(0)
    topology = topology_of(name, GRIDS[grid], base_features=4).model_copy(update=changes)
    return build_network(topology, channels_in, 5)


def patch_of(grid: str, samples: int = 2, channels: int = 2) -> torch.Tensor:
    return torch.randn(samples, channels, *GRIDS[grid].patch_size)


def level_sizes(name: str, grid: str) -> list[tuple[int, ...]]:
    """Of the levels that have a head, finest first: UNet 3+ has one at the bottleneck, too."""
    pooling = GRIDS[grid]
    size, sizes = pooling.patch_size, []
    for stride in pooling.strides:
        size = tuple(n // step for n, step in zip(size, stride, strict=True))
        sizes.append(size)
    return sizes if name == "unet3plus" else sizes[:-1]


@pytest.mark.parametrize("norm", ["instance", "batch"])
@every_network_and_grid
def test_logits_come_finest_first_and_all_weights_learn(name: str, grid: str, norm: str) -> None:
    network = make(name, grid, norm=norm)
    logits = network(patch_of(grid))
    assert [tuple(level.shape) for level in logits] == [(2, 5, *size) for size in level_sizes(name, grid)]
    sum(level.square().sum() for level in logits).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    kinds = {type(module).__name__ for module in network.modules() if "Norm" in type(module).__name__}
    assert any(kind.startswith("BatchNorm") for kind in kinds) == (norm == "batch")
    assert ("InstanceNorm" in kinds) == (norm == "instance")


@every_network_and_grid
def test_gradients_are_finite_in_bfloat16_for_one_sample(name: str, grid: str) -> None:
    network = make(name, grid)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(100 * patch_of(grid, samples=1))
    assert {level.shape[0] for level in logits} == {1}
    sum(level.float().square().sum() for level in logits).backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and bool(torch.isfinite(gradient).all()) for gradient in gradients)


@every_network_and_grid
def test_channels_lie_first_or_last_with_the_same_result(name: str, grid: str) -> None:
    network, patch = make(name, grid).double(), patch_of(grid).double()
    first = network(patch)
    sum(level.sum() for level in first).backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    network.zero_grad()
    layout = torch.channels_last if patch.ndim == 4 else torch.channels_last_3d
    network = to_device(network, torch.device("cpu"), patch.ndim - 2)
    last = network(patch.to(memory_format=layout))
    sum(level.sum() for level in last).backward()
    assert all(torch.allclose(one, other) for one, other in zip(first, last, strict=True))
    for one, parameter in zip(gradients, network.parameters(), strict=True):
        assert torch.allclose(one, parameter.grad)


@every_network_and_grid
def test_prediction_gives_the_finest_logits_alone_and_the_same_ones_again(name: str, grid: str) -> None:
    network, patch = make(name, grid, norm="batch"), patch_of(grid)
    network(patch)
    with torch.inference_mode():
        once, again = (network.eval()(patch) for _ in range(2))
    assert len(once) == 1
    assert once[0].shape == (2, 5, *GRIDS[grid].patch_size)
    assert torch.equal(once[0], again[0])


@every_network_and_grid
def test_without_deep_supervision_there_is_one_head(name: str, grid: str) -> None:
    network = make(name, grid, deep_supervision=False)
    assert len(network.heads) == 1
    assert [level.shape[2:] for level in network(patch_of(grid))] == [GRIDS[grid].patch_size]


def test_each_network_has_a_shape_and_each_shape_a_network() -> None:
    assert set(NETWORKS) == set(SHAPES)


def test_the_unet_has_as_many_parameters_as_the_published_layer_sizes_give() -> None:
    """Two stages, 4 and 8 features, 1 channel in, 2 classes, kernels of 3³; counted by hand:
    convolutions 1→4, 4→4, 4→8, 8→8, decoder 8→4, 4→4; transposed 8→4 with kernel 2³; head 4→2; norms 2 per channel."""
    topology = Topology(features=(4, 8), strides=((1,) * 3, (2,) * 3), kernel_sizes=((3,) * 3,) * 2, convs_per_stage=(2, 2))
    pairs = [(1, 4), (4, 4), (4, 8), (8, 8), (8, 4), (4, 4)]
    convolutions = sum(27 * a * b + b + 2 * b for a, b in pairs)
    expected = convolutions + (8 * 8 * 4 + 4) + (4 * 2 + 2)
    assert sum(parameter.numel() for parameter in build_network(topology, 1, 2).parameters()) == expected


def test_the_unets_weights_keep_the_names_that_models_were_written_with() -> None:
    names = {name for name, _ in make("unet", "2d").named_parameters()}
    assert {"encoder.0.0.0.weight", "encoder.2.1.1.bias", "up.1.weight", "decoder.0.0.0.weight", "heads.1.bias"} <= names
    assert len(names) == 4 * (6 + 4) + 2 * (2 + 2)


def test_networks_without_values_need_no_compiler() -> None:
    """Each prediction builds them before it reads the weights: what a random value there costs, every start would pay."""
    script = (
        "import sys, torch\n"
        "from autoseg.networks import NETWORKS\n"
        "from autoseg.tasks.anomaly.dcgan import Discriminator, GanShape, Generator\n"
        "from tests.networks.test_networks import GRIDS, make\n"
        "with torch.device('meta'):\n"
        "    networks = [make(name, grid) for name in NETWORKS for grid in GRIDS]\n"
        "    shape = GanShape(image_size=16, channels=1, latent=4, conv_layers=2, features=4)\n"
        "    networks += [Generator(shape), Discriminator(shape)]\n"
        "assert all(values.is_meta for network in networks for values in network.parameters())\n"
        "assert 'torch._dynamo' not in sys.modules\n")
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_network_lists_those_that_there_are() -> None:
    topology = topology_of("unet", GRIDS["3d"]).model_copy(update={"name": "vnet"})
    with pytest.raises(AutosegError, match='no network "vnet".*unet'):
        build_network(topology, 1, 2)
