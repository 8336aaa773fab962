"""Trained models that segment: what their `model.json` says besides, and their network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import model_validator
from torch import nn

from autoseg.bounds import Engine, Precision
from autoseg.dataset import Labels
from autoseg.device import to_device
from autoseg.image_io.dicom.codes import Coding
from autoseg.inference.checkpoints import Checkpoint, Description, Loaded, Weights, fill, load, part_of
from autoseg.inference.engines import Runs, open_in_openvino
from autoseg.networks import build_network
from autoseg.plan import Configuration, Frozen, Plans
from autoseg.sides import Mirroring, pairs_fault
from autoseg.tasks.segmentation.cascade import input_channels
from autoseg.ways import Axes
from autoseg.workspace import ModelFolder

MOST_OUTPUTS = 2**15  # classes, background included: stored labels are of 16 bits
NETWORK = "network"  # the module of the recipe that segments


class StartedFrom(Frozen):
    """The model that a training started from. dataset, configuration, recipe (or name): of that model.

    weights: by fold that it had, their digest (see `sealed_digest`). heads: whether its heads were taken or new ones begun.
    channels: for each channel of the dataset the model's whose weights it took; None for one that began with zeros.
    """

    dataset: str
    configuration: str
    recipe: str
    weights: dict[str, str]
    heads: Literal["taken", "new"]
    channels: tuple[str | None, ...]

    @property
    def in_words(self) -> str:
        """Return the model in words, such as "Dataset004_Hippocampus, 3d_fullres, default"."""
        return f"{self.dataset}, {self.configuration}, {self.recipe}"


class ModelDescription(Description):
    """All that segmenting needs but weights; one to one with `model.json`.

    channel_names, labels, file_ending: of the dataset. plans: with the configuration `configuration_name` only. mirror_axes:
    spatial axes of the patch along which training mirrored, so that prediction may too. swap_axes, swapped: labels of each pair
    change places where an odd number of these axes is mirrored. tile_sums: type of numbers that tiles and folds are averaged in;
    float16 for models of nnU-Net, which does so. notes: what a user of the model should know. started_from: the model whose
    weights the training began with; None where it began with random ones. dicom_codes: of labels, as dataset.json has them.
    The others as in `Description`.
    """

    task: Literal["segmentation"] = "segmentation"
    channel_names: tuple[str, ...]
    labels: Labels
    file_ending: str
    plans: Plans
    mirror_axes: tuple[int, ...]
    swap_axes: tuple[int, ...] = ()
    swapped: tuple[tuple[str, str], ...] = ()
    tile_sums: Literal["float32", "float16"] = "float32"
    notes: tuple[str, ...] = ()
    started_from: StartedFrom | None = None
    dicom_codes: dict[str, Coding] = {}

    @model_validator(mode="after")
    def _consistent(self) -> ModelDescription:
        if self.configuration_name not in self.plans.configurations:
            raise ValueError(f"plans hold no configuration {self.configuration_name}")
        if len(self.channel_names) != len(self.configuration.normalization):
            raise ValueError(f"channel_names must be {len(self.configuration.normalization)}, as normalization has it")
        if self.labels.output_channels > MOST_OUTPUTS:
            raise ValueError(f"labels make {self.labels.output_channels} channels, and {MOST_OUTPUTS} are possible")
        if any(not 0 <= axis < self.configuration.dimensions for axis in self.mirror_axes):
            raise ValueError(f"mirror_axes {self.mirror_axes} are not all axes of the patch")
        if not {*self.swap_axes} <= {*self.mirror_axes}:
            raise ValueError(f"swap_axes {self.swap_axes} are not all among mirror_axes {self.mirror_axes}")
        if fault := pairs_fault(self.labels, self.swapped):
            raise ValueError(f"swapped must hold pairs of labels that can change places: {fault}")
        return self

    @property
    def configuration(self) -> Configuration:
        return self.plans.configurations[self.configuration_name]

    @property
    def mirroring(self) -> Mirroring:
        return Mirroring(self.mirror_axes, self.swap_axes, self.swapped)

    @property
    def first_axis(self) -> int:
        """Return the axis of the volume that is the first of a patch."""
        return 3 - self.configuration.dimensions

    def mirrored(self, axes: Axes | None) -> Axes:
        """Return those axes of the patch that training mirrored and that are among `axes` of the volume; None for all."""
        return tuple(axis for axis in self.mirror_axes if axes is None or axis + self.first_axis in axes)

    def build(self) -> nn.Module:
        """Return the network, with fresh weights."""
        its = self.configuration
        return build_network(its.network, input_channels(its, self.labels), self.labels.output_channels)


LoadedModel = Loaded[ModelDescription, nn.Module]


def load_model(
    folder: ModelFolder, folds: Sequence[str] | None = None, checkpoint: Checkpoint = "final",
    device: torch.device | None = None, engine: Engine = "torch", precision: Precision = "auto",
) -> LoadedModel:
    """Return a trained model from its folder, its networks on `device`. engine: what runs them, and for OpenVINO in which
    `precision`; see `engines.open_in_openvino`. The rest as in `checkpoints.load`."""

    def run(description: ModelDescription, file: Path, make: Callable[[], nn.Module]) -> nn.Module:
        its, classes = description.configuration, description.labels.output_channels
        return open_in_openvino(
            file, make, Runs(its.network, input_channels(its, description.labels), classes, its.patch_size), precision)

    return load(folder, "segmentation", ModelDescription, _build, folds, checkpoint, device,
                None if engine == "torch" else run)


def _build(description: ModelDescription, weights: Weights, file: Path, device: torch.device) -> nn.Module:
    """Return the network that `description` names, in eval mode. Raises AutosegError where the weights do not fit."""
    with torch.device("meta"):  # no memory, and no time for random weights
        network = description.build()
    fill(network, part_of(weights, NETWORK), file)
    return to_device(network.float(), device, description.configuration.dimensions).eval()
