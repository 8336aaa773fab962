"""nnU-Net's models read: what is in them counts, and nothing in them runs."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.image_io import read_image
from autoseg.inference.checkpoints import read_weights
from autoseg.networks import build_network
from autoseg.tasks.segmentation.model import load_model
from autoseg.tasks.segmentation.nnunet.checkpoint import read_checkpoint
from autoseg.tasks.segmentation.nnunet.reading import find_models, take
from autoseg.tasks.segmentation.predictor import Predictor
from tests.tasks.segmentation.nnunet.models import TOPOLOGY, architecture, checkpoint, plans

MakeModel = Callable[..., Path]
CPU = torch.device("cpu")


@pytest.mark.parametrize(("folder", "name", "answer"), [
    ("plain", "2d", "predicted_2d"), ("plain", "3d_fullres", "predicted_3d_fullres"),
    ("old_plans", "3d_fullres", "predicted_3d_fullres"), ("regions_resenc", "3d_fullres", "predicted_3d_fullres"),
])
def test_the_same_voxels_as_nnunet_says(shared_data: Path, tmp_path: Path, folder: str, name: str, answer: str) -> None:
    """Its own models, images and answers (float32, all mirrorings); 99.99 % of the voxels at least."""
    place = shared_data / "nnunet_models" / folder
    source, = (model for model in find_models(place) if model.name.endswith(name))
    taken, = take(source, tmp_path)
    predictor = Predictor([load_model(taken, device=CPU)], CPU, "float32")
    wrong = voxels = 0
    for file in sorted((place / "images").glob("*.nii.gz")):
        theirs = read_image(place / answer / file.name.replace("_0000", "")).array[0]
        ours = predictor.predict_image(read_image(file))
        assert theirs.any()
        wrong, voxels = wrong + int((ours != theirs).sum()), voxels + theirs.size
    assert wrong <= 1e-4 * voxels
    assert predictor.description.notes == ()


def test_the_same_voxels_as_nnunets_cascade(shared_data: Path, tmp_path: Path) -> None:
    """Its answer is of fold 0 of the first stage."""
    place = shared_data / "nnunet_models/cascade"
    before, taken = take(place / "nnUNetTrainer__nnUNetPlans__3d_cascade_fullres", tmp_path)
    assert before == taken.beside("3d_lowres")
    first = Predictor([load_model(before, ["0"], device=CPU)], CPU, "float32")
    predictor = Predictor([load_model(taken, device=CPU)], CPU, "float32", previous=[first])
    for file in sorted((place / "images").glob("*.nii.gz")):
        for stage, its in (("3d_lowres", first), ("3d_cascade_fullres", predictor)):
            theirs = read_image(place / f"predicted_{stage}" / file.name.replace("_0000", "")).array[0]
            assert int((its.predict_image(read_image(file)) != theirs).sum()) <= 1e-4 * theirs.size


def test_a_cascade_without_its_first_stage(make_model: MakeModel, tmp_path: Path) -> None:
    changed = plans()
    changed["configurations"]["3d_fullres"]["previous_stage"] = "3d_lowres"
    source = make_model({"0": checkpoint(input_channels=3)}, changed)
    with pytest.raises(AutosegError, match=r"goes on from the segmentation by 3d_lowres, but .*nnUNetPlans__3d_lowres holds no"):
        take(source, tmp_path / "out")


def test_what_a_model_says_of_itself(make_model: MakeModel, tmp_path: Path) -> None:
    taken, = take(make_model({"0": None, "all": None}), tmp_path / "out")
    assert taken.root == tmp_path / "out/Dataset001_Tiny/models/3d_fullres/nnUNetTrainer__nnUNetPlans"
    its = load_model(taken, ["all"]).description
    assert its.configuration.network == TOPOLOGY
    assert (its.configuration.spacing_mm, its.configuration.patch_size) == ((3, 1, 1), (4, 8, 8))
    assert its.plans.foreground_intensities["0"].percentile_99_5 == 8
    assert its.mirror_axes == (0, 1, 2)
    assert taken.finished_folds() == ["0", "all"]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_of_distributed_and_compiled_trainings(make_model: MakeModel, tmp_path: Path, prefix: str) -> None:
    taken, = take(make_model({"0": checkpoint(prefix=prefix)}), tmp_path / "out")
    torch.manual_seed(0)
    expected = build_network(TOPOLOGY, 1, 3).state_dict()
    found = read_weights(taken.fold(0).checkpoint_final)
    assert found.keys() == {f"network.{name}" for name in expected}
    assert all(torch.equal(found[f"network.{name}"], value) for name, value in expected.items())


def test_a_residual_encoder_with_batch_norm(make_model: MakeModel, tmp_path: Path) -> None:
    topology = TOPOLOGY.model_copy(update={"name": "resunet", "convs_per_stage": (1, 2), "norm": "batch"})
    changed = plans()
    changed["configurations"]["3d_fullres"]["architecture"] = architecture("ResidualEncoderUNet")
    taken, = take(make_model({"0": checkpoint(topology, trainer_name="nnUNetTrainerBN")}, changed), tmp_path / "out")
    assert load_model(taken).description.configuration.network == topology
    assert load_model(taken).description.notes == ()


def test_a_configuration_that_inherits(make_model: MakeModel, tmp_path: Path) -> None:
    changed = plans()
    changed["configurations"]["mine"] = {"inherits_from": "3d_fullres", "batch_size": 7}
    taken, = take(make_model({"0": checkpoint(init_args={"configuration": "mine"})}, changed), tmp_path / "out")
    its = load_model(taken).description
    assert (its.configuration_name, its.configuration.batch_size, its.configuration.patch_size) == ("mine", 7, (4, 8, 8))


def test_the_best_weights_and_the_folds_that_are_wanted(make_model: MakeModel, tmp_path: Path) -> None:
    source = make_model({"0": None, "1": None})
    torch.save(checkpoint(seed=1), source / "fold_1/checkpoint_best.pth")
    taken, = take(source, tmp_path / "out", folds=["1"])
    assert sorted(path.relative_to(taken.root).as_posix() for path in taken.root.rglob("*.safetensors")) == [
        "fold_1/checkpoint_best.safetensors", "fold_1/checkpoint_final.safetensors"]
    with pytest.raises(AutosegError, match=r"does not hold a fold 3 .*There are: fold_0, fold_1"):
        take(source, tmp_path / "other", folds=["3"])


class Runs:
    """An object whose pickle writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("where", ["network_weights", "logging", "init_args", "trainer_name"])
