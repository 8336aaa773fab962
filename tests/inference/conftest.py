"""Tiny models, described as training describes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autoseg.dataset import Labels
from autoseg.inference.model import ModelDescription
from autoseg.plan import Configuration, Plans, Topology
from autoseg.workspace import ModelFolder, write_json

Describe = Callable[..., ModelDescription]
WeightsOf = Callable[[ModelDescription], dict[str, torch.Tensor]]
SaveModel = Callable[..., ModelFolder]


def describe(
    channels: int = 1, classes: int = 3, patch_size: tuple[int, ...] = (8, 8, 8),
    transpose: tuple[int, int, int] = (0, 1, 2), mirror_axes: tuple[int, ...] = (), labels: Labels | None = None,
    spacing_mm: tuple[float, ...] | None = None,
) -> ModelDescription:
    """A model of `channels` channels that are taken as they are (no normalization), 1 mm apart."""
    dimensions = len(patch_size)
    topology = Topology(features=(4, 8), strides=((1,) * dimensions, (2,) * dimensions),
                        kernel_sizes=((3,) * dimensions,) * 2, convs_per_stage=(1, 1))
    configuration = Configuration(
        spacing_mm=spacing_mm or (1.0,) * dimensions, median_shape=(16,) * dimensions, patch_size=patch_size, batch_size=2,
        normalization=("none",) * channels, normalize_inside_mask=(False,) * channels, network=topology)
    plans = Plans(dataset="Dataset001_Tiny", planner="default", transpose=transpose, versions={},
                  foreground_intensities={}, configurations={"tiny": configuration})
    return ModelDescription(
        dataset="Dataset001_Tiny", channel_names=tuple(f"channel{c}" for c in range(channels)),
        labels=labels or Labels(values={"background": 0, **{f"class{k}": k for k in range(1, classes)}}),
        file_ending=".nii.gz", configuration_name="tiny", plans=plans, recipe="default", settings={"epochs": 1},
        mirror_axes=mirror_axes, versions={})


def weights_of(description: ModelDescription) -> dict[str, torch.Tensor]:
    """Fresh weights, under the names that training gives them."""
    return {f"network.{name}": values for name, values in description.build().state_dict().items()}


def save_model(
    root: Path, description: ModelDescription, folds: tuple[str, ...] = ("0",), checkpoint: str = "final"
) -> ModelFolder:
    """A model folder with random weights, other ones in each fold."""
    folder = ModelFolder(root / "models" / description.configuration_name / description.recipe)
    write_json(folder.model_json, description)
    for seed, fold in enumerate(folds):
        torch.manual_seed(seed)
        folder.fold(fold).root.mkdir(parents=True, exist_ok=True)
        save_file(weights_of(description), folder.fold(fold).root / f"checkpoint_{checkpoint}.safetensors")
    return folder


@pytest.fixture(name="describe")
def describe_fixture() -> Describe:
    return describe


@pytest.fixture(name="weights_of")
def weights_of_fixture() -> WeightsOf:
    return weights_of


@pytest.fixture(name="save_model")
def save_model_fixture() -> SaveModel:
    return save_model
