"""The shape of each kind of network over a pooling: features and convolutions by stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autoseg.errors import AutosegError
from autoseg.plan import Norm, Topology
from autoseg.topology.pooling import Pooling

BASE_FEATURES = 32
MOST_FEATURES = {2: 512, 3: 320}


@dataclass(frozen=True)
class Shape:
    """The numbers of convolutions of a kind of network, finest stage first; the last number holds for all further stages.

    encoder: in each stage, or residual blocks of two in a residual encoder. decoder: in each stage; None for as many as in the
    encoder.
    """

    encoder: tuple[int, ...]
    decoder: tuple[int, ...] | None = None

    def convolutions(self, stages: int) -> dict[str, Any]:
        """Return the entries of a Topology of so many stages that say how many convolutions there are."""
        decoder = None if self.decoder is None else _by_stage(self.decoder, stages - 1)
        return {"convs_per_stage": _by_stage(self.encoder, stages), "decoder_convs_per_stage": decoder}


SHAPES = {
    "unet": Shape(encoder=(2,)),  # Isensee et al. 2021
    "resunet": Shape(encoder=(1, 3, 4, 6), decoder=(1,)),  # Isensee et al. 2024
    "unet3plus": Shape(encoder=(2,), decoder=(1,)),  # Huang et al. 2020
}


def topology_of(network: str, pooling: Pooling, base_features: int = BASE_FEATURES) -> Topology:
    """Return the topology of the named network over a pooling. Raises AutosegError that lists the names there are."""
    return Topology(
        name=network,
        features=features_by_stage(len(pooling.patch_size), pooling.stages, base_features),
        strides=pooling.strides,
        kernel_sizes=pooling.kernel_sizes,
        **_shape(network).convolutions(pooling.stages),
    )


def reshaped(
    topology: Topology, network: str | None = None, base_features: int | None = None, norm: Norm | None = None
) -> Topology:
    """Return the topology with another network, width or norm over the same strides and kernels; None leaves an entry as it is.

    A network of another name has its own number of convolutions; a width alone leaves the number that was planned.
    Raises AutosegError that lists the names of the networks there are.
    """
    changes: dict[str, Any] = {}
    if network is not None and network != topology.name:
        changes |= {"name": network} | _shape(network).convolutions(topology.stages)
    if base_features is not None:
        changes["features"] = features_by_stage(topology.dimensions, topology.stages, base_features)
    if norm is not None:
        changes["norm"] = norm
    return topology.model_copy(update=changes)


def features_by_stage(dimensions: int, stages: int, base_features: int) -> tuple[int, ...]:
    """Return the features of each stage: doubled at each, up to 320 in 3D and 512 in 2D (Isensee et al. 2021)."""
    return tuple(min(MOST_FEATURES[dimensions], base_features * 2**stage) for stage in range(stages))


def _shape(network: str) -> Shape:
    if network not in SHAPES:
        raise AutosegError(f'There is no network "{network}". There are: {", ".join(SHAPES)}.')
    return SHAPES[network]


def _by_stage(numbers: tuple[int, ...], stages: int) -> tuple[int, ...]:
    return (numbers + (numbers[-1],) * stages)[:stages]