def test_a_pickle_that_would_run_is_refused_by_name(make_model: MakeModel, tmp_path: Path, where: str) -> None:
    source = make_model({"0": checkpoint(**{where: Runs(tmp_path / "ran")})})
    with pytest.raises(AutosegError, match=r"checkpoint_final.pth would run or make \w+\.system .*nothing in it was run"):
        take(source, tmp_path / "out")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def test_a_bare_pickle_in_place_of_a_checkpoint(make_model: MakeModel, tmp_path: Path) -> None:
    source = make_model()
    file = source / "fold_0/checkpoint_final.pth"
    file.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(AutosegError, match="is damaged, or no checkpoint"):
        take(source, tmp_path / "out")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("cut", [0, 1, 0.5, 0.99])
def test_a_checkpoint_that_was_cut_short(make_model: MakeModel, tmp_path: Path, cut: float) -> None:
    source = make_model()
    file = source / "fold_0/checkpoint_final.pth"
    content = file.read_bytes()
    file.write_bytes(content[:int(cut * len(content)) if cut < 1 else 100])
    with pytest.raises(AutosegError, match=r"checkpoint_final.pth is (damaged|empty)"):
        take(source, tmp_path / "out")


def test_memory_of_the_optimizer_stays_in_the_file(make_model: MakeModel) -> None:
    file = make_model() / "fold_0/checkpoint_final.pth"
    weight = read_checkpoint(file).weights["encoder.stages.0.0.convs.0.conv.weight"]
    content = file.read_bytes()
    with file.open("r+b") as written:  # in place
        written.seek(content.index(weight.numpy().tobytes()))
        written.write(bytes(4))
    assert weight.flatten()[0] == 0  # it was not read before


