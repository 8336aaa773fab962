"""Slices planned, detectors trained, images scored, evaluated, reported and gated, as a user types it."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from autoseg.demo import make_synthetic_dataset
from autoseg.image_io import read_image, write_image
from autoseg.workspace import read_json

SHORT = ("-tr", "anogan", "--epochs", "2", "--iterations", "3", "--set", "features=4", "--set", "batch_size=4",
         "--set", "search_steps=5")
ALONE = ("-np", "1")  # processes take longer to start than these cases to read


@dataclass(frozen=True)
class Detector:
    """source: the raw dataset. workspace: with its slices, and a detector of them."""

    source: Path
    workspace: Path

    @property
    def folder(self) -> Path:
        return self.workspace / self.source.name

    @property
    def model(self) -> Path:
        return self.folder / "models" / "slices" / "anogan"


def draw_picture(path: Path, seed: int, size: tuple[int, int] = (64, 64), spot: bool = False, colour: bool = False) -> None:
    """A dark disc with noise, and where it is wished a bright spot in it. size: rows and columns."""
    random = np.random.default_rng(seed)
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, edge) for edge in size), indexing="ij")
    pixels = np.where(rows**2 + columns**2 < 0.8, 90, 10) + random.integers(0, 30, size)
    if spot:
        pixels[(rows - 0.2) ** 2 + (columns - 0.1) ** 2 < 0.05] = 250
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = np.stack([pixels, pixels // 2, pixels // 5], -1) if colour else pixels
    Pillow.fromarray(shown.astype(np.uint8)).save(path)


def draw_dataset(folder: Path, normal: int = 8, abnormal: int = 4) -> Path:
    """Pictures of several sizes in folders named normal and abnormal."""
    for number in range(normal + abnormal):
        kind = "normal" if number < normal else "abnormal"
        draw_picture(folder / kind / f"picture{number:02d}.png", number, (60 + number, 80 - 2 * number), kind == "abnormal")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, run) -> Detector:
    """Planned, and all five folds trained."""
    root = tmp_path_factory.mktemp("pictures")
    made = Detector(draw_dataset(root / "Discs"), root / "workspace")
    assert run("plan_and_preprocess", made.source, "--planner", "slices", *ALONE, "--workspace", made.workspace) == 0
    assert run("train", "Discs", *range(5), "--workspace", made.workspace, *SHORT) == 0
    return made


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory, run) -> Detector:
    """A segmentation model and a detector of the same small dataset; all its slices count as normal."""
    root = tmp_path_factory.mktemp("volumes")
    source = make_synthetic_dataset(root, training=4, test=2, shape=(8, 32, 32))
    made = Detector(source, root / "workspace")
    place = ("--workspace", made.workspace)
    assert run("plan_and_preprocess", source, "-c", "2d", *ALONE, *place) == 0
    plans = (made.folder / "plans.json").read_bytes()
    wishes = ("--planner", "slices", "--axis", "axial", "--normal", "all", *ALONE)
    assert run("plan_and_preprocess", source, *wishes, *place) == 0
    assert (made.folder / "plans.json").read_bytes() == plans
    assert run("train", source.name, "0", "-c", "2d", *place, "--epochs", "1", "--iterations", "2", "--set", "batch_size=2") == 0
    long_enough = ("--iterations", "60", "--set", "learning_rate=0.005", "--set", "average=0.9")  # to learn that air is dark
    assert run("train", source.name, "0", *place, *SHORT, *long_enough, "--set", "encoder=true") == 0
    return made


def test_every_artefact_of_a_detector_lies_where_the_design_says(pictures: Detector) -> None:
    for name in ("dataset.json", "plans_anomaly.json", "splits_anomaly.json", "preprocessed/slices/picture00.b2nd",
                 "preprocessed/slices/picture00.json", "models/slices/anogan/model.json", "models/slices/anogan/summary.json"):
        assert (pictures.folder / name).is_file(), name
    assert not (pictures.folder / "plans.json").exists()
    validated = []
    for fold in range(5):
        place = pictures.model / f"fold_{fold}"
        cases = read_json(pictures.folder / "splits_anomaly.json")[fold]["val"]
        validated += cases
        for name in ("checkpoint_final.safetensors", "training.json", "log.jsonl", "progress.png", "samples/epoch_00002.png",
                     "validation/scores.csv", "validation/slice_scores.csv", "validation/summary.json",
                     *(f"validation/panels/{case}.png" for case in cases)):
            assert (place / name).is_file(), name
    assert sorted(validated) == [f"picture{number:02d}" for number in range(12)]
    assert read_json(pictures.model / "summary.json")["cases"]["normal"] == 8
    assert not list(pictures.folder.rglob(".tmp-*"))


def test_pictures_are_scored_evaluated_and_reported(run, pictures: Detector, tmp_path: Path, capsys) -> None:
    new, out, place = draw_dataset(tmp_path / "New", 3, 3), tmp_path / "out", ("--workspace", pictures.workspace)
    given = sorted(new.rglob("*.png"))
    images = tmp_path / "images"
    images.mkdir()
    for path in given:
        shutil.copy(path, images)
    assert run("predict", "-i", images, "-o", out, "-tr", "anogan", *place) == 0
    assert "Discs, slices, anogan, fold 0 1 2 3 4" in capsys.readouterr().out
    with open(out / "scores.csv", newline="") as file:
        scores = {row["case"]: float(row["score"]) for row in csv.DictReader(file)}
    assert sorted(scores) == [path.stem for path in sorted(images.iterdir())] and min(scores.values()) > 0
    for path in images.iterdir():
        image, found = read_image(path), read_image(out / f"{path.stem}.tif")
        assert found.array.shape == image.array.shape and found.array.dtype == np.float32
        assert found.array.min() >= 0 and found.array.max() > 0 and (out / "panels" / path.name).is_file()
    assert run("evaluate", new, out) == 0
    assert "AUROC" in capsys.readouterr().out
    summary = read_json(out / "summary.json")
    assert (summary["cases"]["normal"], summary["cases"]["abnormal"]) == (3, 3)
    normal, abnormal = ([scores[path.stem] for path in given if path.parent.name == kind] for kind in ("normal", "abnormal"))
    wins = [(high > low) + 0.5 * (high == low) for high in abnormal for low in normal]
    assert summary["cases"]["auroc"] == pytest.approx(sum(wins) / len(wins))
    assert run("report", "Discs", *place) == 0
    page = (pictures.folder / "report.html").read_text(encoding="utf-8")
    assert "Anomaly detection" in page and "Over 8 normal cases and 4 abnormal cases" in page


def test_volumes_are_scored_on_their_own_grid_and_evaluated_by_label_files(
    run, volumes: Detector, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    assert run("predict", "-i", volumes.source / "imagesTs", "-o", out, "-tr", "anogan", "--workspace", volumes.workspace,
               "--set", "search_steps=2") == 0
    assert "Search: 2 updates at most, 1 start, from the encoder's proposal" in capsys.readouterr().out
    with open(out / "slice_scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for path in sorted((volumes.source / "imagesTs").iterdir()):
        case = path.name.removesuffix("_0000.nii.gz")
        image, found = read_image(path), read_image(out / f"{case}.nii.gz")
        assert found.geometry == image.geometry and found.array.shape == image.array.shape
        assert len([row for row in rows if row["case"] == case]) == image.array.shape[1]  # axial: along z of (C, Z, Y, X)
    assert {row["axis"] for row in rows} == {"0"}
    assert run("evaluate", volumes.source / "labelsTs", out) == 0
    found = read_json(out / "summary.json")
    assert found["slices"]["normal"] > 0 and found["slices"]["abnormal"] > 0 and found["slices"]["auroc"] is not None
    assert found["localization"] is not None


def test_a_gate_flags_an_odd_image_and_every_case_is_segmented(run, volumes: Detector, tmp_path: Path, capsys) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    shutil.copytree(volumes.source / "imagesTs", images)
    like = read_image(next(images.iterdir()))
    inverted = np.where(like.array < -500, 2000, -2000).astype(np.int16)  # air is bright, and the body dark
    write_image(images / "odd_0000.nii.gz", inverted, like=like)
    gate = ("--gate", volumes.model, "-c", "2d")
    assert run("predict", "-i", images, "-o", out, "-tr", "default", "--workspace", volumes.workspace, *gate) == 0
    said = capsys.readouterr().out
    assert "images flagged as unlike the gate's training data" in said and "  odd: score " in said
    with open(out / "gate.csv", newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert rows["odd"]["flagged"] == "True" and float(rows["odd"]["score"]) > float(rows["odd"]["threshold"])
    assert max(rows, key=lambda case: float(rows[case]["score"])) == "odd"
    names = {path.name.replace("_0000", "") for path in images.iterdir()}
    assert {path.name for path in out.glob("*.nii.gz")} == names and len(rows) == len(names) == 3


def test_find_best_leaves_detectors_alone(run, volumes: Detector, capsys) -> None:
    assert run("find-best", volumes.source.name, "--workspace", volumes.workspace) == 1
    assert "anogan" not in capsys.readouterr().err


def test_odd_pictures_are_named_and_the_others_scored(run, pictures: Detector, tmp_path: Path, capsys) -> None:
    images = tmp_path / "images"
    draw_picture(images / "good.png", 50)
    draw_picture(images / "colour.png", 51, colour=True)
    Pillow.new("L", (30, 40), 77).save(images / "constant.png")
    assert run("predict", "-i", images, "-o", tmp_path / "out", "-tr", "anogan", "--workspace", pictures.workspace) == 1
    error = capsys.readouterr().err
    assert "2 of 3 images could not be scored: colour, constant" in error and "Traceback" not in error
    assert "case colour: it is a colour picture (RGB), but gray pictures are expected" in error
    assert "case constant: it has the same value everywhere (77)" in error
    assert {path.name for path in (tmp_path / "out").glob("*.tif")} == {"good.tif"}
