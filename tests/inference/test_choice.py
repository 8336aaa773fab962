"""Which models are taken, what a user is asked where that is not clear, and how the command says it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autoseg.api import export_models
from autoseg.best import Best, Candidate, DropSmall, KeepLargest, TriedRule, member_of
from autoseg.cli.predict import main
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import read_label, write_image
from autoseg.inference.choice import Chosen, choose_members
from autoseg.tasks.segmentation import INFO
from autoseg.tasks.segmentation import INFO as SEGMENTATION
from autoseg.tasks.segmentation.exports.description import described_steps
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.ways import Difference, MeasuredWay, Way, Ways, Wish, taken_way
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, read_model

NAME = "Dataset001_Tiny"
DROP = DropSmall(labels=(1, 2), below_ml=50)
SAYS = "drop components of class1 ∪ class2 below 50 ml"
CHANGE = Difference(mean=-0.0002, low=-0.0006, high=0.0003, p_value=0.4)
COMMON: dict[str, Any] = {"evaluations": 8.0, "seconds": 1.0, "dice": 0.9, "nsd": 0.95, "dice_change": CHANGE,
                          "nsd_change": CHANGE}
THREE_WAYS = Ways(
    measured=(MeasuredWay(way=Way(axes=(0, 1, 2)), cost=1, **{**COMMON, "dice_change": None, "nsd_change": None}),
              MeasuredWay(way=Way(axes=(1,), step=0.65), cost=0.2, **COMMON),
              MeasuredWay(way=Way(axes=(), step=0.8), cost=0.04, may_be_worse=True, **COMMON)),
    chosen=1, fastest=2, not_worse=0.001, tolerance_mm=2.0, cases=208, device="cpu")


class Place:
    """A workspace that tests fill with models and choices."""

    def __init__(self, root: Path, describe: Any, weights_of: Any) -> None:
        self.workspace = Workspace(root)
        self._describe, self._weights_of = describe, weights_of

    def folder(self, dataset: str = NAME) -> DatasetFolder:
        return self.workspace.dataset(dataset)

    def add(self, configuration: str, recipe: str = "default", folds: tuple[str, ...] = ("0",), dataset: str = NAME,
            mirror_axes: tuple[int, ...] = ()) -> None:
        """A model with random weights."""
        patch = (8, 8) if configuration == "2d" else (8, 8, 8)
        described = self._describe(patch_size=patch, mirror_axes=mirror_axes)
        plans = described.plans.model_copy(
            update={"dataset": dataset, "configurations": {configuration: described.configuration}})
        described = described.model_copy(
            update={"dataset": dataset, "plans": plans, "configuration_name": configuration, "recipe": recipe})
        model = self.folder(dataset).model(configuration, recipe)
        write_json(model.model_json, described)
        write_json(self.folder(dataset).plans_json, plans)
        torch.manual_seed(0)
        for fold in folds:
            model.fold(fold).root.mkdir(parents=True)
            save_file(self._weights_of(described), model.fold(fold).checkpoint_final)

    def best(self, *names: tuple[str, str], ways: Ways | None = None) -> None:
        """find-best's choice, of the weights that are there now: drop what is small, and a rule that was not accepted."""
        members = tuple(
            member_of(model, model.finished_folds())
            for configuration, recipe in names for model in [self.folder().model(configuration, recipe)])
        tried = {"dice_before": 0.8, "dice_after": 0.9, "classes_before": {}, "classes_after": {}}
        write_json(self.folder().best_of(INFO), Best(
            dataset=NAME, members=members, reason="the highest Dice.", names={"1": "class1"}, references="", versions={},
            ways=ways,
            candidates=(Candidate(members=members, value=0.8, classes={}, cases=3),),
            rules=(TriedRule(rule=DROP, says=SAYS, accepted=True, **tried),
                   TriedRule(rule=KeepLargest(labels=(1,), count=1), says="keep one", accepted=False, **tried))))

    def choose(self, dataset: str | None = None, c: tuple[str, ...] = (), tr: tuple[str, ...] = (), m: Any = ()) -> Chosen:
        return choose_members(SEGMENTATION, [SEGMENTATION], self.workspace, dataset, m, c, tr)


@pytest.fixture
def place(tmp_path: Path, describe: Any, weights_of: Any) -> Place:
    return Place(tmp_path / "workspace", describe, weights_of)


def names(chosen: Chosen) -> list[str]:
    return [f"{model.configuration}/{model.recipe}" for model in chosen.members]


