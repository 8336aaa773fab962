"""Networks that OpenVINO runs, against torch: labels of whole images, what is kept between commands, and what is refused."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.api import load, predict_files
from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image
from autoseg.inference import engines
from autoseg.inference.engines import Runs, open_in_openvino, require_engine
from autoseg.networks import build_network
from autoseg.plan import Topology
from autoseg.tasks.segmentation.model import ModelDescription, load_model
from autoseg.workspace import ModelFolder
from tests.conftest import SaveModel, describe

CPU = torch.device("cpu")
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra autoseg[openvino] is not installed")
Save = Callable[..., ModelFolder]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def described(patch_size: tuple[int, ...], name: str = "unet", **changes: Any) -> ModelDescription:
    """A model of two channels that mirrors all axes, and whose network has this name."""
    its = describe(channels=2, patch_size=patch_size, mirror_axes=tuple(range(len(patch_size))))
    network = its.configuration.network.model_copy(update={"name": name, **changes})
    configuration = its.configuration.model_copy(update={"network": network})
    return its.model_copy(update={"plans": its.plans.model_copy(update={"configurations": {"tiny": configuration}})})


def random_image(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32) + 5


def labels_of(model: ModelFolder, image: np.ndarray, engine: str, precision: str = "float32") -> np.ndarray:
    opened = load(model=model.root, device="cpu", engine=engine, precision=precision)
    labels: np.ndarray = opened.predict(image, spacing_mm=(1.0, 1.0, 1.0))
    return labels


@needs_openvino
@pytest.mark.parametrize(("patch_size", "name", "changes"), [
    ((8, 8, 8), "unet", {}), ((8, 8), "unet", {}), ((8, 8, 8), "resunet", {}), ((9, 8), "resunet", {}),
    ((8, 8, 8), "unet3plus", {"classification_guided": True}), ((8, 8), "unet3plus", {}), ((8, 7, 8), "unet", {"norm": "batch"})])
def test_both_engines_give_the_same_labels_in_float32(
    tmp_path: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch, patch_size: tuple[int, ...], name: str, changes: Any
) -> None:
    """All voxels but one of a thousand: on two folds, mirrored tiles, and groups of slices of which the last is smaller."""
    monkeypatch.setattr(engines, "VOXELS_AT_ONCE", 4 * 72)
    model = save_model(tmp_path, described(patch_size, name, **changes), ("0", "1"))
    image = random_image((11, 13, 12))
    torch_labels = labels_of(model, image, "torch")
    assert len(np.unique(torch_labels)) > 1
    assert (labels_of(model, image, "openvino") == torch_labels).mean() > 0.999


@needs_openvino
def test_in_bfloat16_openvino_is_as_near_to_float32_as_torch(tmp_path: Path, save_model: SaveModel) -> None:
    model = save_model(tmp_path, described((16, 16, 16)), ("0",))
    patch = torch.randn(1, 2, 16, 16, 16)
    with torch.inference_mode():
        exact = load_model(model).networks[0](patch)[0]
        with torch.autocast("cpu", torch.bfloat16):
            rounded = load_model(model).networks[0](patch)[0].float()
        found = load_model(model, engine="openvino", precision="bfloat16").networks[0](patch)[0]
    assert 0.1 * (rounded - exact).norm() < (found - exact).norm() < 1.5 * (rounded - exact).norm()


@needs_openvino
def test_what_was_converted_and_compared_once_is_opened_without_torch(
    tmp_path: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(tmp_path, described((8, 8, 8)))
    image = random_image((11, 13, 12))
    before = labels_of(model, image, "openvino")
    assert sys.modules["openvino_telemetry"] is None  # nothing is reported to anyone

    def refuse(*_: Any, **__: Any) -> nn.Module:
        raise ValueError("the network is built once more")

    monkeypatch.setattr("autoseg.tasks.segmentation.model._build", refuse)
    assert (labels_of(model, image, "openvino") == before).all()
    with pytest.raises(ValueError, match="once more"):  # in another precision its answers were not compared yet
        labels_of(model, image, "openvino", "bfloat16")


@needs_openvino
@pytest.mark.parametrize("name", ["network.bin", "network.xml"])
def test_a_damaged_network_is_converted_again(
    tmp_path: Path, own_cache: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    model, image = save_model(tmp_path, described((8, 8, 8))), random_image((8, 8, 8))
    before = labels_of(model, image, "openvino")
    (file,) = own_cache.rglob(name)
    whole = file.read_bytes()
    damaged = whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]
    file.write_bytes(damaged)
    for _ in range(2):
        assert (labels_of(model, image, "openvino") == before).all()
        assert len(file.read_bytes()) == len(whole) and file.read_bytes() != damaged


@needs_openvino
def test_where_nothing_can_be_kept_it_is_converted_each_time(
    tmp_path: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    model, image = save_model(tmp_path, described((8, 8, 8))), random_image((8, 8, 8))
    assert (labels_of(model, image, "openvino") == labels_of(model, image, "torch")).mean() > 0.99


@needs_openvino
@pytest.mark.parametrize("wrong", [0.02, float("nan")])
def test_answers_that_differ_are_refused_each_time(
    tmp_path: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    """A fault in a corner alone, of a fiftieth of the logits' standard deviation."""
    model, image = save_model(tmp_path, described((8, 8, 8))), random_image((8, 8, 8))
    right = engines._Runner.forward

    def forward(self: Any, patches: torch.Tensor) -> list[torch.Tensor]:
        (logits,) = right(self, patches)
        logits[..., -1] += wrong * logits.std()
        return [logits]

    monkeypatch.setattr(engines._Runner, "forward", forward)
    for _ in range(2):
        with pytest.raises(AutosegError, match=r"differs from torch in float32 by .* Leave out --engine openvino|engine="):
            labels_of(model, image, "openvino")


