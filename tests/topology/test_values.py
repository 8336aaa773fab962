"""What a patch costs: against convolutions counted in a forward pass, nnU-Net's own count, and memory that is really held."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from autoseg.device import memory_format, to_device
from autoseg.networks import build_network
from autoseg.plan import Topology
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import SHAPES, topology_of
from autoseg.topology.values import unet3plus_besides, values_put_out, voxels_by_stage

CPU = torch.device("cpu")
FLOAT32 = 4  # bytes
GRIDS = {"2d": ((1.0, 1.0), (64, 48)), "3d": ((1.0, 1.0, 1.0), (24, 32, 24)), "anisotropic": ((4.0, 1.0, 1.0), (8, 48, 32))}
every_network_and_grid = pytest.mark.parametrize(
    ("name", "grid"), [pytest.param(name, grid, id=f"{name}-{grid}") for name in SHAPES for grid in GRIDS])


def shape_of(name: str, grid: str, base_features: int) -> tuple[Topology, tuple[int, ...]]:
    pooling = pool(*GRIDS[grid])
    return topology_of(name, pooling, base_features), pooling.patch_size


@every_network_and_grid
def test_what_convolutions_put_out_is_that_of_a_forward_pass(name: str, grid: str) -> None:
    topology, patch = shape_of(name, grid, 4)
    network = build_network(topology, 2, 5).eval()
    counts: list[int] = []
    counted = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    for module in network.modules():
        if isinstance(module, counted):
            module.register_forward_hook(lambda module, inputs, output: counts.append(output.numel()))
    with torch.inference_mode():
        network(torch.zeros(1, 2, *patch))
    besides = unet3plus_besides(voxels_by_stage(patch, topology), topology) if name == "unet3plus" else 0
    assert values_put_out(patch, topology, classes=5) - besides == sum(counts)


@pytest.mark.parametrize(("spacing_mm", "patch", "classes", "expected"), [
    ((1.0, 1.0), (512, 512), 3, 129_703_936),
    ((1.0, 1.0, 1.0), (128, 128, 128), 3, 557_420_544),
    ((5.0, 1.5, 1.5), (20, 256, 256), 4, 489_047_040),
], ids=["2d", "3d", "anisotropic"])
def test_a_residual_encoder_unet_counts_as_much_as_nnunet_counts(
    spacing_mm: tuple[float, ...], patch: tuple[int, ...], classes: int, expected: int
) -> None:
    """Expected: compute_conv_feature_map_size of nnU-Net's network (dynamic_network_architectures 0.4.4)."""
    pooling = pool(spacing_mm, patch)
    assert values_put_out(pooling.patch_size, topology_of("resunet", pooling), classes) == expected


def test_decoder_convolutions_count_for_themselves() -> None:
    topology, patch = shape_of("unet", "2d", 8)
    fewer = topology.model_copy(update={"decoder_convs_per_stage": (1,) * (topology.stages - 1)})
    finest_first = zip(topology.features[:-1], voxels_by_stage(patch, topology)[:-1], strict=True)
    difference = values_put_out(patch, topology, 2) - values_put_out(patch, fewer, 2)
    assert difference == sum(features * voxels for features, voxels in finest_first)


class Held(TorchDispatchMode):
    """Bytes of all tensors made inside that are alive, and the most there were. But for those known before."""

    def __init__(self, known: list[torch.Tensor]) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage()._cdata for tensor in known}
        self.alive: dict[StorageWeakRef, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        self.alive = {storage: size for storage, size in self.alive.items() if not storage.expired()}
        addresses = self.known | {storage.cdata for storage in self.alive}
        for storage in (tensor.untyped_storage() for tensor in tree_leaves(made) if isinstance(tensor, torch.Tensor)):
            if storage._cdata not in addresses:
                self.alive[StorageWeakRef(storage)] = storage.nbytes()
                addresses.add(storage._cdata)
        self.peak = max(self.peak, sum(self.alive.values()))
        return made


def peak_bytes(topology: Topology, patch: tuple[int, ...]) -> int:
    """Of a training step on one patch in float32, weights and their gradients left out."""
    network = to_device(build_network(topology, 1, 2), CPU, len(patch))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    image = torch.randn(1, 1, *patch).to(memory_format=memory_format(CPU, len(patch)))
    weights = [tensor for parameter in network.parameters() for tensor in (parameter.data, parameter.grad)]
    with Held([image, *weights]) as held:
        sum(level.mean() for level in network(image)).backward()
    return held.peak


@pytest.mark.parametrize("grid", GRIDS)
def test_a_value_stands_for_as_much_memory_in_each_network(grid: str) -> None:
    """At the peak of a step, twice its own size and a little for gradients. With batch norm: instance norm's own copies, which
    differ with the memory format, are not the network's."""
    for name in SHAPES:
        topology, patch = shape_of(name, grid, 8)
        bytes_per_value = peak_bytes(topology.model_copy(update={"norm": "batch"}), patch) / values_put_out(patch, topology, 2)
        assert bytes_per_value == pytest.approx(2.15 * FLOAT32, rel=0.08)
