"""Maps of what a class's volume depends on, of networks whose gradient is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from torch import nn

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io import read_image, write_image
from autoseg.inference.inputs import list_inputs
from autoseg.tasks.segmentation.explaining import explain_image, require_gradients
from autoseg.tasks.segmentation.model import LoadedModel
from autoseg.tasks.segmentation.options import PredictOptions
from autoseg.tasks.segmentation.prediction import SegmentationPrediction
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.ways import Wish, taken_way

Describe = Callable[..., Any]
WAY = taken_way(None, Wish(None, None, False, False, None))


class Identity(nn.Module):
    """Logits are the image's channels."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x]


def predictor_of(description: Any) -> Predictor:
    return Predictor([LoadedModel(description, [Identity(), Identity()], ("0", "1"))], torch.device("cpu"), precision="float32")


def volume(seed: int = 0) -> Image:
    array = np.random.default_rng(seed).normal(size=(3, 11, 9, 10)).astype(np.float32)
    array[:, :2] = 0  # the crop takes these away
    return Image(array, Geometry((1.0, 1.0, 1.0), (5.0, -7.0, 11.0)))


@pytest.mark.parametrize("patch_size", [(8, 6, 6), (8, 8)])
@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
def test_of_an_identity_it_is_the_softmaxs_own_gradient(
    patch_size: tuple[int, ...], transpose: tuple[int, int, int], describe: Describe
) -> None:
    image = volume()
    found = explain_image(predictor_of(describe(3, 3, patch_size, transpose)), image, "a")
    p = softmax(image.array, axis=0)
    p[:, :2] = 0
    assert list(found) == ["class1", "class2"]
    for number, values in enumerate(found.values(), 1):
        assert values == pytest.approx(2 * p[number] * (p[1:].sum(0) + p[0] - p[number]), abs=1e-5)  # |dp/dx| over the channels


def test_of_regions_it_is_the_sigmoids(describe: Describe) -> None:
    labels = Labels(values={"background": 0, "whole tumour": (1, 2), "core": 2, "third": 3}, regions_class_order=(1, 2, 3))
    image = volume()
    found = explain_image(predictor_of(describe(3, patch_size=(8, 8, 8), labels=labels)), image, "a")
    p = expit(image.array[0])
    p[:2] = 0
    assert list(found) == ["whole_tumour", "core", "third"] and found["whole_tumour"] == pytest.approx(p * (1 - p), abs=1e-5)


def test_prediction_writes_maps_on_the_images_grid_and_pictures_once(describe: Describe, tmp_path: Path) -> None:
    image = volume()
    (tmp_path / "in").mkdir()
    for channel in range(3):
        write_image(tmp_path / "in" / f"a_000{channel}.nii.gz", image.array[channel:channel + 1], image)
    predictor = predictor_of(describe(3, 3, (8, 8, 8)))
    prediction = SegmentationPrediction(predictor, PredictOptions(explain=True), WAY)
    inputs = list_inputs(tmp_path / "in", predictor.description)
    (outcome,) = prediction.predict_files(inputs, tmp_path / "out", False)
    assert outcome.error is None and outcome.value.path == tmp_path / "out" / "a.nii.gz"
    files = sorted(path.name for path in (tmp_path / "out" / "explain").iterdir())
    assert files == ["a.png", "a_class1.nii.gz", "a_class2.nii.gz"]
    written = read_image(tmp_path / "out" / "explain" / "a_class1.nii.gz")
    assert not written.geometry.differences(image.geometry, image.array.shape[1:])
    assert written.array[0] == pytest.approx(explain_image(predictor, image, "a")["class1"], abs=1e-6)
    before = (tmp_path / "out" / "explain" / "a.png").stat().st_mtime_ns
    (again,) = prediction.predict_files(inputs, tmp_path / "out", False)
    assert again.value.was_there and (tmp_path / "out" / "explain" / "a.png").stat().st_mtime_ns == before
    (tmp_path / "out" / "explain" / "a.png").unlink()
    assert next(prediction.predict_files(inputs, tmp_path / "out", False)).error is None
    assert (tmp_path / "out" / "explain" / "a.png").exists()


def test_a_users_own_folder_is_not_written_into_and_another_engine_is_refused(describe: Describe, tmp_path: Path) -> None:
    (tmp_path / "explain").mkdir()
    prediction = SegmentationPrediction(
        predictor_of(describe(3, 3)), PredictOptions(explain=True), WAY)
    with pytest.raises(AutosegError, match="explain is there, but autoseg did not make it"):
        prediction.outputs(tmp_path, False)
    with pytest.raises(AutosegError, match="--explain needs gradients, which --engine openvino does not give"):
        require_gradients(PredictOptions(explain=True, engine="openvino"))