@needs_openvino
def test_short_axes_are_refused_in_bfloat16(tmp_path: Path) -> None:
    """oneDNN, which both run on, makes garbage of them; torch's are computed in float32 there."""
    topology = Topology(features=(4, 8), strides=((1, 1, 1), (2, 2, 2)), kernel_sizes=((3, 3, 3),) * 2, convs_per_stage=(1, 1))
    network = build_network(topology, 1, 2).eval()
    file = tmp_path / "weights.safetensors"
    from safetensors.torch import save_file

    save_file(network.state_dict(), file)
    its = Runs(topology, 1, 2, (8, 8, 2))
    with pytest.raises(AutosegError, match=r"axes as short as those of this network's encoder\.0.* --precision float32"):
        open_in_openvino(file, lambda: network, its, "bfloat16")
    opened = open_in_openvino(file, lambda: network, its, "float32")
    patch = torch.randn(3, 1, 8, 8, 2)
    with torch.inference_mode():
        assert (opened(patch)[0] - network(patch)[0]).abs().max() < 1e-4


@needs_openvino
def test_a_folder_of_outputs_knows_what_engine_made_them(tmp_path: Path, save_model: SaveModel) -> None:
    model, image = save_model(tmp_path, describe()), random_image((8, 8, 8))[:1]
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "case_0000.nii.gz", image, Image(image, Geometry((1.0, 1.0, 1.0))))

    def run(**options: Any) -> Any:
        return predict_files(tmp_path / "in", tmp_path / "out", model=model.root, device="cpu", quiet=True, **options)

    assert run(engine="openvino").already_there == 0
    assert run(engine="openvino").already_there == 1
    with pytest.raises(AutosegError, match="other"):
        run()


def test_what_openvino_cannot_do_is_said_before_anything_is_read(
    tmp_path: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_engine("torch", torch.device("cuda"), "float16")
    monkeypatch.setattr(engines, "find_spec", lambda name: object())
    with pytest.raises(AutosegError, match=r"device is cuda:1\. Add --device cpu"):
        require_engine("openvino", torch.device("cuda:1"), "auto")
    with pytest.raises(AutosegError, match="float32 or bfloat16, but --precision is float16"):
        require_engine("openvino", CPU, "float16")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(AutosegError, match=r"not installed here.*pip install 'autoseg\[openvino\]'"):
        labels_of(save_model(tmp_path, describe()), random_image((8, 8, 8))[:1], "openvino")
