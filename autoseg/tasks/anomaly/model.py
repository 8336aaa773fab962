"""Trained anomaly detectors: what their `model.json` says besides, and their networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import nn

from autoseg.device import to_device
from autoseg.inference.checkpoints import Description, Loaded, Weights, fill, load, part_of
from autoseg.tasks.anomaly.dcgan import Discriminator, Encoder, GanShape, Generator
from autoseg.tasks.anomaly.options import SearchSettings
from autoseg.tasks.anomaly.plan import CONFIGURATION, SlicePlans
from autoseg.workspace import ModelFolder

Network = TypeVar("Network", bound=nn.Module)

GENERATOR, DISCRIMINATOR, ENCODER = "generator", "discriminator", "encoder"  # the modules of the recipe that weights name


class AnomalyDescription(Description):
    """All that scoring needs but weights; one to one with the `model.json` of an anomaly detector.

    gan: shape of the networks. spectral_norm: of the discriminator. has_encoder: whether the weights hold one. search: as it was
    trained with; a prediction may take another. The others as in `Description`.
    """

    task: Literal["anomaly"] = "anomaly"
    configuration_name: str = CONFIGURATION
    plans: SlicePlans
    gan: GanShape
    spectral_norm: bool
    has_encoder: bool
    search: SearchSettings

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Return the channels of the images that it takes."""
        return self.plans.channel_names


@dataclass(frozen=True)
class GanNetworks:
    """The networks of one fold, in eval mode, their weights without gradients. encoder: None where none was trained."""

    generator: Generator
    discriminator: Discriminator
    encoder: Encoder | None = None

    def __iter__(self) -> Iterator[nn.Module]:
        """Yield those that there are."""
        return iter(network for network in (self.generator, self.discriminator, self.encoder) if network is not None)


LoadedDetector = Loaded[AnomalyDescription, GanNetworks]


def load_detector(
    folder: ModelFolder, folds: Sequence[str] | None = None, device: torch.device | None = None
) -> LoadedDetector:
    """Return a trained detector from its folder, its networks on `device`. The rest as in `checkpoints.load`."""
    return load(folder, "anomaly", AnomalyDescription, _build, folds, device=device)


def _build(description: AnomalyDescription, weights: Weights, file: Path, device: torch.device) -> GanNetworks:
    shape = description.gan
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
