"""Pictures of two folders planned, classifiers trained, compared and explained, as a user types it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg.image_io import read_image

SHORT = ("-tr", "classifier", "--epochs", "2", "--iterations", "2", "--set", "base_features=2", "--set", "batch_size=2",
         "--device", "cpu")
OF_A_CLASS = 6


@pytest.fixture(scope="module")
def brains(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of each class, in a folder for each."""
    folder = tmp_path_factory.mktemp("brains") / "brains"
    for kind in ("abnormal", "normal"):
        (folder / kind).mkdir(parents=True)
        for picture in sorted((shared_data / "brain_mri_yesno" / kind).glob("*.jpg"))[:OF_A_CLASS]:
            shutil.copy(picture, folder / kind)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_pictures_become_classes_a_comparison_maps_and_a_report(
    brains: Path, tmp_path: Path, run, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("captum")
    place = ("--workspace", str(tmp_path / "w"))
    assert run("plan_and_preprocess", str(brains), "--planner", "classification", "--edge", "32", "-np", "1", *place) == 0
    assert "Next: autoseg_train " in capsys.readouterr().out
    assert run("train", "brains", "0", "1", "2", "3", "4", *SHORT, *place) == 0
    assert "Next: autoseg find-best brains -c classes" in capsys.readouterr().out
    assert run("train", "brains", "0", "1", "2", "3", "4", *SHORT, "--name", "other", "--set", "seed=3", *place) == 0
    assert run("find-best", "brains", "-c", "classes", *place) == 0
    said = capsys.readouterr().out
    best = json.loads((tmp_path / "w/brains/best_classification.json").read_text())
    assert best["reason"] in said and "-c classes" in said and len(best["candidates"]) == 3

    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for kind in ("abnormal", "normal"):
        for picture in sorted((brains / kind).iterdir())[:2]:
            shutil.copy(picture, images)
    assert run("predict", "-i", str(images), "-o", str(out), "-tr", "classifier", "--explain", "--device", "cpu", *place) == 0
    assert "A map shows" in capsys.readouterr().out
    rows = rows_of(out / "classes.csv")
    assert len(rows) == 4 and {row["predicted"] for row in rows} <= {"normal", "abnormal"}
    assert all(abs(float(row["p_normal"]) + float(row["p_abnormal"]) - 1) < 1e-4 for row in rows)
    for picture in images.iterdir():
        for kind in ("gradcam", "occlusion"):
            stored = np.asarray(nibabel.load(out / "explain" / f"{picture.stem}_{kind}.nii.gz").dataobj)
            assert stored.T.shape == read_image(picture).array.shape[1:] and np.isfinite(stored).all()
        assert (out / "explain" / f"{picture.stem}.png").stat().st_size > 1000

    table = tmp_path / "truth.csv"
    table.write_text("case,finding\n" + "".join(f"{picture.stem},{picture.stem.split('_')[0]}\n" for picture in images.iterdir()))
    assert run("evaluate", str(table), str(out)) == 0
    assert "AUROC" in capsys.readouterr().out
    assert run("report", "brains", *place) == 0
    page = (tmp_path / "w/brains/report.html").read_text(encoding="utf-8")
    assert best["reason"] in page and "The most certain errors" in page and "Calibration" in page
