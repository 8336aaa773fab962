"""Left and right from the first command to the last: found, said, trained with, predicted with, and switched off."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from tests.end_to_end.conftest import Run

SHORT = ("--epochs", "1", "--iterations", "2", "--set", "batch_size=2", "base_features=4", "patch_size=16,16,16")
FOUND = "kidney_left lies on the patient's left of kidney_right in 5 of 5 cases"
FIRST_LINE = "mirrored along axes 0, 1, 2; along axis 2, kidney_left and kidney_right change places"


def make_kidneys(folder: Path) -> Path:
    """Five cases of two boxes; x runs to the patient's left, the third case is stored the other way round."""
    rng = np.random.default_rng(0)
    label = np.zeros((16, 20, 24), np.uint8)
    label[4:9, 6:12, 15:20], label[4:9, 6:12, 4:9] = 1, 2
    for number in range(5):
        image = (rng.integers(1, 100, label.shape) + 300 * (label > 0)).astype(np.int16)
        geometry = Geometry((2.0, 2.0, 2.0))
        like, its = Image(image[None], geometry), label
        if number == 3:
            turned = Geometry((2.0, 2.0, 2.0), (46.0, 0.0, 0.0), (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
            like, its = Image(np.ascontiguousarray(image[None, ..., ::-1]), turned), np.ascontiguousarray(label[..., ::-1])
        write_image(folder / f"imagesTr/case_{number}_0000.nii.gz", like.array, like)
        write_label(folder / f"labelsTr/case_{number}.nii.gz", its, like)
    write_json(folder / "dataset.json", {
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney_left": 1, "kidney_right": 2}, "numTraining": 5,
        "file_ending": ".nii.gz"})
    return folder


def test_left_and_right_are_found_said_and_used(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    source, at = make_kidneys(tmp_path / "Dataset005_Kidneys"), ("--workspace", tmp_path / "w")
    assert run("plan_and_preprocess", source, "-c", "3d_fullres", *at) == 0
    assert FOUND in " ".join(capsys.readouterr().out.split())
    root = tmp_path / "w" / source.name
    plans = json.loads((root / "plans.json").read_text())
    assert plans["sides"]["axis"] == 2 and plans["sides"]["pairs"] == [["kidney_left", "kidney_right"]]
    assert run("train", source.name, "0", *at, *SHORT) == 0
    assert FIRST_LINE in " ".join(capsys.readouterr().out.split())
    model = json.loads((root / "models/3d_fullres/default/model.json").read_text())
    assert (model["mirror_axes"], model["swap_axes"], model["swapped"]) == ([0, 1, 2], [2], [["kidney_left", "kidney_right"]])
    assert run("train", source.name, "1", *at, *SHORT, "--set", "mirror=no_swap") == 1  # another model than fold 0's
    assert "swap_axes" in capsys.readouterr().err
    assert run("train", source.name, "0", *at, *SHORT, "--set", "mirror=no_left_right", "--name", "kept_apart") == 0
    apart = json.loads((root / "models/3d_fullres/kept_apart/model.json").read_text())
    assert (apart["mirror_axes"], apart["swap_axes"], apart["swapped"]) == ([0, 1], [], [])
    assert run("report", source.name, *at) == 0
    page = " ".join((root / "report.html").read_text().split())
    assert "Left and right" in page and FOUND.replace("'", "&#39;") in page
    assert "axes 0, 1, 2; along axis 2, kidney_left and kidney_right change places" in page and "axes 0, 1" in page
