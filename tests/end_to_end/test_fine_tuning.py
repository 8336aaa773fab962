"""Starting from a trained model: a class and a channel added, the values of the classes changed, killed and gone on."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg import api
from autoseg.cli.main import main
from autoseg.demo import make_synthetic_dataset
from autoseg.evaluation.summary import Summary
from autoseg.files import write_json
from autoseg.image_io import read_image, read_label, write_image, write_label
from autoseg.inference.checkpoints import digest_of_weights, read_weights
from autoseg.tasks.segmentation.pretrained import FoldStart
from autoseg.trainers import loop
from autoseg.workspace import FoldFolder, read_model

SHAPE = (10, 32, 36)
SHORT = ("--epochs", "1", "--iterations", "2", "--set", "batch_size=2", "augmentation=none", "--device", "cpu")
BONE = 3


@dataclass(frozen=True)
class Tuned:
    """first: the dataset of the pretrained model, with kidney and tumour. second: the same cases with bone, a channel and other
    values. model: the pretrained one's folder, with fold 0. workspace: after `autoseg run SECOND --from MODEL`."""

    first: Path
    second: Path
    model: Path
    workspace: Path

    @property
    def folder(self) -> Path:
        return self.workspace / self.second.name

    @property
    def tuned(self) -> Path:
        return self.folder / "models" / "3d_fullres" / "default"


def with_bone(first: Path, second: Path) -> Path:
    """The dataset with a channel of noise before CT, with bone as a third class, and with tumour 1 and kidney 2."""
    for path in sorted((first / "imagesTr").iterdir()):
        image, case = read_image(path), path.name.removesuffix("_0000.nii.gz")
        noise = np.random.default_rng(0).normal(size=image.array.shape).astype(np.float32)
        write_image(second / "imagesTr" / f"{case}_0000.nii.gz", noise, like=image)
        shutil.copyfile(path, second / "imagesTr" / f"{case}_0001.nii.gz")
        values = np.array([0, 2, 1])[read_label(first / "labelsTr" / f"{case}.nii.gz").array[0]]
        values[image.array[0] > 400] = BONE
        write_label(second / "labelsTr" / f"{case}.nii.gz", values.astype(np.uint8), like=image)
    write_json(second / "dataset.json", {
        "channel_names": {"0": "noise", "1": "CT"}, "labels": {"background": 0, "tumour": 1, "kidney": 2, "bone": BONE},
        "numTraining": 3, "file_ending": ".nii.gz"})
    return second


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    root = tmp_path_factory.mktemp("tuned")
    workspace = root / "workspace"
    first = make_synthetic_dataset(root, training=3, test=0, shape=SHAPE, name="Dataset901_First")
    place = ("--workspace", str(workspace))
    assert main(["plan_and_preprocess", str(first), "-c", "3d_fullres", "-np", "1", *place]) == 0
    assert main(["train", first.name, "0", *place, "--epochs", "1", "--iterations", "40", "--set", "batch_size=2",
                 "base_features=8", "augmentation=none", "--device", "cpu"]) == 0
    second = with_bone(first, root / "Dataset902_Second")
    model = workspace / first.name / "models" / "3d_fullres" / "default"
    assert main(["run", str(second), "--from", str(model), "-np", "1", *place, *SHORT]) == 0
    return Tuned(first, second, model, workspace)


def content_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_plan_is_the_models_but_for_what_it_does_not_know(tuned: Tuned) -> None:
    plans, model = content_of(tuned.folder / "plans.json"), content_of(tuned.model / "model.json")["plans"]
    assert list(plans["configurations"]) == ["3d_fullres"]
    its, theirs = plans["configurations"]["3d_fullres"], model["configurations"]["3d_fullres"]
    for key in ("spacing_mm", "patch_size", "batch_size", "network"):
        assert its[key] == theirs[key]
        assert its["reasons"][key].startswith("As in the model Dataset901_First, 3d_fullres, default")
    assert its["normalization"] == ["zscore", "ct"]
    assert plans["foreground_intensities"]["1"] == model["foreground_intensities"]["0"]
    assert plans["foreground_intensities"]["0"]["std"] == pytest.approx(1, abs=0.2)  # of the noise
    assert list(its["visibility"]) == ["tumour", "kidney", "bone"]