def test_the_only_model_is_taken_and_one_without_a_finished_fold_is_none(place: Place) -> None:
    with pytest.raises(AutosegError, match="holds no segmentation model with a finished fold"):
        place.choose()
    place.add("2d", folds=())
    with pytest.raises(AutosegError, match="holds no segmentation model with a finished fold"):
        place.choose()
    place.add("3d_fullres")
    chosen = place.choose()
    assert names(chosen) == ["3d_fullres/default"]
    assert (chosen.rules, chosen.says, chosen.note, chosen.why) == ((), (), "", "the only segmentation model there is")


def test_of_several_models_without_a_choice_the_flags_are_listed(place: Place) -> None:
    place.add("2d")
    place.add("3d_fullres")
    with pytest.raises(AutosegError, match=f"2 models could be meant. Let autoseg find-best {NAME} .* choose") as error:
        place.choose()
    assert f"\n  -d {NAME} -c 2d -tr default\n  -d {NAME} -c 3d_fullres -tr default" in str(error.value)
    assert names(place.choose(c=("2d",))) == ["2d/default"]


def test_several_configurations_or_recipes_make_an_ensemble(place: Place) -> None:
    for configuration, recipe in (("2d", "default"), ("3d_fullres", "default"), ("3d_fullres", "multiscale")):
        place.add(configuration, recipe)
    assert names(place.choose(tr=("multiscale",))) == ["3d_fullres/multiscale"]
    assert names(place.choose(c=("3d_fullres",), tr=("multiscale", "default"))) == [
        "3d_fullres/default", "3d_fullres/multiscale"]
    assert names(place.choose(c=("3d_fullres", "2d"), tr=("default",))) == ["2d/default", "3d_fullres/default"]
    assert names(place.choose(c=("2d",))) == ["2d/default"]
    assert place.choose(c=("2d",)).rules == ()
    with pytest.raises(AutosegError, match="3 models could be meant. Say which") as error:
        place.choose(c=("2d", "3d_fullres"))  # with which recipe?
    assert "-c 3d_fullres -tr multiscale" in str(error.value)
    with pytest.raises(AutosegError, match="3 models could be meant"):
        place.choose(tr=("default", "multiscale"))
    with pytest.raises(AutosegError, match=f"{NAME} has no model 3d_lowres with a finished fold"):
        place.choose(c=("2d", "3d_lowres"))
    with pytest.raises(AutosegError, match=r"No model in the workspace .* fits these flags. There are:\n  -d"):
        place.choose(c=("3d_lowres",))


def test_what_find_best_chose_is_taken_with_its_accepted_rules(place: Place) -> None:
    for configuration, recipe in (("2d", "default"), ("3d_fullres", "default"), ("3d_fullres", "multiscale")):
        place.add(configuration, recipe)
    place.best(("3d_fullres", "multiscale"), ("2d", "default"))
    chosen = place.choose()
    assert names(chosen) == ["3d_fullres/multiscale", "2d/default"]
    assert chosen.rules == (DROP,)
    assert chosen.says == (SAYS,)
    assert "the highest Dice" in chosen.why and chosen.note == ""
    assert place.choose(NAME) == chosen


def test_rules_come_with_the_chosen_members_however_these_were_named(place: Place) -> None:
    place.add("2d")
    place.add("3d_fullres")
    place.add("3d_lowres")
    place.best(("2d", "default"), ("3d_fullres", "default"))
    assert place.choose(c=("3d_fullres", "2d")).rules == (DROP,)
    assert place.choose(c=("3d_fullres", "3d_lowres")).rules == ()
    assert place.choose(c=("2d",)).rules == ()


def test_weights_that_changed_since_are_noted(place: Place) -> None:
    place.add("2d")
    place.best(("2d", "default"))
    weights = place.folder().model("2d", "default").fold("0").checkpoint_final
    weights.write_bytes(weights.read_bytes() + b" ")
    chosen = place.choose()
    assert chosen.rules == (DROP,)
    assert chosen.note.startswith("best.json was chosen for other weights") and f"run: autoseg find-best {NAME}" in chosen.note


def test_a_fold_that_was_trained_since_is_noted_but_not_the_one_on_all_cases(place: Place) -> None:
    place.add("2d")
    place.best(("2d", "default"))
    model = place.folder().model("2d", "default")
    weights = model.fold("0").checkpoint_final.read_bytes()
    for fold, is_noted in (("all", False), ("1", True)):
        model.fold(fold).root.mkdir()
        model.fold(fold).checkpoint_final.write_bytes(weights)
        assert bool(place.choose().note) == is_noted


