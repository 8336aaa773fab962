"""Images and labels that change after planning: their content decides, for every task; a copy of all is the same dataset."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autoseg
from autoseg.cli.main import main
from autoseg.errors import AutosegError
from autoseg.image_io import read_label, write_label

TASKS: dict[str, dict[str, Any]] = {
    "segmentation": {"plan": {"configurations": ["2d"]}, "train": {"configuration": "2d", "settings": {
        "base_features": 2, "batch_size": 2, "validation_iterations": 1, "schedule": "poly"}}},
    "anomaly": {"plan": {"planner": "slices", "image_size": 64}, "train": {"recipe": "anogan", "settings": {
        "features": 1, "latent": 4, "batch_size": 4, "search_steps": 2, "sample_epochs": 1}}},
    "localization": {"plan": {"planner": "projection", "find": ["ball"], "spacing": 3.0}, "train": {
        "recipe": "locator", "settings": {"base_features": 2, "batch_size": 2}}},
}


@pytest.fixture(params=TASKS)
def planned(request: pytest.FixtureRequest, make_balls: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path, dict[str, Any]]:
    """A planned dataset, its workspace, and how to train a fold of it in a moment."""
    its = TASKS[request.param]
    source = make_balls(tmp_path / "raw", with_ball=7, without=3)
    autoseg.plan_and_preprocess(source, workspace=tmp_path / "work", quiet=True, **its["plan"])
    return source, tmp_path / "work", {"fold": 0, "epochs": 1, "iterations": 1, "device": "cpu", "quiet": True, **its["train"]}


def correct(source: Path, case: str = "ball_0") -> Path:
    """Take one label's last voxel away, as somebody who corrects it; its time stays."""
    path = source / "labelsTr" / f"{case}.nii.gz"
    label, stat = read_label(path), path.stat()
    label.array[label.array == 2] = 0
    write_label(path, label.array[0].astype(np.uint8), label)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return path


def test_training_on_labels_that_were_corrected_since_is_refused_with_the_command(planned: Any) -> None:
    source, work, training = planned
    correct(source)
    with pytest.raises(AutosegError, match=r"images or labels of 1 case have changed \(ball_0\).*autoseg_plan_and_preprocess"):
        autoseg.train(source.name, workspace=work, **training)
    assert not list(work.rglob("training_state.pt"))


def test_training_without_a_file_that_was_there_is_refused(planned: Any) -> None:
    source, work, training = planned
    (source / "imagesTr" / "ball_1_0000.nii.gz").unlink()
    with pytest.raises(AutosegError, match=r"gone \(ball_1: .*ball_1_0000\.nii\.gz\).*autoseg_plan_and_preprocess"):
        autoseg.train(source.name, workspace=work, **training)


def test_a_copy_of_dataset_and_workspace_goes_on_without_a_word(
    planned: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, work, training = planned
    autoseg.train(source.name, workspace=work, **training)
    shutil.copytree(work, tmp_path / "copy", copy_function=shutil.copy)  # other times
    for path in source.rglob("*.nii.gz"):
        os.utime(path, ns=(1, 1))
    capsys.readouterr()
    again = {**training, "quiet": False}
    autoseg.train(source.name, workspace=tmp_path / "copy", **again)
    said = capsys.readouterr().out
    assert "trained already" in said and "changed" not in said
    moved = tmp_path / "moved" / source.name
    shutil.copytree(source, moved, copy_function=shutil.copy)
    shutil.rmtree(source)
    options = {**TASKS[next(name for name, its in TASKS.items() if its["train"].items() <= training.items())]["plan"]}
    autoseg.plan_and_preprocess(moved, workspace=tmp_path / "copy", quiet=True, **options)
    capsys.readouterr()
    autoseg.train(moved, workspace=tmp_path / "copy", **again)
    said = capsys.readouterr().out
    assert "trained already" in said and "changed" not in said


def test_find_best_says_that_labels_changed_since_training(
    make_balls: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, work, its = make_balls(tmp_path, with_ball=6, without=0), tmp_path / "work", TASKS["segmentation"]
    autoseg.plan_and_preprocess(source, workspace=work, quiet=True, **its["plan"])
    for fold in range(5):
        autoseg.train(source.name, fold, epochs=1, iterations=1, device="cpu", quiet=True, workspace=work, **its["train"])
    assert main(["find-best", source.name, "--workspace", str(work)]) == 0 and "labels of" not in capsys.readouterr().out
    correct(source, "ball_3")
    assert main(["find-best", source.name, "--workspace", str(work)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2d, default was trained before the images or labels of 1 case changed (ball_3)" in said
    (source / "labelsTr" / "ball_3.nii.gz").unlink()
    assert main(["find-best", source.name, "--workspace", str(work)]) == 1
    assert "ball_3.nii.gz" in capsys.readouterr().err
