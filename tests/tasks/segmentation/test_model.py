"""A model on disk: what is loaded, and what is said where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from autoseg.errors import AutosegError
from autoseg.tasks.segmentation.model import ModelDescription, load_model
from autoseg.workspace import read_model


def test_a_description_comes_back_from_disk_as_it_was(describe: Any, save_model: Any, tmp_path: Path) -> None:
    description = describe(channels=2, mirror_axes=(0, 2))
    assert read_model(save_model(tmp_path, description).model_json, ModelDescription) == description


@pytest.mark.parametrize(("entry", "value", "message"), [
    ("channel_names", [], "channel_names must be 1"), ("channel_names", ["a", "b"], "channel_names must be 1"),
    ("labels", {"values": {"background": 0, "organ": 2**63}}, "channels, and 32768 are possible"),
])
def test_channels_and_labels_that_no_network_could_have_are_named(
    describe: Any, save_model: Any, tmp_path: Path, entry: str, value: Any, message: str
) -> None:
    file = save_model(tmp_path, describe()).model_json
    file.write_text(json.dumps(json.loads(file.read_text()) | {entry: value}))
    with pytest.raises(AutosegError, match=rf"model\.json does not fit .*{message}"):
        read_model(file, ModelDescription)


@pytest.mark.parametrize("patch_size", [(8, 8), (8, 8, 8)])
def test_loaded_networks_compute_what_the_saved_ones_did(
    patch_size: tuple[int, ...], describe: Any, save_model: Any, tmp_path: Path
) -> None:
    description = describe(channels=2, patch_size=patch_size)
    folder = save_model(tmp_path, description, folds=("0", "1"))
    model = load_model(folder)
    image = torch.randn(1, 2, *patch_size)
    assert model.folds == ("0", "1")
    for fold, network in zip(model.folds, model.networks, strict=True):
        expected = description.build().eval()
        stored = load_file(folder.fold(fold).checkpoint_final)
        expected.load_state_dict({name.removeprefix("network."): values for name, values in stored.items()})
        assert not network.training
        with torch.inference_mode():
            torch.testing.assert_close(network(image)[0], expected(image)[0], atol=1e-5, rtol=1e-4)


def test_all_folds_of_the_cross_validation_are_taken_and_the_one_on_all_cases_only_alone(
    describe: Any, save_model: Any, tmp_path: Path
) -> None:
    assert load_model(save_model(tmp_path / "a", describe(), folds=("3", "0", "all"))).folds == ("0", "3")
    assert load_model(save_model(tmp_path / "b", describe(), folds=("all",))).folds == ("all",)
    assert load_model(save_model(tmp_path / "a", describe(), folds=("0", "3", "all")), folds=["all"]).folds == ("all",)


def test_the_best_checkpoint_is_another_file(describe: Any, save_model: Any, tmp_path: Path) -> None:
    folder = save_model(tmp_path, describe(), checkpoint="best")
    assert load_model(folder, checkpoint="best").folds == ("0",)
    with pytest.raises(AutosegError, match="has no fold with weights"):
        load_model(folder)


def test_a_fold_that_is_not_there_is_named_with_those_that_are(describe: Any, save_model: Any, tmp_path: Path) -> None:
    folder = save_model(tmp_path, describe(), folds=("0", "2"))
    with pytest.raises(AutosegError, match=r"has no fold 1, 7 .*\. There are: 0, 2\."):
        load_model(folder, folds=["1", "2", "7"])


def test_weights_of_another_datasets_model_do_not_fit(
    describe: Any, save_model: Any, weights_of: Any, tmp_path: Path
) -> None:
    folder = save_model(tmp_path, describe(classes=3))
    save_file(weights_of(describe(classes=5)), folder.fold("0").checkpoint_final)
    with pytest.raises(AutosegError, match=r"2 have another shape \(such as heads.0.bias: \(5,\), expected \(3,\)\)") as error:
        load_model(folder)
    assert "model of another dataset" in str(error.value)


def test_weights_with_other_names_do_not_fit(
    describe: Any, save_model: Any, weights_of: Any, tmp_path: Path
) -> None:
    folder = save_model(tmp_path, describe())
    weights = weights_of(describe())
    weights["network.extra.weight"] = weights.pop("network.heads.0.weight")
    save_file(weights, folder.fold("0").checkpoint_final)
    with pytest.raises(AutosegError, match=r"1 are missing \(such as heads.0.weight\), 1 are not known \(such as extra"):
        load_model(folder)


@pytest.mark.parametrize("content", [b"", b"no weights at all", None])
def test_damaged_weights_are_named(content: bytes | None, describe: Any, save_model: Any, tmp_path: Path) -> None:
    folder = save_model(tmp_path, describe())
    path = folder.fold("0").checkpoint_final
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(AutosegError, match=r"checkpoint_final\.safetensors is damaged"):
        load_model(folder)


@pytest.mark.parametrize(("key", "value", "message"), [
    ("configuration_name", "3d_fullres", "plans hold no configuration 3d_fullres"),
    ("mirror_axes", [0, 3], "not all axes of the patch"),
    ("surprise", 1, "surprise"),
])
def test_a_description_that_contradicts_itself_is_refused(
    key: str, value: Any, message: str, describe: Any, save_model: Any, tmp_path: Path
) -> None:
    folder = save_model(tmp_path, describe())
    content = json.loads(folder.model_json.read_text())
    folder.model_json.write_text(json.dumps({**content, key: value}))
    with pytest.raises(AutosegError, match=message):
        load_model(folder)