def changed(path: str, value: object) -> dict[str, Any]:
    """plans.json with another value at a path such as "a.b"."""
    content = plans()
    place = content
    *parents, last = path.replace("C.", "configurations/3d_fullres/").replace("A.", "architecture/arch_kwargs/").split("/")
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize(("path", "value", "said"), [
    ("label_manager", "MyLabels", "label manager MyLabels"),
    ("image_reader_writer", "MyReader", "reader MyReader"),
    ("C.preprocessor_name", "MyPreprocessor", "preprocessor MyPreprocessor"),
    ("C.resampling_fn_data", "resample_torch_fornnunet", "resampling function resample_torch_fornnunet of data"),
    ("C.resampling_fn_probabilities", "no_resampling_data_or_seg_to_shape", "no_resampling_data_or_seg_to_shape of prob"),
    ("C.resampling_fn_data_kwargs", {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}, "data with order=1"),
    ("C.normalization_schemes", ["MyNormalization"], "normalization MyNormalization"),
    ("C.architecture", {"network_class_name": "a.b.Primus", "arch_kwargs": {}}, "network a.b.Primus"),
    ("C.A.nonlin", "torch.nn.ReLU", "nonlin=torch.nn.ReLU"),
    ("C.A.nonlin_kwargs", {"negative_slope": 0.2}, "negative_slope=0.2"),
    ("C.A.norm_op", "torch.nn.GroupNorm", "norm_op=torch.nn.GroupNorm"),
    ("C.A.dropout_op", "torch.nn.Dropout3d", "dropout_op=torch.nn.Dropout3d"),
])
def test_what_autoseg_has_no_equal_for_is_named(
    make_model: MakeModel, tmp_path: Path, path: str, value: object, said: str
) -> None:
    with pytest.raises(AutosegError, match=f"plans.json: the model has the .*{said}.*no equal for"):
        take(make_model(changed_plans=changed(path, value)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("path", "value", "said"), [
    ("C.patch_size", None, 'has no entry "patch_size"'), ("dataset_name", None, 'has no entry "dataset_name"'),
    ("C.patch_size", [4, 7, 8], "must be divisible"), ("C.patch_size", "x", "cannot be read|is not such"),
    ("configurations", {}, "has no configuration 3d_fullres"), ("configurations", [], "has no configuration 3d_fullres"),
    ("C.inherits_from", "3d_fullres", "inherits from itself"), ("C.batch_size", "many", "batch_size"),
    ("C.architecture", [1], "holds no JSON object"), ("transpose_forward", [0, 0, 1], "transpose"),
    ("dataset_name", "../outside", "no folder can be called '../outside'"),
    ("plans_name", "a/b", "no folder can be called"),
])
def test_damaged_plans(make_model: MakeModel, tmp_path: Path, path: str, value: object, said: str) -> None:
    with pytest.raises(AutosegError, match=said):
        take(make_model(changed_plans=changed(path, value)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "outside").exists()


def test_weights_of_another_network(make_model: MakeModel, tmp_path: Path) -> None:
    wider = TOPOLOGY.model_copy(update={"features": (5, 8)})
    with pytest.raises(AutosegError, match=r"final.pth \(trainer nnUNetTrainer\) does not hold the weights .*shape \(5, 1"):
        take(make_model({"0": checkpoint(wider)}), tmp_path / "out")
    other = checkpoint(trainer_name="nnUNetTrainerUMamba")
    other["network_weights"] = {f"mamba.{name}": value for name, value in other["network_weights"].items()}
    with pytest.raises(AutosegError, match=r"trainer nnUNetTrainerUMamba.*lacks .*has besides mamba"):
        take(make_model({"0": other}, parent=tmp_path / "second"), tmp_path / "out")


def test_a_trainer_that_nnunet_does_not_have_is_said(make_model: MakeModel, tmp_path: Path) -> None:
    taken, = take(make_model({"0": checkpoint(trainer_name="nnUNetTrainerMine")}), tmp_path / "out")
    assert "nnUNetTrainerMine is none of nnU-Net's own trainers" in load_model(taken).description.notes[0]


def test_folds_of_two_models(make_model: MakeModel, tmp_path: Path) -> None:
    with pytest.raises(AutosegError, match="is of another model than the first fold"):
        take(make_model({"0": None, "1": checkpoint(trainer_name="nnUNetTrainerDA5")}), tmp_path / "out")


@pytest.mark.parametrize(("changes", "said"), [
    ({"network_weights": None}, "holds no network_weights"), ({"network_weights": {"a": 1}}, "more than names and tensors"),
    ({"init_args": {}}, "does not say its configuration"), ({"trainer_name": 3}, "or its trainer"),
    ({"inference_allowed_mirroring_axes": "abc"}, "inference_allowed_mirroring_axes is 'abc'"),
    ({"inference_allowed_mirroring_axes": (0, 7)}, "mirror_axes"),
])
def test_checkpoints_that_lack_something(make_model: MakeModel, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(AutosegError, match=said):
        take(make_model({"0": checkpoint(**changes)}), tmp_path / "out")


def test_a_compressed_archive_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    source = make_model()
    file = source / "fold_0/checkpoint_final.pth"
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, entry in content.items():
            archive.writestr(name, entry)
    with pytest.raises(AutosegError, match="is damaged, or no checkpoint"):
        take(source, tmp_path / "out")


def test_models_are_found_below_a_folder(make_model: MakeModel, tmp_path: Path) -> None:
    source = make_model(parent=tmp_path / "results/Dataset001_Tiny")
    assert find_models(tmp_path / "results") == find_models(source.parent) == find_models(source) == [source]
    assert find_models(tmp_path / "nothing") == []
