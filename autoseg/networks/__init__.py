"""Networks by name: each is built as `Network(topology, channels_in, classes)`."""

from __future__ import annotations

from typing import Any

from torch import nn

from autoseg.errors import AutosegError
from autoseg.networks.resunet import ResidualEncoderUNet
from autoseg.networks.unet import UNet
from autoseg.networks.unet3plus import UNet3Plus
from autoseg.plan import Topology

NETWORKS: dict[str, Any] = {"unet": UNet, "resunet": ResidualEncoderUNet, "unet3plus": UNet3Plus}


def build_network(topology: Topology, channels_in: int, classes: int) -> nn.Module:
    """Return the network that `topology.name` names. Raises AutosegError that lists the names there are."""
    if topology.name not in NETWORKS:
        raise AutosegError(f'There is no network "{topology.name}". There are: {", ".join(sorted(NETWORKS))}.')
    network: nn.Module = NETWORKS[topology.name](topology, channels_in, classes)
    return network
