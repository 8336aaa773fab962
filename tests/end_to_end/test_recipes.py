"""All recipes, and one of the user's own, compared, ensembled, reported and used as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from autoseg.best import Best
from autoseg.cli.main import main
from autoseg.demo import make_synthetic_dataset
from autoseg.image_io import read_image, read_label, write_label
from autoseg.workspace import read_model

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"
OWN = "tversky_recipe:build"
RECIPES = ("default", "multiscale", "unet3plus", OWN)
SHORT = ("--epochs", "1", "--iterations", "2", "--set", "batch_size=1", "--set", "base_features=4", "--set", "mirror=",
         "--device", "cpu")


@pytest.fixture(scope="module")
def documented_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of the documentation, as a user would save it."""
    code = re.search(r"```python\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    lines = [line for line in code[1].splitlines() if line.strip()]
    assert len(lines) <= 20, "an example of 20 lines was promised"
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "tversky_recipe.py").write_text(code[1], encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, documented_recipe: Path) -> tuple[Path, Path]:
    """The raw dataset, and the workspace after `autoseg run` with every recipe."""
    root = tmp_path_factory.mktemp("recipes")
    source = make_synthetic_dataset(root, training=3, test=1, shape=(10, 32, 36))  # three folds
    workspace = root / "workspace"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(documented_recipe)
        place = ["--workspace", str(workspace), "-np", "1"]
        assert main(["run", str(source), "-c", "3d_fullres", "-tr", *RECIPES, *place, *SHORT]) == 0
    return source, workspace / source.name


def test_all_recipes_and_all_pairs_of_them_are_compared(compared: tuple[Path, Path]) -> None:
    best = read_model(compared[1] / "best.json", Best)
    members = [tuple(member.recipe for member in candidate.members) for candidate in best.candidates]
    assert {names for names in members if len(names) == 1} == {(recipe,) for recipe in RECIPES}
    assert len(members) == 4 + 6


def test_each_model_says_what_it_is_made_of(compared: tuple[Path, Path]) -> None:
    found = {}
    for recipe in RECIPES:
        content = json.loads((compared[1] / "models" / "3d_fullres" / recipe / "model.json").read_text())
        network = content["plans"]["configurations"]["3d_fullres"]["network"]
        found[content["recipe"]] = (network["name"], network["features"][0], content["settings"]["loss"])
        assert "base_features=4" in content["flags"]
    assert found["default"] == found[OWN] == ("unet", 4, "dice_ce")
    assert found["multiscale"] == ("unet", 4, "exp_log")
    assert found["unet3plus"] == ("unet3plus", 4, "hybrid")


def test_the_report_shows_what_was_set(compared: tuple[Path, Path]) -> None:
    page = (compared[1] / "report.html").read_text(encoding="utf-8")
    for words in ("unet3plus, ", "--set base_features=4", "exp_log.gamma", "batch_size=1"):
        assert words in page, words


@pytest.mark.parametrize("named", [("default", "unet3plus"), ("multiscale",), (OWN,), ()], ids=" ".join)
def test_every_recipe_predicts_and_so_do_ensembles_of_them(
    compared: tuple[Path, Path], tmp_path: Path, named: tuple[str, ...]
) -> None:
    """Without the code of the user's own recipe: it is not on the path any more."""
    source, folder = compared
    flags = ["-tr", *named] if named else []
    images = source / "imagesTs"
    arguments = ["-i", str(images), "-o", str(tmp_path), "--workspace", str(folder.parent), "--no-mirroring", *flags]
    assert main(["predict", *arguments]) == 0
    image = next(iter(images.iterdir()))
    assert read_label(tmp_path / image.name.replace("_0000", "")).geometry == read_image(image).geometry


