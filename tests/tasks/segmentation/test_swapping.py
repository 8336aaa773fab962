"""Prediction with mirrored tiles of a model that tells left from right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.tasks.segmentation.model import LoadedModel, ModelDescription, load_model
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.ways import Way
from autoseg.workspace import read_model

CPU = torch.device("cpu")
CLASSES = Labels(values={"background": 0, "kidney_l": 1, "other": 2, "kidney_r": 3})
REGIONS = Labels(values={"background": 0, "all": (1, 2, 3), "kidney_l": 1, "kidney_r": 3}, regions_class_order=(2, 1, 3))
PAIR = (("kidney_l", "kidney_r"),)


class Sided(nn.Module):
    """What is bright is a kidney: the left one by how far it lies towards the end of the last axis, and the right one by how
    little. It does the same in a mirror, but for the names."""

    def __init__(self, left: int, right: int, channels: int) -> None:
        super().__init__()
        self.left, self.right, self.channels = left, right, channels

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        logits = torch.zeros(len(x), self.channels, *x.shape[2:])
        side = torch.linspace(-1, 1, x.shape[-1]).expand_as(x[:, 0])
        logits[:, self.left], logits[:, self.right] = x[:, 0] * side, -x[:, 0] * side
        return [logits]


def predicted(description: ModelDescription, network: nn.Module, image: Image, mirroring: bool) -> np.ndarray:
    model = LoadedModel(description, [network], ("0",))
    return Predictor([model, model], CPU, precision="float32", way=Way(axes=None if mirroring else ())).predict_image(image)


@pytest.mark.parametrize(("labels", "network"), [(CLASSES, Sided(1, 3, 4)), (REGIONS, Sided(1, 2, 3))])
@pytest.mark.parametrize("patch_size", [(8, 8, 8), (8, 8)])
def test_mirrored_tiles_agree_once_their_sides_are_swapped_back(
    labels: Labels, network: nn.Module, patch_size: tuple[int, ...], describe: Any
) -> None:
    image = Image(np.random.default_rng(0).uniform(1, 2, (1, 8, 8, 8)).astype(np.float32), Geometry((1.0, 1.0, 1.0)))
    axes = tuple(range(len(patch_size)))
    description = describe(1, 4, patch_size, mirror_axes=axes, labels=labels)
    swapping = description.model_copy(update={"swap_axes": axes[-1:], "swapped": PAIR})
    truth = np.where(np.arange(8) < 4, 3, 1)[None, None].repeat(8, 0).repeat(8, 1)
    assert (predicted(swapping, network, image, mirroring=False) == truth).all()
    assert (predicted(swapping, network, image, mirroring=True) == truth).all()
    confused = predicted(description, network, image, mirroring=True)  # left and right add up to nothing
    assert (confused == truth).mean() < 0.6


def test_model_json_without_the_entries_swaps_nothing(tmp_path: Path, describe: Any, save_model: Any) -> None:
    folder = save_model(tmp_path, describe(mirror_axes=(0, 2)))
    content = json.loads(folder.model_json.read_text())
    del content["swap_axes"], content["swapped"], content["plans"]["sides"]
    folder.model_json.write_text(json.dumps(content))
    its = load_model(folder).description
    assert its.mirroring.axes == (0, 2) and its.mirroring.swapped == () and its.plans.sides is None


@pytest.mark.parametrize(("changed", "said"), [
    ({"swap_axes": [1]}, "swap_axes"), ({"swapped": [["class1", "class9"]]}, "swapped"),
    ({"swapped": [["class1", "class2"], ["class2", "class1"]]}, "swapped")])
def test_model_json_that_contradicts_itself_is_refused(
    tmp_path: Path, describe: Any, changed: dict[str, Any], said: str
) -> None:
    path = tmp_path / "model.json"
    write_json(path, {**json.loads(describe(mirror_axes=(0, 2)).model_dump_json()), **changed})
    with pytest.raises(AutosegError, match=said):
        read_model(path, ModelDescription)