def test_every_fold_says_what_it_started_from(tuned: Tuned) -> None:
    described = content_of(tuned.tuned / "model.json")["started_from"]
    weights = read_weights(tuned.model / "fold_0" / "checkpoint_final.safetensors")
    assert described == {
        "dataset": "Dataset901_First", "configuration": "3d_fullres", "recipe": "default", "heads": "new",
        "channels": [None, "CT"], "weights": {"0": digest_of_weights(weights)}}
    for fold in range(3):
        start = read_model(tuned.tuned / f"fold_{fold}" / "started_from.json", FoldStart)
        assert (start.fold, start.model.model_dump(mode="json")) == ("0", described)
        assert content_of(tuned.tuned / f"fold_{fold}" / "training.json")["settings"]["pretrained"] == str(tuned.model)


def test_dice_before_is_that_of_the_models_prediction(tuned: Tuned, tmp_path: Path) -> None:
    """The model's own prediction of the case with its one channel, compared with the label of its own dataset."""
    start = read_model(tuned.tuned / "fold_1" / "started_from.json", FoldStart)
    (case, before), = start.before.items()
    images, labels = tmp_path / "images", tmp_path / "labels"
    for folder in (images, labels):
        folder.mkdir()
    shutil.copyfile(tuned.first / "imagesTr" / f"{case}_0000.nii.gz", images / f"{case}_0000.nii.gz")
    shutil.copyfile(tuned.first / "labelsTr" / f"{case}.nii.gz", labels / f"{case}.nii.gz")
    api.predict_files(images, tmp_path / "out", model=tuned.model, device="cpu", quiet=True)
    found = api.evaluate(labels, tmp_path / "out", output=tmp_path / "summary.json", quiet=True).summary
    assert before == pytest.approx({"kidney": found.mean["1"]["Dice"], "tumour": found.mean["2"]["Dice"]})
    assert before["kidney"] is not None and before["kidney"] > 0.1, "the model has learned too little to show anything"


def test_the_report_shows_old_classes_before_and_after(tuned: Tuned) -> None:
    page = " ".join((tuned.folder / "report.html").read_text(encoding="utf-8").split())
    starts = [read_model(tuned.tuned / f"fold_{fold}" / "started_from.json", FoldStart) for fold in range(3)]
    kidney = [dice for start in starts for of_case in start.before.values() if (dice := of_case["kidney"]) is not None]
    assert f"<td>{sum(kidney) / 3:.3f}</td>" in page
    assert "started from Dataset901_First, 3d_fullres, default" in page