def test_a_model_with_a_name_stands_beside_that_of_its_recipe(
    compared: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, folder = compared
    before = (folder / "models" / "3d_fullres" / "default" / "model.json").read_bytes()
    place = ["--workspace", str(folder.parent)]
    train = ["train", source.name, "0", "-c", "3d_fullres", *place, *SHORT, "--set", "loss=exp_log", "--name", "tried"]
    assert main(train) == 0
    told = capsys.readouterr().out
    assert "folds 1, 2 are missing" in told and "--name tried" in told and "loss=exp_log" in told
    assert (folder / "models" / "3d_fullres" / "default" / "model.json").read_bytes() == before
    assert json.loads((folder / "models" / "3d_fullres" / "tried" / "model.json").read_text())["settings"]["loss"] == "exp_log"
    assert main(["predict", "-i", str(source / "imagesTs"), "-o", str(folder.parent / "of tried"), "-tr", "tried", *place]) == 0
    assert "3d_fullres, tried, fold 0" in capsys.readouterr().out


def test_what_there_is_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    told = capsys.readouterr().out
    for words in ("multiscale", "resunet", "hybrid", "resenc_xl", "exp_log.gamma", "plateau.patience", "30 (multiscale)"):
        assert words in told, words


def test_a_named_model_goes_on_begins_anew_and_is_chosen_by_its_name(
    compared: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, folder = compared
    place = ["--workspace", str(folder.parent)]
    model = ["-c", "3d_fullres", "-tr", "multiscale", "--name", "adam_poly"]
    assert main(["train", source.name, "0", "1", "2", *model, *place, *SHORT, "--set", "schedule=poly"]) == 0
    weights = folder / "models" / "3d_fullres" / "adam_poly" / "fold_0" / "checkpoint_final.safetensors"
    before = weights.stat().st_mtime_ns
    assert main(["train", source.name, "0", *model, *place, "--continue"]) == 0
    assert weights.stat().st_mtime_ns == before
    assert main(["train", source.name, "0", *model, *place, *SHORT, "--restart", "--set", "schedule=poly"]) == 0
    assert weights.stat().st_mtime_ns > before
    assert main(["find-best", source.name, "-tr", "adam_poly", "default", *place, "-np", "1"]) == 0
    names = {member.name for candidate in read_model(folder / "best.json", Best).candidates for member in candidate.members}
    assert names == {"3d_fullres/adam_poly", "3d_fullres"}
    assert main(["report", source.name, *place]) == 0
    assert "schedule=poly" in (folder / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["train", source.name, "0", "-c", "3d_fullres", "-tr", "adam_poly", *place]) == 1
    assert 'no recipe "adam_poly"' in capsys.readouterr().err


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_regions_an_ignore_label_guidance_and_another_depth_go_together(
    tmp_path: Path, configuration: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_synthetic_dataset(tmp_path, training=2, test=1, shape=(10, 32, 36))
    content = json.loads((source / "dataset.json").read_text())
    content["labels"] = {"background": 0, "kidney with tumour": [1, 2], "tumour": 2, "ignore": 3}
    content["regions_class_order"] = [1, 2]
    (source / "dataset.json").write_text(json.dumps(content))
    for path in (source / "labelsTr").iterdir():
        label = read_label(path)
        label.array[..., :5, :] = 3
        write_label(path, label.array[0], like=label)
    place = ["--workspace", str(tmp_path / "workspace")]
    planning = ["plan_and_preprocess", str(source), "-c", configuration, "--planner", "unet3plus", "-np", "1", *place]
    assert main(planning) == 0
    patch = "patch_size=28,20" if configuration == "2d" else "patch_size=8,12,24"
    guided = ["--set", patch, "--set", "classification_guided=true", "--set", "norm=batch"]
    train = ["train", source.name, "0", "-c", configuration, "-tr", "unet3plus", *place, *SHORT, *guided]
    assert main(train) == 0
    assert main(["predict", "-i", str(source / "imagesTs"), "-o", str(tmp_path / "out"), *place]) == 0
    written = read_label(tmp_path / "out" / "synthetic_002.nii.gz").array
    assert set(written.ravel().tolist()) <= {0, 1, 2}
    model = json.loads((tmp_path / "workspace" / source.name / "models" / configuration / "unet3plus" / "model.json").read_text())
    planned = json.loads((tmp_path / "workspace" / source.name / "plans.json").read_text())
    assert planned["planner"] == "unet3plus"
    strides = [it["configurations"][configuration]["network"]["strides"] for it in (model["plans"], planned)]
    assert strides[0] != strides[1]
    assert model["plans"]["configurations"][configuration]["reasons"]["network"] == "As the settings of the training have it."
