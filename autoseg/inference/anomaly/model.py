"""Trained anomaly detectors: `model.json` says what they are, safetensors hold their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import nn

from autoseg.device import to_device
from autoseg.inference.anomaly.settings import SearchSettings
from autoseg.inference.apart import DescriptionApart
from autoseg.inference.checkpoints import Weights, checkpoint_files, fill, part_of, read_weights, require_task
from autoseg.networks.dcgan import Discriminator, Encoder, GanShape, Generator
from autoseg.slices.plan import SlicePlans
from autoseg.workspace import ModelFolder, read_model

Network = TypeVar("Network", bound=nn.Module)

GENERATOR, DISCRIMINATOR, ENCODER = "generator.", "discriminator.", "encoder."  # the modules of the recipe that weights name


class AnomalyDescription(DescriptionApart[SlicePlans]):
    """All that scoring needs but weights; one to one with the `model.json` of an anomaly detector.

    gan: shape of the networks. spectral_norm: of the discriminator. has_encoder: whether the weights hold one. search: as it was
    trained with; a prediction may take another. The others as in `DescriptionApart`.
    """

    task: Literal["anomaly"] = "anomaly"
    gan: GanShape
    spectral_norm: bool
    has_encoder: bool
    search: SearchSettings


@dataclass(frozen=True)
class GanNetworks:
    """Of one fold, in eval mode, their weights without gradients. encoder: None where none was trained."""

    generator: Generator
    discriminator: Discriminator
    encoder: Encoder | None = None

    def __iter__(self) -> Iterator[nn.Module]:
        """Those that there are."""
        return iter(network for network in (self.generator, self.discriminator, self.encoder) if network is not None)


@dataclass(frozen=True)
class LoadedDetector:
    """Networks of one or more folds. folds: their names, in the networks' order."""

    description: AnomalyDescription
    networks: list[GanNetworks]
    folds: tuple[str, ...]


def load_detector(
    folder: ModelFolder, folds: Sequence[str] | None = None, device: torch.device | None = None
) -> LoadedDetector:
    """A trained anomaly detector from its folder, its networks on `device` (None for the CPU).

    folds: "0".."4" or "all"; None for every finished fold of the cross-validation, or "all" where there is none.
    Raises AutosegError where the folder is no model, or one that segments, a fold is not there, or weights do not fit model.json.
    """
    require_task(folder, "anomaly")
    description = read_model(folder.model_json, AnomalyDescription)
    files = checkpoint_files(folder, folds, "final")
    networks = [load_networks(description, file, device or torch.device("cpu")) for file in files.values()]
    return LoadedDetector(description, networks, tuple(files))


def load_networks(description: AnomalyDescription, file: Path, device: torch.device) -> GanNetworks:
    """The networks that `description` names with the weights of a safetensors file. Raises AutosegError as `load_detector`."""
    weights, shape = read_weights(file), description.gan
    with torch.device("meta"):  # no memory, and no time for random weights
        generator, discriminator = Generator(shape), Discriminator(shape, description.spectral_norm)
        encoder = Encoder(shape) if description.has_encoder else None
    return GanNetworks(
        _ready(generator, part_of(weights, GENERATOR), file, device),
        _ready(discriminator, part_of(weights, DISCRIMINATOR), file, device),
        _ready(encoder, part_of(weights, ENCODER), file, device) if encoder else None)


def _ready(network: Network, weights: Weights, file: Path, device: torch.device) -> Network:
    fill(network, weights, file)
    to_device(network.float(), device, dimensions=2)
    return network.eval().requires_grad_(False)