def test_a_member_that_is_gone_is_named_with_the_ways_out(place: Place) -> None:
    place.add("2d")
    place.add("3d_fullres")
    place.best(("2d", "default"), ("3d_fullres", "default"))
    place.folder().model("2d", "default").fold("0").checkpoint_final.unlink()
    with pytest.raises(AutosegError, match=r"best.json names the model 2d, but .* holds none with a finished fold") as error:
        place.choose()
    assert f"autoseg_train {NAME} 0 -c 2d" in str(error.value)
    assert f"autoseg find-best {NAME}" in str(error.value) and "-c 3d_fullres -tr default" in str(error.value)
    assert names(place.choose(c=("3d_fullres",))) == ["3d_fullres/default"]


def test_several_datasets_with_models_are_listed(place: Place) -> None:
    place.add("2d")
    place.add("3d_fullres", dataset="Dataset002_Other")
    with pytest.raises(AutosegError, match=f"2 datasets could be meant.*\n  -d {NAME}\n  -d Dataset002_Other"):
        place.choose()
    assert names(place.choose("Dataset002_Other")) == names(place.choose(c=("3d_fullres",))) == ["3d_fullres/default"]


def test_folders_are_taken_as_they_are_named(place: Place, tmp_path: Path) -> None:
    place.add("2d")
    place.best(("2d", "default"))
    one, other = tmp_path / "one", tmp_path / "other"
    chosen = place.choose(m=(one, other))
    assert chosen.members == (ModelFolder(one), ModelFolder(other))
    assert place.choose(m=(place.folder().model("2d", "default").root,)).rules == ()
    with pytest.raises(AutosegError, match=r"one was named more than once"):
        place.choose(m=(one, tmp_path / "other" / ".." / "one"))
    with pytest.raises(AutosegError, match="-m names the models already"):
        place.choose(m=(one,), c=("2d",))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    array = np.random.default_rng(0).normal(size=(1, 6, 20, 20)).astype(np.float32)
    write_image(tmp_path / "in" / "a.nii.gz", array, Image(array, Geometry((1.0, 1.0, 1.0))))
    return tmp_path / "in"


def predict(place: Place, images: Path, out: Path, *flags: str) -> np.ndarray:
    assert main(["-i", str(images), "-o", str(out), "--workspace", str(place.workspace.root), *flags]) == 0
    return read_label(out / "a.nii.gz").array[0]


