"""One contract for every network: shapes, heads, gradients, and the parameter count of the published U-Net."""

from __future__ import annotations

import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.networks import NETWORKS, build_network
from autoseg.plan import Topology

FLAT = Topology(features=(4, 8, 16), strides=((1, 1), (2, 2), (2, 2)), kernel_sizes=((3, 3),) * 3, convs_per_stage=(2, 2, 2))
CUBIC = Topology(
    features=(4, 8, 16), strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)), kernel_sizes=((3, 3, 3),) * 3, convs_per_stage=(2, 2, 2)
)
ANISOTROPIC = Topology(
    features=(4, 8, 16), strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)), kernel_sizes=((1, 3, 3), (1, 3, 3), (3, 3, 3)),
    convs_per_stage=(2, 2, 2),
)
SIZES = {id(FLAT): (8, 12), id(CUBIC): (8, 12, 8), id(ANISOTROPIC): (6, 8, 12)}


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("topology", [FLAT, CUBIC, ANISOTROPIC], ids=["2d", "3d", "anisotropic"])
def test_logits_come_finest_first_and_all_weights_learn(name: str, topology: Topology) -> None:
    network = build_network(topology.model_copy(update={"name": name}), 2, 5)
    size = SIZES[id(topology)]
    logits = network(torch.randn(2, 2, *size))
    assert logits[0].shape == (2, 5, *size)
    coarser = tuple(s // stride for s, stride in zip(size, topology.strides[1], strict=True))
    assert logits[1].shape == (2, 5, *coarser)
    sum(level.square().sum() for level in logits).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_prediction_and_training_without_deep_supervision_give_the_finest_logits_alone(name: str) -> None:
    topology = CUBIC.model_copy(update={"name": name})
    network = build_network(topology, 1, 2)
    assert len(network(torch.randn(1, 1, 8, 8, 8))) == 2
    assert len(network.eval()(torch.randn(1, 1, 8, 8, 8))) == 1
    assert len(build_network(topology.model_copy(update={"deep_supervision": False}), 1, 2)(torch.randn(1, 1, 8, 8, 8))) == 1


def test_the_unet_has_as_many_parameters_as_the_published_layer_sizes_give() -> None:
    """Two stages, 4 and 8 features, 1 channel in, 2 classes, kernels of 3³; counted by hand:
    convolutions 1→4, 4→4, 4→8, 8→8, decoder 8→4, 4→4; transposed 8→4 with kernel 2³; head 4→2; norms 2 per channel."""
    topology = Topology(features=(4, 8), strides=((1,) * 3, (2,) * 3), kernel_sizes=((3,) * 3,) * 2, convs_per_stage=(2, 2))
    pairs = [(1, 4), (4, 4), (4, 8), (8, 8), (8, 4), (4, 4)]
    convolutions = sum(27 * a * b + b + 2 * b for a, b in pairs)
    expected = convolutions + (8 * 8 * 4 + 4) + (4 * 2 + 2)
    assert sum(parameter.numel() for parameter in build_network(topology, 1, 2).parameters()) == expected


def test_an_unknown_network_lists_those_that_there_are() -> None:
    with pytest.raises(AutosegError, match='no network "vnet".*unet'):
        build_network(CUBIC.model_copy(update={"name": "vnet"}), 1, 2)
