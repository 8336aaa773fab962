"""Models in nnU-Net's form: what nnU-Net wrote comes out again as it was; what it has no equal for is refused or said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.api import export_models
from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image import axis_order
from autoseg.tasks.segmentation.exports.nnunet import REORIENTED
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.tasks.segmentation.nnunet.checkpoint import read_checkpoint
from autoseg.tasks.segmentation.nnunet.plans import NnunetPlans
from autoseg.tasks.segmentation.nnunet.reading import find_models, take
from tests.conftest import SaveModel, describe

OF_TRAINING = {"max", "min", "inherits_from", "next_stage"}


def exported(output: Path, description: ModelDescription, save_model: SaveModel) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """plans.json, dataset.json and the checkpoint of fold 0 of a model with random weights."""
    model = save_model(output / "work", description)
    export_models(output / "out", model=model.root, format="nnunet", quiet=True)
    folder = output / "out" / f"nnUNetTrainer__nnUNetPlans__{description.configuration_name}"
    plans, dataset = (json.loads((folder / name).read_text()) for name in ("plans.json", "dataset.json"))
    return plans, dataset, torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True)


@pytest.mark.parametrize("name", ["plain/2d", "plain/3d_fullres", "regions_resenc/3d_fullres", "cascade/3d_cascade_fullres"])
def test_what_nnunet_wrote_comes_out_as_it_was(shared_data: Path, tmp_path: Path, name: str) -> None:
    """plans, labels and weights, by all names that they have there, of models that nnU-Net 2.8.1 trained."""
    place, configuration = name.split("/")
    models = find_models(shared_data / "nnunet_models" / place)
    source = next(model for model in models if model.name.endswith(f"__{configuration}"))
    taken = take(source, tmp_path / "ours")[-1]
    export_models(tmp_path / "theirs", model=taken.root, format="nnunet", quiet=True)
    found, original = tmp_path / "theirs" / source.name, NnunetPlans(source)
    if place == "cascade":
        assert (found.with_name(source.name.replace("3d_cascade_fullres", "3d_lowres")) / "fold_4").is_dir()
    plans, dataset = (json.loads((found / file).read_text()) for file in ("plans.json", "dataset.json"))
    theirs = original.configuration(configuration)
    ours = plans["configurations"][configuration]
    assert ours.pop("median_image_size_in_voxels") == pytest.approx(theirs.pop("median_image_size_in_voxels"), abs=0.5)
    assert {key: value for key, value in theirs.items() if key not in OF_TRAINING | {"data_identifier"}} == {
        key: value for key, value in ours.items() if key != "data_identifier"}
    for key in ("transpose_forward", "transpose_backward", "image_reader_writer", "label_manager", "dataset_name", "plans_name"):
        assert plans[key] == original.content[key]
    intensities = original.content["foreground_intensity_properties_per_channel"]["0"]
    assert plans["foreground_intensity_properties_per_channel"]["0"] == pytest.approx(
        {key: value for key, value in intensities.items() if key not in OF_TRAINING})
    labels = {key: value[0] if isinstance(value, list) and len(value) == 1 else value  # [2] means 2
              for key, value in original.dataset["labels"].items()}
    assert dataset["labels"] == labels and list(dataset["labels"]) == list(labels)
    for key in ("channel_names", "regions_class_order", "file_ending"):
        assert dataset.get(key) == original.dataset.get(key)
    for fold in source.glob("fold_*"):
        before, after = (read_checkpoint(folder / fold.name / "checkpoint_final.pth") for folder in (source, found))
        assert before.weights.keys() == after.weights.keys() and before.mirror_axes == after.mirror_axes
        assert all(torch.equal(values, after.weights[key]) for key, values in before.weights.items())
        assert (after.configuration, after.trainer) == (configuration, "nnUNetTrainer")


@pytest.mark.parametrize(("orientation", "transpose"), [
    ("RAS", (0, 1, 2)), ("RAS", (2, 0, 1)), ("SRA", (1, 0, 2)), ("ASR", (2, 1, 0))])
def test_axes_are_brought_into_order_by_nnunets_own_reader(
    tmp_path: Path, save_model: SaveModel, orientation: str, transpose: tuple[int, int, int]
) -> None:
    described = describe(transpose=transpose)
    its = described.model_copy(update={"plans": described.plans.model_copy(update={"orientation": orientation})})
    plans, _, _ = exported(tmp_path, its, save_model)
    stored = np.arange(24).reshape(2, 3, 4)
    for of_image in ("LPS", "RAS", "PIR"):  # of files; the reader brings each into RAS, as nibabel counts it
        read = axis_order(of_image, REORIENTED, stored.shape).of(stored)
        ours = axis_order(of_image, orientation, stored.shape).then(transpose).of(stored)
        assert np.array_equal(read.transpose(plans["transpose_forward"]), ours)
    assert plans["image_reader_writer"] == "SimpleITKIOWithReorient"
    assert [plans["transpose_forward"][axis] for axis in plans["transpose_backward"]] == [0, 1, 2]


def test_what_nnunet_does_otherwise_is_said(tmp_path: Path, save_model: SaveModel) -> None:
    labels = Labels(values={"background": 0, "left": 1, "right": 4})
    described = describe(labels=labels, mirror_axes=(0, 2))
    its = described.model_copy(update={"plans": described.plans.model_copy(update={"orientation": "LPS"}), "swap_axes": (2,),
                                       "swapped": (("left", "right"),)})
    model = save_model(tmp_path / "work", its)
    notes = " ".join(export_models(tmp_path / "notes", model=model.root, format="nnunet", quiet=True).notes)
    assert "axis order LPS" in notes and "axis 2 is left out" in notes
    plans, dataset, checkpoint = exported(tmp_path, its, save_model)
    assert plans["image_reader_writer"] == "SimpleITKIO" and checkpoint["inference_allowed_mirroring_axes"] == (0,)
    assert dataset["labels"] == {"background": 0, "left": 1, "right": 4, "unused_2": 2, "unused_3": 3}
    with pytest.raises(AutosegError, match="is there already"):
        exported(tmp_path, its, save_model)


def test_heads_that_were_not_trained_are_zeros(tmp_path: Path, save_model: SaveModel) -> None:
    described = describe(patch_size=(8, 8))
    configuration = described.configuration
    network = configuration.network.model_copy(update={
        "features": (4, 8, 8), "strides": ((1, 1), (2, 2), (2, 2)), "kernel_sizes": ((3, 3),) * 3, "convs_per_stage": (1, 2, 1),
        "deep_supervision": False})
    plans = described.plans.model_copy(update={"configurations": {"tiny": configuration.model_copy(update={"network": network})}})
    theirs, _, checkpoint = exported(tmp_path, described.model_copy(update={"plans": plans}), save_model)
    weights = checkpoint["network_weights"]
    assert not weights["decoder.seg_layers.0.weight"].any() and weights["decoder.seg_layers.0.weight"].shape == (3, 8, 1, 1)
    assert weights["decoder.seg_layers.1.weight"].any() and checkpoint["inference_allowed_mirroring_axes"] is None
    assert theirs["configurations"]["tiny"]["architecture"]["arch_kwargs"]["n_conv_per_stage_decoder"] == [2, 1]


def test_what_nnunet_has_no_equal_for_is_refused_and_nothing_written(tmp_path: Path, save_model: SaveModel) -> None:
    described = describe()
    configuration = described.configuration
    network = configuration.network.model_copy(update={"name": "unet3plus"})
    plans = described.plans.model_copy(update={"configurations": {"tiny": configuration.model_copy(update={"network": network})}})
    model = save_model(tmp_path, described.model_copy(update={"plans": plans}))
    with pytest.raises(AutosegError, match="has the network unet3plus, which nnU-Net does not have"):
        export_models(tmp_path / "out", model=model.root, format="nnunet")
    assert not (tmp_path / "out").exists()
    mine = tmp_path / "out" / "nnUNetTrainer__nnUNetPlans__tiny" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    write_json(model.model_json, describe())
    with pytest.raises(AutosegError):
        export_models(tmp_path / "out", model=model.root, format="nnunet", overwrite=True)
    assert mine.read_text() == "precious"
