"""Trained locators: what their `model.json` says besides, and their network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from autoseg.device import to_device
from autoseg.inference.checkpoints import Description, Loaded, Weights, fill, load, part_of
from autoseg.networks import build_network
from autoseg.plan import Topology
from autoseg.tasks.localization.options import LocationSettings
from autoseg.tasks.localization.plan import CONFIGURATION, ProjectionPlans
from autoseg.workspace import ModelFolder

NETWORK = "network"  # the module of the recipe that weights name


class LocatorDescription(Description):
    """All that locating needs but weights; one to one with the `model.json` of a locator.

    network: its shape as it was trained. position: whether it sees how far each row is from the ends. band: height of the band
    that marks the level, pixels. location: as it was trained with; a prediction may take another. The others as in
    `Description`.
    """

    task: Literal["localization"] = "localization"
    configuration_name: str = CONFIGURATION
    plans: ProjectionPlans
    network: Topology
    position: bool = False
    band: float = Field(gt=0, le=2**14)
    location: LocationSettings

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Return the channels of the images that it takes."""
        return self.plans.channel_names

    @property
    def inputs(self) -> int:
        """Return the number of channels that the network takes."""
        return self.plans.channels + self.position


LoadedLocator = Loaded[LocatorDescription, nn.Module]


def load_locator(folder: ModelFolder, folds: Sequence[str] | None = None, device: torch.device | None = None) -> LoadedLocator:
    """Return a trained locator from its folder, its networks on `device`. The rest as in `checkpoints.load`."""
    return load(folder, "localization", LocatorDescription, _build, folds, device=device)


def _build(description: LocatorDescription, weights: Weights, file: Path, device: torch.device) -> nn.Module:
    with torch.device("meta"):  # no memory, and no time for random weights
        network = build_network(description.network, description.inputs, classes=1)
    fill(network, part_of(weights, NETWORK), file)
    return to_device(network.float(), device, dimensions=2).eval().requires_grad_(False)
