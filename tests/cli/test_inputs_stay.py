"""No command writes to a file that is an input or the user's, whatever its flags, links or spelling; no model is loaded."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from autoseg.cli.main import main
from autoseg.errors import AutosegError
from autoseg.files import write_json


def content(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize("spelling", ["same", "file", "link to the folder", "folder of links", "dots"])
def test_predict_refuses_the_folder_of_its_images_before_it_looks_for_models(
    tiny_dataset: Path, tmp_path: Path, overwrite: tuple[str, ...], spelling: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = output = tiny_dataset / "imagesTr"
    if spelling == "file":
        source = output / "tiny_0_0000.nii.gz"
    elif spelling == "link to the folder":
        output = tmp_path / "link"
        output.symlink_to(source)
    elif spelling == "folder of links":
        source = tmp_path / "links"
        source.mkdir()
        for path in output.iterdir():
            (source / path.name).symlink_to(path)
    elif spelling == "dots":
        output = source / ".." / "labelsTr" / ".." / "imagesTr"
    before = content(tiny_dataset)
    assert main(["predict", "-i", str(source), "-o", str(output), "--workspace", str(tmp_path / "none"), *overwrite]) == 1
    told = capsys.readouterr()
    assert "holds the images that are to be predicted" in told.err and "--overwrite" not in told.err and not told.out
    assert content(tiny_dataset) == before


@pytest.mark.parametrize("name", ["dataset.json", "notes.json", "labelsTr/tiny_0.nii.gz"])
def test_evaluate_does_not_replace_a_file_that_it_did_not_make(
    tiny_dataset: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny_dataset / "notes.json").write_text("{}")
    labels, before = str(tiny_dataset / "labelsTr"), content(tiny_dataset)
    assert main(["evaluate", labels, labels, "-o", str(tiny_dataset / name)]) == 1
    assert f"{name} is there, but autoseg did not make it" in capsys.readouterr().err and content(tiny_dataset) == before
    assert [main(["evaluate", labels, labels, "-o", str(tmp_path / "made.json")]) for _ in range(2)] == [0, 0]
    (tmp_path / "made.csv").write_text("my,table\n")
    assert main(["evaluate", labels, labels, "-o", str(tmp_path / "made.json")]) == 1
    assert (tmp_path / "made.csv").read_text() == "my,table\n"


def test_evaluate_leaves_the_summary_of_another_program_among_the_predictions(
    tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = {"foreground_mean": {"Dice": 0.5}, "mean": {"1": {"Dice": 0.5}}, "metric_per_case": []}  # as nnU-Net writes it
    write_json(tiny_dataset / "labelsTr" / "summary.json", theirs)
    assert main(["evaluate", str(tiny_dataset / "labelsTr"), str(tiny_dataset / "labelsTr")]) == 1
    assert "summary.json is there, but autoseg did not make it" in capsys.readouterr().err
    assert json.loads((tiny_dataset / "labelsTr" / "summary.json").read_text()) == theirs


def test_further_files_of_the_user_stay(tiny_dataset: Path, tmp_path: Path, save_model: Any, describe: Any) -> None:
    model, out = save_model(tmp_path, describe()), tmp_path / "out"
    out.mkdir()
    (out / "tiny_3.b2nd").write_text("mine")
    flags = ["predict", "-i", str(tiny_dataset / "imagesTs"), "-o", str(out), "-m", str(model.root), "--save-probabilities"]
    assert [main(flags), main([*flags, "--overwrite"])] == [1, 1] and (out / "tiny_3.b2nd").read_text() == "mine"
    (out / "tiny_3.b2nd").unlink()
    assert [main(flags), main(flags), main([*flags, "--overwrite"])] == [0, 0, 0]


def test_probabilities_of_a_prediction_that_failed_at_its_end_are_made_again(
    tiny_dataset: Path, tmp_path: Path, save_model: Any, describe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = save_model(tmp_path, describe()), tmp_path / "out"
    flags = ["predict", "-i", str(tiny_dataset / "imagesTs"), "-o", str(out), "-m", str(model.root), "--save-probabilities"]

    def full(*_: Any, **__: Any) -> None:
        raise AutosegError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("autoseg.tasks.segmentation.files.write_label", full)
        assert main(flags) == 1 and (out / "tiny_3.b2nd").exists() and not (out / "tiny_3.nii.gz").exists()
    assert main(flags) == 0 and (out / "tiny_3.nii.gz").exists()


def test_evaluate_leaves_the_summary_of_a_fold(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    validation = tmp_path / "fold_0" / "validation"
    shutil.copytree(tiny_dataset / "labelsTr", validation)
    (tmp_path / "fold_0" / "cases.json").write_text("{}")
    assert main(["evaluate", str(tiny_dataset / "labelsTr"), str(validation)]) == 1
    assert "holds the validation of a trained fold" in capsys.readouterr().err and not (validation / "summary.json").exists()
    assert main(["evaluate", str(tiny_dataset / "labelsTr"), str(validation), "-o", str(tmp_path / "mine.json")]) == 0
