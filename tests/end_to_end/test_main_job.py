"""Plan, train, predict, evaluate, as a user types them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import autoseg
from autoseg.cli.main import main
from autoseg.image_io import read_image, read_label, write_label
from autoseg.trainers import loop


def test_every_artefact_lies_where_the_design_says(trained) -> None:
    folder = trained.folder
    for name in ("dataset.json", "fingerprint.json", "plans.json", "splits.json"):
        assert (folder / name).is_file(), name
    for name in ("2d", "3d_fullres"):
        stored = folder / "preprocessed" / name
        assert all((stored / name).is_file() for name in ("synthetic_000.b2nd", "seg/synthetic_000.b2nd", "synthetic_000.json"))
    fold = trained.model / "fold_0"
    for name in ("checkpoint_final.safetensors", "training.json", "log.jsonl", "progress.png",
                 "validation/summary.json"):
        assert (fold / name).is_file(), name
    assert not (fold / "training_state.pt").exists()
    validated = json.loads((folder / "splits.json").read_text())[0]["val"]
    assert sorted(path.name for path in (fold / "validation").glob("*.nii.gz")) == [f"{name}.nii.gz" for name in validated]
    assert len(json.loads((fold / "validation" / "summary.json").read_text())["metric_per_case"]) == len(validated)
    assert not list(folder.rglob(".tmp-*"))


def test_the_only_model_predicts_without_being_named(run, trained, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert run("predict", "-i", trained.source / "imagesTs", "-o", out, "--workspace", trained.workspace) == 0
    assert "3d_fullres, default, fold 0" in capsys.readouterr().out
    for path in sorted((trained.source / "imagesTs").iterdir()):
        written = out / path.name.replace("_0000", "")
        image, labels = read_image(path), read_label(written)
        assert labels.geometry == image.geometry and labels.array.shape == image.array.shape
        assert set(np.unique(labels.array)) <= {0, 1, 2}
    assert run("evaluate", trained.source / "labelsTs", out, "--labels", trained.source) == 0
    assert "tumour" in capsys.readouterr().out
    assert json.loads((out / "summary.json").read_text())["mean"].keys() == {"1", "2"}


def test_an_array_in_memory_gives_the_same_segmentation_as_its_file(trained, tmp_path) -> None:
    path = sorted((trained.source / "imagesTs").iterdir())[0]
    result = autoseg.predict_files(path, tmp_path, workspace=trained.workspace, mirroring=False, quiet=True)
    image = read_image(path)
    labels = autoseg.predict(image.array[0], image.geometry.spacing_mm, workspace=trained.workspace, mirroring=False)
    assert np.array_equal(labels, read_label(next(iter(result.written.values()))).array[0])


def test_an_unfinished_fold_goes_on_and_other_settings_are_refused(run, trained, tmp_path, capsys, monkeypatch) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(trained.workspace, workspace)
    fold = workspace / trained.name / "models" / "3d_fullres" / "default" / "fold_0"
    where = ("--workspace", workspace)
    save = loop.save_weights

    def stop_before_the_end(path: Path, *what: object) -> None:
        if path == fold / "checkpoint_final.safetensors":
            raise KeyboardInterrupt
        save(path, *what)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_weights", stop_before_the_end)
        assert run("train", trained.name, "0", *where, *trained.short, "--restart") == 130
    assert (fold / "training_state.pt").is_file()
    assert run("train", trained.name, "0", *where, "--epochs", "9") == 1
    assert "started with other settings" in capsys.readouterr().err
    assert run("train", trained.name, "0", *where, "--continue") == 0
    assert (fold / "checkpoint_final.safetensors").is_file()
    assert run("train", trained.name, "1", *where, "--continue") == 1
    assert "nothing to continue" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    (("train", "{name}", "7"), 'no fold "7"'),
    (("train", "{name}", "0", "-c", "3d_lowres"), 'no configuration "3d_lowres". There are: '),
    (("train", "{name}", "1", "-tr", "defualt"), "There are: default"),
    (("train", "{name}", "1", "--set", "epoch=3"), 'no setting "epoch"'),
    (("train", "{name}", "1", "--device", "cuda:77"), "CUDA devices are here"),
    (("train", "Dataset404_Missing", "0"), "Dataset404_Missing"),
    (("plan_and_preprocess", "{source}", "-c", "4d"), "no configuration 4d"),
    (("plan_and_preprocess", "{source}", "--planner", "best"), 'no planner "best"'),
    (("predict", "-i", "nowhere", "-o", "out"), "nowhere does not exist"),
    (("predict", "-i", "{source}/imagesTs", "-o", "out", "-f", "3"), "has no fold 3"),
    (("predict", "-i", "{source}/imagesTs", "-o", "out", "-m", "{source}"), "not a trained model"),
    (("evaluate", "nowhere", "{source}/labelsTs"), "nowhere is no folder"),
])
def test_what_a_user_gets_wrong_gives_one_clear_error(run, trained, arguments, message, capsys) -> None:
    filled = [argument.format(name=trained.name, source=trained.source) for argument in arguments]
    extra = ("--workspace", trained.workspace) if filled[0] != "evaluate" else ()
    assert run(*filled, *extra) == 1
    error = capsys.readouterr().err
    assert message in error and error.startswith("Error: ") and "Traceback" not in error


def test_a_folder_without_dataset_json_says_what_is_expected(run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan_and_preprocess", tmp_path, "--workspace", tmp_path / "w") == 1
    assert "dataset.json" in capsys.readouterr().err


def test_bad_cases_stop_planning_or_are_left_out(run, trained, tmp_path, capsys) -> None:
    source = tmp_path / "Dataset901_Bad"
    shutil.copytree(trained.source, source)
    label = sorted((source / "labelsTr").iterdir())[0]
    like = read_label(label)
    like.array[like.array == 2] = 3
    write_label(label, like.array[0].astype(np.uint8), like=like)
    image = sorted((source / "imagesTr").iterdir())[1]
    image.write_bytes(image.read_bytes()[:3000])
    where = ("--workspace", tmp_path / "w", "-c", "2d")
    assert run("plan_and_preprocess", source, *where) == 1
    captured = capsys.readouterr()
    assert "synthetic_000" in captured.out and "synthetic_001" in captured.out
    assert "2 errors in 2 cases" in captured.err and "--skip-bad-cases" in captured.err
    assert run("plan_and_preprocess", source, "--skip-bad-cases", *where) == 0
    stored = tmp_path / "w" / source.name / "preprocessed" / "2d"
    assert sorted(path.stem for path in stored.glob("*.json")) == [f"synthetic_{n:03d}" for n in (2, 3, 4, 5)]


def test_help_answers_without_importing_anything_heavy() -> None:
    script = ("import sys; from autoseg.cli.main import main\ntry:\n    main(['predict', '-h'])\nexcept SystemExit: pass\n"
              "heavy = {'torch', 'scipy', 'rich', 'SimpleITK', 'nibabel'} & set(sys.modules)\nassert not heavy, heavy")
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["predict", "-i", "x"], ["train", "D"], ["frobnicate"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    capsys.readouterr()


def test_a_full_disk_is_named_and_what_was_whole_stays(run, trained, tmp_path, capsys, monkeypatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    plans = (trained.folder / "plans.json").read_text()
    assert run("plan_and_preprocess", trained.source, "--workspace", trained.workspace) == 1
    assert "The disk is full" in capsys.readouterr().err
    assert (trained.folder / "plans.json").read_text() == plans
    assert not list(trained.folder.rglob(".tmp-*"))
