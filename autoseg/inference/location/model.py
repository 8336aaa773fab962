"""Trained locators: `model.json` says what they are, safetensors hold their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from autoseg.device import to_device
from autoseg.inference.apart import DescriptionApart
from autoseg.inference.checkpoints import checkpoint_files, fill, part_of, read_weights, require_task
from autoseg.inference.location.settings import LocationSettings
from autoseg.networks import build_network
from autoseg.plan import Topology
from autoseg.projections.plan import ProjectionPlans
from autoseg.workspace import ModelFolder, read_model

NETWORK = "network."  # the module of the recipe that weights name


class LocatorDescription(DescriptionApart[ProjectionPlans]):
    """All that locating needs but weights; one to one with the `model.json` of a locator.

    network: its shape as it was trained. position: whether it sees how far each row is from the ends. band: height of the band
    that marks the level, pixels. location: as it was trained with; a prediction may take another. The others as in
    `DescriptionApart`.
    """

    task: Literal["location"] = "location"
    network: Topology
    position: bool = False
    band: float
    location: LocationSettings

    @property
    def inputs(self) -> int:
        """Channels that the network takes."""
        return self.plans.channels + self.position


@dataclass(frozen=True)
class LoadedLocator:
    """Networks of one or more folds, in eval mode. folds: their names, in the networks' order."""

    description: LocatorDescription
    networks: list[nn.Module]
    folds: tuple[str, ...]


def load_locator(folder: ModelFolder, folds: Sequence[str] | None = None, device: torch.device | None = None) -> LoadedLocator:
    """A trained locator from its folder, its networks on `device` (None for the CPU).

    folds: "0".."4" or "all"; None for every finished fold of the cross-validation, or "all" where there is none.
    Raises AutosegError where the folder is no locator, a fold is not there, or weights do not fit model.json.
    """
    require_task(folder, "location")
    description = read_model(folder.model_json, LocatorDescription)
    target = device or torch.device("cpu")
    networks = []
    for file in (files := checkpoint_files(folder, folds, "final")).values():
        with torch.device("meta"):  # no memory, and no time for random weights
            network = build_network(description.network, description.inputs, classes=1)
        fill(network, part_of(read_weights(file), NETWORK), file)
        networks.append(to_device(network.float(), target, dimensions=2).eval().requires_grad_(False))
    return LoadedLocator(description, networks, tuple(files))
