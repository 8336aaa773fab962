"""Slices planned, detectors trained, images scored, evaluated, reported and gated, as a user types it."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file

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
        for name in ("checkpoint_final.safetensors", "training_state.pt", "log.jsonl", "progress.png", "samples/epoch_00002.png",
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
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.tif")}
    assert run("predict", "-i", images, "-o", out, "-tr", "anogan", *place) == 0
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("*.tif")}
    capsys.readouterr()
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


def test_what_is_trained_beside_it_is_left_alone(run, volumes: Detector, tmp_path: Path, capsys) -> None:
    """With one segmentation model and one detector, a prediction without a name is the segmentation; the report shows both."""
    out = tmp_path / "out"
    assert run("predict", "-i", volumes.source / "imagesTs", "-o", out, "--workspace", volumes.workspace) == 0
    assert not (out / "scores.csv").exists() and len(list(out.glob("*.nii.gz"))) == 2
    assert run("report", volumes.source.name, "--workspace", volumes.workspace) == 0
    page = (volumes.folder / "report.html").read_text(encoding="utf-8")
    assert "Anomaly detection" in page and "The plan, and why" in page
    assert run("find-best", volumes.source.name, "--workspace", volumes.workspace) == 1
    assert "anogan" not in capsys.readouterr().err


def test_a_fold_goes_on_as_it_was_begun_and_other_settings_are_refused(
    run, pictures: Detector, tmp_path: Path, capsys
) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(pictures.workspace, workspace)
    weights = workspace / "Discs" / "models" / "slices" / "anogan" / "fold_0" / "checkpoint_final.safetensors"
    before = load_file(weights)
    assert run("train", "Discs", "0", "--workspace", workspace, *SHORT) == 0
    assert "is trained already (--restart" in capsys.readouterr().out
    weights.unlink()
    assert run("train", "Discs", "0", "--workspace", workspace, *SHORT, "--set", "lambda=0.2") == 1
    assert "started with other settings and is not finished: lambda=0.1 (now 0.2)" in capsys.readouterr().err
    assert run("train", "Discs", "0", "--workspace", workspace, "-tr", "anogan", "--continue") == 0
    after = load_file(weights)
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


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


@pytest.mark.parametrize(("arguments", "message"), [
    (("plan_and_preprocess", "{sick}", "--planner", "slices"),
     "Sick has no normal slice in its 3 cases, of which 3 are called abnormal"),
    (("plan_and_preprocess", "{flat}", "--planner", "slices"), "Flat has 3 errors in 3 cases"),
    (("plan_and_preprocess", "{flat}", "--planner", "slices", "--skip-bad-cases"), "Flat: no training case is without errors"),
    (("plan_and_preprocess", "{source}", "--planner", "slices", "--image-size", "96"), "slices are squares of 64, 128 or 256"),
    (("plan_and_preprocess", "{source}", "--planner", "slices", "--axis", "axial"), "holds pictures, which are one slice each"),
    (("plan_and_preprocess", "{colour}", "--planner", "slices"), "Colour has 1 error in 1 case"),
    (("train", "Discs", "0"), "planned for anomaly detectors, but not for segmentation models"),
    (("train", "{sick}", "0", "-tr", "anogan"), "An anomaly detector needs that. Run: autoseg_plan_and_preprocess"),
    (("train", "Discs", "7", "-tr", "anogan"), 'no fold "7"'),
    (("train", "Discs", "0", "-tr", "anogan", "-c", "2d"), "trains anomaly detectors, and 2d is for segmentation models"),
    (("train", "Discs", "0", "-tr", "anogan", "--name", "deep", "--set", "conv_layers=6"), "cannot be halved so often. Take "),
    (("train", "Discs", "0", "-tr", "anogan", "--set", "lambda=2"), "lambda='2': Input should be less than or equal to 1"),
    (("train", "Discs", "0", "-tr", "anogan", "--set", "lamda=0.2"), 'There is no setting "lamda"'),
    (("train", "Discs", "0", "-tr", "anogan", "--restart", "--set", "latent=3"), "of a model with other gan"),
    (("predict", "-i", "{source}/normal", "-o", "{out}", "-tr", "anogan", "--no-mirroring"), "--no-mirroring is for segment"),
    (("predict", "-i", "{source}/normal", "-o", "{out}", "-tr", "anogan", "-f", "all"), "has no fold all"),
])
def test_what_a_user_gets_wrong_gives_one_clear_error(
    run, pictures: Detector, tmp_path: Path, arguments: tuple[str, ...], message: str, capsys
) -> None:
    for number in range(3):
        draw_picture(tmp_path / "Sick" / "abnormal" / f"picture{number}.png", number)
        (tmp_path / "Flat" / "normal").mkdir(parents=True, exist_ok=True)
        Pillow.new("L", (40, 40), 9).save(tmp_path / "Flat" / "normal" / f"picture{number}.png")
        draw_picture(tmp_path / "Colour" / "normal" / f"picture{number}.png", number, colour=number == 0)
    places = {"sick": tmp_path / "Sick", "flat": tmp_path / "Flat", "colour": tmp_path / "Colour", "source": pictures.source,
              "out": tmp_path / "out"}
    before = (pictures.folder / "plans_anomaly.json").read_bytes()
    alone = ALONE if arguments[0] == "plan_and_preprocess" else ()
    assert run(*(argument.format(**places) for argument in arguments), *alone, "--workspace", pictures.workspace) == 1
    error = capsys.readouterr().err
    assert message in error and error.startswith("Error: ") and error.count("Error: ") == 1 and "Traceback" not in error
    assert (pictures.folder / "plans_anomaly.json").read_bytes() == before
    assert (pictures.model / "fold_0" / "checkpoint_final.safetensors").is_file()
