"""Trained models: `model.json` says what the network is and what it was trained on, safetensors hold its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import model_validator
from torch import nn

from autoseg.dataset import Labels
from autoseg.device import to_device
from autoseg.inference.checkpoints import Checkpoint, checkpoint_files, fill, part_of, read_weights, require_task
from autoseg.networks import build_network
from autoseg.plan import Configuration, Frozen, Plans
from autoseg.workspace import ModelFolder, read_model

NETWORK = "network."  # weights are named "<module of the recipe>.<weight>"; this is the module that segments


class ModelDescription(Frozen):
    """All that prediction needs but weights; one to one with `model.json`.

    channel_names, labels, file_ending: of the dataset. plans: with the configuration `configuration_name` only.
    recipe, settings: what was trained and how. name: of the model, where it is not that of its recipe. mirror_axes: spatial
    axes of the patch along which training mirrored, so that prediction may too. flags: of autoseg_train, that give these
    settings. versions: of the packages that trained it.
    """

    dataset: str
    channel_names: tuple[str, ...]
    labels: Labels
    file_ending: str
    configuration_name: str
    plans: Plans
    recipe: str
    settings: dict[str, Any]
    flags: tuple[str, ...] = ()
    mirror_axes: tuple[int, ...]
    versions: dict[str, str]
    name: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ModelDescription:
        if self.configuration_name not in self.plans.configurations:
            raise ValueError(f"plans hold no configuration {self.configuration_name}")
        if any(not 0 <= axis < self.configuration.dimensions for axis in self.mirror_axes):
            raise ValueError(f"mirror_axes {self.mirror_axes} are not all axes of the patch")
        return self

    @property
    def called(self) -> str:
        """As the user knows it: by its name, or its recipe's."""
        return self.name or self.recipe

    @property
    def configuration(self) -> Configuration:
        return self.plans.configurations[self.configuration_name]

    def build(self) -> nn.Module:
        """The network, with fresh weights."""
        return build_network(self.configuration.network, len(self.channel_names), self.labels.output_channels)


@dataclass(frozen=True)
class LoadedModel:
    """Networks of one or more folds, in eval mode on their device. folds: their names, in the networks' order."""

    description: ModelDescription
    networks: list[nn.Module]
    folds: tuple[str, ...]


def load_model(
    folder: ModelFolder,
    folds: Sequence[str] | None = None,
    checkpoint: Checkpoint = "final",
    device: torch.device | None = None,
) -> LoadedModel:
    """A trained model from its folder.

    folds: "0".."4" or "all"; None for every finished fold of the cross-validation, or "all" where there is none.
    checkpoint: weights of the last epoch, or of the best one in the online validation.
    device: where the networks go; None for the CPU.
    Raises AutosegError where the folder is no model, or an anomaly detector, a fold is not there, or weights do not fit
    model.json.
    """
    require_task(folder, "segmentation")
    description = read_model(folder.model_json, ModelDescription)
    files = checkpoint_files(folder, folds, checkpoint)
    networks = [load_network(description, file, device or torch.device("cpu")) for file in files.values()]
    return LoadedModel(description, networks, tuple(files))


def load_network(description: ModelDescription, weights: Path, device: torch.device) -> nn.Module:
    """The network that `description` names, in eval mode, with the weights of a safetensors file.

    Raises AutosegError where the file is missing or damaged, or its weights do not fit.
    """
    with torch.device("meta"):  # no memory, and no time for random weights
        network = description.build()
    fill(network, part_of(read_weights(weights), NETWORK), weights)
    return to_device(network.float(), device, description.configuration.dimensions).eval()