def test_the_command_runs_find_bests_ensemble_and_its_rules_and_says_so(
    place: Place, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.add("2d", folds=("0", "1"))
    place.add("3d_fullres")
    place.best(("2d", "default"), ("3d_fullres", "default"))
    labels = predict(place, images, tmp_path / "a")
    said = capsys.readouterr().out
    assert "Why: find-best's choice. the highest Dice." in said and "Note" not in said
    assert f"{NAME}, 2d, default, fold 0 1 (" in said and f"{NAME}, 3d_fullres, default, fold 0 (" in said
    assert f"Post-processing: {SAYS}\n" in said
    raw = predict(place, images, tmp_path / "b", "--no-postprocessing")
    assert f"Post-processing: none, as you asked (find-best chose: {SAYS})" in capsys.readouterr().out
    assert raw.max() > 0 == labels.max()  # the whole image has 2.4 ml
    named = predict(place, images, tmp_path / "c", "-m", *(str(model.root) for model in place.folder().models()))
    assert (named == raw).all()
    record = json.loads((tmp_path / "a" / "autoseg_prediction.jsonl").read_text().splitlines()[0])
    assert [model["configuration"] for model in record["origin"]["models"].values()] == ["2d", "3d_fullres"]


def test_a_second_run_with_other_members_or_rules_is_refused_in_one_line(
    place: Place, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.add("2d")
    place.add("3d_fullres")
    place.best(("2d", "default"), ("3d_fullres", "default"))
    predict(place, images, tmp_path / "out", "-c", "2d", "3d_fullres")
    predict(place, images, tmp_path / "out")
    assert "1 were there already" in capsys.readouterr().out
    where = ["-i", str(images), "-o", str(tmp_path / "out"), "--workspace", str(place.workspace.root)]
    for flags, message in ((["-c", "2d"], "models 2d default, 3d_fullres default (now 2d default)"),
                           (["--no-postprocessing"], "post-processing kind drop_small, labels 1 2, below_ml 50.0 (now none)")):
        assert main([*where, *flags]) == 1
        error = capsys.readouterr().err
        assert message in error and "--overwrite" in error and "Traceback" not in error


def test_a_model_that_is_named_by_its_folder_brings_its_rules_wherever_it_was_copied_to(place: Place, tmp_path: Path) -> None:
    for configuration in ("2d", "3d_fullres"):
        place.add(configuration)
    place.best(("3d_fullres", "default"), ("2d", "default"))
    copies = []
    for configuration in ("2d", "3d_fullres"):
        model = place.folder().model(configuration, "default")
        shutil.copy(place.folder().best_of(INFO), model.best_json)
        copies.append(Path(shutil.copytree(model.root, tmp_path / "elsewhere" / f"my {configuration}")))
    chosen = place.choose(m=copies)
    assert (chosen.rules, chosen.says, chosen.note) == ((DROP,), (SAYS,), "")
    assert place.choose(m=copies[::-1]).rules == (DROP,)
    alone = place.choose(m=copies[:1])  # its rules were learned on the predictions of both
    assert alone.rules == () and "no post-processing is applied: find-best chose it for 3d_fullres + 2d" in alone.note
    assert place.choose(c=("2d",)).note == alone.note
    (copies[0] / "fold_0/checkpoint_final.safetensors").write_bytes(b"others")
    assert "chosen for other weights" in place.choose(m=copies).note and place.choose(m=copies).rules == (DROP,)
    (copies[0] / "best.json").unlink()
    assert place.choose(m=copies[:1]).note == ""


def test_an_export_is_of_the_way_that_find_best_chose(place: Place, tmp_path: Path) -> None:
    place.add("3d_fullres", mirror_axes=(0, 1, 2))
    place.best(("3d_fullres", "default"), ways=THREE_WAYS)
    result = export_models(tmp_path / "out", format="nnunet", workspace=place.workspace.root, quiet=True)
    (checkpoint,) = (tmp_path / "out").rglob("checkpoint_final.pth")
    assert torch.load(checkpoint, weights_only=True)["inference_allowed_mirroring_axes"] == (1,)
    assert any("mirrored along axis 1 only" in note and "-step_size 0.65" in note for note in result.notes)
    its = read_model(place.folder().model("3d_fullres", "default").model_json, ModelDescription)
    said = described_steps(its, (), (), taken_way(THREE_WAYS, Wish()))
    assert said["mirroring"]["axes"] == [1] and said["sliding_window"]["step"] == 0.65
    assert said["way"]["full"] == {"step": 0.5, "axes": [0, 1, 2]} and "Dice changed by -0.0002" in said["way"]["chosen"]
    in_full = described_steps(its, (), (), taken_way(None, Wish()))
    assert (in_full["mirroring"]["axes"], in_full["sliding_window"]["step"], "way" in in_full) == ([0, 1, 2], 0.5, False)


def test_the_command_predicts_as_find_best_chose_unless_the_user_says_how(
    place: Place, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.add("3d_fullres", mirror_axes=(0, 1, 2))
    place.best(("3d_fullres", "default"), ways=THREE_WAYS)
    made = {}
    for flags, said, facts in (
        ((), "Way: mirrored along axis 1 only, tiles 0.65 of the patch apart: Dice changed by -0.0002", ([1], 0.65)),
        (("--accurate",), "Way: in full (mirrored along axes 0, 1, 2, tiles 0.5 of the patch apart), as you", ([0, 1, 2], None)),
        (("--fast",), "tiles 0.8 of the patch apart: Dice changed by -0.0002 [-0.0006, +0.0003]", ([], 0.8)),
        (("--fast", "--step-size", "0.5"), "Way: mirroring left out, as you asked", ([], None)),
        (("--no-mirroring",), "Way: mirroring left out, tiles 0.65 of the patch apart, as you asked", ([], 0.65)),
    ):
        out = tmp_path / "_".join(["out", *flags])
        predict(place, images, out, "--no-postprocessing", *flags)
        assert said in capsys.readouterr().out
        record = json.loads((out / "autoseg_prediction.jsonl").read_text().splitlines()[0])
        (model,) = record["origin"]["models"].values()
        assert (model["mirror_axes"], model.get("step")) == facts
        made[flags] = out
    where = ["-i", str(images), "--workspace", str(place.workspace.root), "--no-postprocessing"]
    assert main([*where, "-o", str(made[()]), "--fast"]) == 1 and "mirror_axes" in capsys.readouterr().err
    assert main([*where, "-o", str(tmp_path / "x"), "--fast", "--accurate"]) == 1
    assert "opposite things" in capsys.readouterr().err
    place.best(("3d_fullres", "default"))
    assert main([*where, "-o", str(tmp_path / "x"), "--fast"]) == 1 and "none was measured" in capsys.readouterr().err