def test_a_class_that_became_worse_is_said(tuned: Tuned, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--workspace", str(tuned.workspace))
    assert main(["train", tuned.second.name, "1", "--from", str(tuned.model), "--name", "worse", *place, *SHORT]) == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert "Warning: kidney is segmented worse than by the model that the training started from: mean Dice" in said
    assert "Starts from fold 0 of Dataset901_First, 3d_fullres, default" in said
    assert "noise begins with zero weights" in said
    assert "was trained on cases of the same names as 1 of 1 validation case" in said


def test_a_killed_fine_tuning_goes_on_without_the_model(
    tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("--workspace", str(tuned.workspace))
    copied = shutil.copytree(tuned.model, tmp_path / "3d_fullres" / "default")
    flags = ("train", tuned.second.name, "0", *place, "--epochs", "2", "--iterations", "2", "--set", "batch_size=2",
             "augmentation=none", "--device", "cpu", "--from", str(copied))
    assert main([*flags, "--name", "whole"]) == 0
    killed = _kill_after_an_epoch(monkeypatch)
    assert main([*flags, "--name", "killed"]) == 130
    assert killed.is_set()
    monkeypatch.undo()
    models = tuned.folder / "models" / "3d_fullres"
    begun = (models / "killed" / "fold_0" / "started_from.json").stat().st_mtime_ns
    shutil.rmtree(copied)
    assert main(["train", tuned.second.name, "0", *place, "--name", "killed", "--continue", "--device", "cpu"]) == 0
    assert (models / "killed" / "fold_0" / "started_from.json").stat().st_mtime_ns == begun
    results = [read_model(FoldFolder(models / name / "fold_0").summary_json, Summary).foreground_mean["Dice"]
               for name in ("whole", "killed")]
    assert results[0] == results[1]
    assert main([*flags, "--name", "killed", "--restart"]) == 1, "the model is gone"


def _kill_after_an_epoch(monkeypatch: pytest.MonkeyPatch) -> Any:
    import threading

    killed, save = threading.Event(), loop.save_state

    def saved_and_killed(*arguments: Any) -> None:
        save(*arguments)
        killed.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_state", saved_and_killed)
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_STATES", 0)
    return killed


def test_a_model_in_an_archive_is_started_from_as_it_lies(tuned: Tuned, tmp_path: Path) -> None:
    archive = tmp_path / "model.zip"
    api.export_models(archive, model=tuned.model, quiet=True)
    planned = api.plan_and_preprocess(
        tuned.second, pretrained=archive, workers=1, workspace=tmp_path / "workspace", quiet=True)
    assert planned.next_flags == ("--from", str(archive))
    flags = ["--from", str(archive), "--workspace", str(tuned.workspace), *SHORT]
    assert main(["train", tuned.second.name, "0", "--name", "packed", *flags]) == 0
    found = tuned.folder / "models" / "3d_fullres" / "packed"
    assert content_of(found / "model.json")["started_from"] == content_of(tuned.tuned / "model.json")["started_from"]
    assert content_of(found / "fold_0" / "training.json")["settings"]["pretrained"] == str(archive)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 1
    return " ".join(capsys.readouterr().err.split())


def test_what_does_not_fit_is_refused_with_what_to_do(
    tuned: Tuned, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--workspace", str(tuned.workspace))
    train = ["train", tuned.second.name, "0", "--name", "other", *place, *SHORT]
    said = refused([*train, "--from", str(tuned.model), "--set", "base_features=4"], capsys)
    assert "another network than the recipe and settings make: network's features 8 16 32 64 (here 4 8 16 32)" in said
    copied, own = shutil.copytree(tuned.model, tmp_path / "3d_fullres" / "default"), ("--workspace", str(tmp_path))
    described = content_of(copied / "model.json")
    described["plans"]["configurations"]["3d_fullres"]["spacing_mm"] = [9, 4, 4]
    described["plans"]["foreground_intensities"]["0"]["mean"] = 77
    write_json(copied / "model.json", described)
    said = refused([*train, "--from", str(copied)], capsys)
    assert "was trained by other plans than Dataset902_Second has: spacing 9 4 4 (here " in said
    assert "normalization of CT ct " in said
    assert f"autoseg_plan_and_preprocess Dataset902_Second --from {copied}" in said
    assert "is not a trained model" in refused(["plan_and_preprocess", str(tuned.second), "--from", str(tmp_path), *own], capsys)
    said = refused(["run", str(tuned.second), "-tr", "anogan", "--from", str(tuned.model), *own], capsys)
    assert "--from is for segmentation models" in said
    said = refused(["train", tuned.first.name, "0", "-tr", "anogan", "--from", str(tuned.model), *place], capsys)
    assert said.startswith("Error: ")
    assert not (tuned.folder / "models" / "3d_fullres" / "other").exists()


def test_folds_of_one_model_start_from_one_model(
    tuned: Tuned, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--workspace", str(tuned.workspace))
    copied = shutil.copytree(tuned.model, tmp_path / "3d_fullres" / "default")
    train = ["train", tuned.second.name, "--name", "agreeing", *place, *SHORT]
    assert main([*train, "0", "--from", str(tuned.model)]) == 0
    assert "holds folds (0) of another model: started_from" in refused([*train, "1"], capsys)
    assert main([*train, "1", "--from", str(copied)]) == 0, "another place of the same model"
    final = copied / "fold_0" / "checkpoint_final.safetensors"
    shutil.copyfile(tuned.tuned / "fold_0" / "checkpoint_final.safetensors", final)
    assert "had other weights" in refused([*train, "2", "--from", str(copied)], capsys)


