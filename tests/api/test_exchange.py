"""Models to another machine and back: the same files predict the same, and nothing of a hostile archive is written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autoseg.api import export_models, import_models, predict_files
from autoseg.api.exchange import model_folders
from autoseg.api.tasks import task_infos
from autoseg.best import Best, DropSmall, TriedRule, member_of
from autoseg.cli.main import main
from autoseg.cli.predict import main as predict_main
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image_io import write_image
from autoseg.inference.choice import choose_members
from autoseg.tasks.segmentation import INFO
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.ways import Difference, MeasuredWay, Way, Ways
from autoseg.workspace import ModelFolder, Workspace
from tests.conftest import SaveModel, describe, tiny_case

NAME = "Dataset001_Tiny"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(2):
        image, _ = tiny_case(number)
        write_image(tmp_path / "images" / f"case_{number}_0000.nii.gz", image.array, like=image)
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def other(configuration: str = "other") -> ModelDescription:
    described = describe(classes=3)
    plans = described.plans.model_copy(update={"configurations": {configuration: described.configuration}})
    return described.model_copy(update={"plans": plans, "configuration_name": configuration})


@pytest.fixture
def models(tmp_path: Path, save_model: SaveModel) -> tuple[ModelFolder, ...]:
    """Two models of one dataset in a workspace, of two folds and of one; find-best chose both, and drops small components."""
    one = save_model(tmp_path / "work" / NAME, describe(), ("0", "1"))
    two = save_model(tmp_path / "work" / NAME, other(), ("0",))
    return one, two


SAME = Difference(mean=0.0, low=-0.0001, high=0.0001, p_value=1)
COMMON = {"seconds": 1, "dice": 0.5, "nsd": 0.5}
WAYS = Ways(measured=(MeasuredWay(way=Way(axes=()), evaluations=8, cost=1, **COMMON),
                      MeasuredWay(way=Way(axes=(), step=0.8), evaluations=4, cost=0.5, dice_change=SAME, nsd_change=SAME,
                                  **COMMON)),
            chosen=1, fastest=1, not_worse=0.001, tolerance_mm=2.0, cases=30, device="cpu in float32")


def choose(*models: ModelFolder, rule: bool = True) -> None:
    tried = TriedRule(rule=DropSmall(labels=(1,), below_ml=0.05), says="small class1 is dropped", accepted=True, dice_before=0.5,
                      dice_after=0.6, classes_before={}, classes_after={})
    best = Best(dataset=NAME, members=tuple(member_of(model, model.finished_folds()) for model in models), reason="It is best.",
                candidates=(), rules=(tried,) if rule else (), names={}, references="", versions={}, ways=WAYS)
    for model in models:
        write_json(model.best_json, best)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.nii.gz"))}


def test_a_model_goes_out_and_comes_back_and_predicts_the_same_bytes(
    tmp_path: Path, images: Path, models: tuple[ModelFolder, ...], temporary: Path
) -> None:
    model, archive = models[0], tmp_path / "model.zip"
    choose(model)
    assert export_models(archive, model=model.root, license="cc-by-4.0").models == ("tiny, default",)
    base = f"{NAME}/models/tiny/default"
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == [f"{base}/best.json", *(
            f"{base}/fold_{fold}/checkpoint_final.safetensors" for fold in (0, 1)), f"{base}/model.json", "README.md"]
        card = opened.read("README.md").decode()
    assert card.startswith('---\nlibrary_name: autoseg\nlicense: "cc-by-4.0"\npipeline_tag: image-segmentation\ntags:\n- autoseg')
    assert "autoseg_predict -i IMAGES -o SEGMENTATIONS -m model.zip" in card and "class1 (1), class2 (2)" in card
    assert "small class1 is dropped" in card and "| folds | 0 1 |" in card
    assert "Chosen on the cross-validation: tiles 0.8 of the patch apart: Dice changed by +0.0000" in card

    predict_files(images, tmp_path / "from_folder", model=model.root)
    predict_files(images, tmp_path / "from_zip", model=archive)
    assert contents(tmp_path / "from_zip") == contents(tmp_path / "from_folder") and len(contents(tmp_path / "from_zip")) == 2
    assert '"step": 0.8' in (tmp_path / "from_zip" / "autoseg_prediction.jsonl").read_text()  # as it was chosen
    assert predict_files(images, tmp_path / "from_zip", model=archive).already_there == 2
    assert predict_files(images, tmp_path / "from_folder", model=archive).already_there == 2  # it is the same model

    result = import_models(archive, workspace=tmp_path / "elsewhere")
    assert "-d" not in result.next_command and [str(made.root.relative_to(tmp_path)) for made in result.models] == [
        f"elsewhere/{NAME}/models/tiny/default"]
    for number, flags in enumerate(({}, {"dataset": NAME}, {"dataset": "1", "configuration": "tiny"}, {"recipe": "default"})):
        predict_files(images, tmp_path / f"imported_{number}", workspace=tmp_path / "elsewhere", **flags)
        assert contents(tmp_path / f"imported_{number}") == contents(tmp_path / "from_folder")
    export_models(tmp_path / "again.zip", workspace=tmp_path / "elsewhere")
    with zipfile.ZipFile(archive) as one, zipfile.ZipFile(tmp_path / "again.zip") as two:
        weights = [name for name in one.namelist() if name.endswith("safetensors")]
        assert [one.read(name) for name in weights] == [two.read(name) for name in weights] and one.namelist() == two.namelist()


def test_an_ensemble_of_an_archive_is_find_bests_choice_or_named(
    tmp_path: Path, images: Path, models: tuple[ModelFolder, ...]
) -> None:
    folders, archive = [model.root for model in models], tmp_path / "both.zip"
    export_models(archive, model=folders)
    with pytest.raises(AutosegError, match="holds 2 models. Say which is meant.*\n  -c other\n  -c tiny"):
        predict_files(images, tmp_path / "out", model=archive)
    with pytest.raises(AutosegError, match="None of them fits"):
        predict_files(images, tmp_path / "out", model=archive, configuration="3d")
    predict_files(images, tmp_path / "one", model=archive, configuration="tiny")
    predict_files(images, tmp_path / "one_folder", model=folders[0])
    predict_files(images, tmp_path / "two", model=archive, configuration=["tiny", "other"])
    predict_files(images, tmp_path / "two_folders", model=folders)
    assert contents(tmp_path / "one") == contents(tmp_path / "one_folder")
    assert contents(tmp_path / "two") == contents(tmp_path / "two_folders")

    choose(*models)
    archive.unlink()
    export_models(archive, model=folders)
    predict_files(images, tmp_path / "best", model=archive)
    predict_files(images, tmp_path / "best_folders", model=folders)
    assert contents(tmp_path / "best") == contents(tmp_path / "best_folders")
    import_models(archive, name="clinic_1", workspace=tmp_path / "elsewhere")
    predict_files(images, tmp_path / "imported", workspace=tmp_path / "elsewhere")
    assert contents(tmp_path / "imported") == contents(tmp_path / "best_folders")
    described = json.loads((tmp_path / "elsewhere" / NAME / "models" / "tiny" / "clinic_1" / "model.json").read_text())
    assert described["name"] == "clinic_1" and described["recipe"] == "default"


def test_an_imported_model_lies_beside_others_and_keeps_its_post_processing(
    tmp_path: Path, images: Path, models: tuple[ModelFolder, ...]
) -> None:
    choose(models[0])
    export_models(tmp_path / "model.zip", model=models[0].root)
    with pytest.raises(AutosegError, match="is there already. Give the model another name with --name"):
        import_models(tmp_path / "model.zip", workspace=tmp_path / "work")
    result = import_models(tmp_path / "model.zip", name="imported", workspace=tmp_path / "work")
    assert "-c tiny -tr imported" in result.notes[0] and "-tr imported" in result.next_command
    assert not Workspace(tmp_path / "work").dataset(NAME).best_of(INFO).exists()
    predict_files(images, tmp_path / "a", recipe="imported", workspace=tmp_path / "work")
    predict_files(images, tmp_path / "b", model=models[0].root)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    weights = models[0].fold(0).checkpoint_final.read_bytes()
    shutil.rmtree(models[0].fold(1).root)
    import_models(tmp_path / "model.zip", overwrite=True, workspace=tmp_path / "work")
    assert models[0].finished_folds() == ["0", "1"] and models[0].fold(0).checkpoint_final.read_bytes() == weights


def test_what_needs_the_dataset_says_that_only_models_are_there(
    tmp_path: Path, models: tuple[ModelFolder, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    choose(models[0])
    export_models(tmp_path / "model.zip", model=models[0].root)
    import_models(tmp_path / "model.zip", workspace=tmp_path / "elsewhere")
    for command in (["report", NAME], ["find-best", "1"], ["train", NAME, "0"]):
        assert main([*command, "--workspace", str(tmp_path / "elsewhere")]) == 1
        assert "It has only models that were imported, which can predict" in capsys.readouterr().err
    made = Workspace(tmp_path / "elsewhere").dataset(NAME)
    assert made.best_of(INFO).exists() and made.models()[0].is_imported
    with pytest.raises(AutosegError, match="is in this workspace already"):
        import_models(made.models()[0].root, overwrite=True, workspace=tmp_path / "elsewhere")


def test_a_folder_can_be_imported_and_predicted_packed_or_not(
    tmp_path: Path, images: Path, models: tuple[ModelFolder, ...]
) -> None:
    import_models(models[0].root, workspace=tmp_path / "one")
    assert Workspace(tmp_path / "one").dataset(NAME).model("tiny", "default").finished_folds() == ["0", "1"]
    import_models(tmp_path / "work" / NAME, workspace=tmp_path / "both")
    assert len(Workspace(tmp_path / "both").dataset(NAME).models()) == 2
    packed = Path(shutil.make_archive(str(tmp_path / "by_hand"), "zip", models[0].root))  # of another program, no folders around
    predict_files(images, tmp_path / "a", model=packed)
    predict_files(images, tmp_path / "b", model=models[0].root)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_paths_of_this_machine_do_not_go_along(tmp_path: Path, models: tuple[ModelFolder, ...]) -> None:
    described = json.loads(models[0].model_json.read_text())
    described |= {"settings": {"pretrained": "/home/ada/study/model", "epochs": 3}, "flags": ["--from", "/home/ada/study/model"]}
    models[0].model_json.write_text(json.dumps(described))
    export_models(tmp_path / "model.zip", model=models[0].root)
    (model,) = model_folders(tmp_path / "model.zip")
    sent = json.loads(model.model_json.read_text())
    assert (sent["settings"], sent["flags"]) == ({"pretrained": "model", "epochs": 3}, ["--from", "model"])
    assert sent["plans"] == described["plans"]


def test_a_cascades_second_stage_brings_its_first(tmp_path: Path, models: tuple[ModelFolder, ...]) -> None:
    described = json.loads(models[0].model_json.read_text())
    described["plans"]["configurations"]["tiny"]["previous_stage"] = "other"
    models[0].model_json.write_text(json.dumps(described))
    result = export_models(tmp_path / "model.zip", model=models[0].root)
    assert result.models == ("tiny, default", "other, default")
    assert len(model_folders(tmp_path / "model.zip")) == 2
    shutil.rmtree(models[1].root)
    with pytest.raises(AutosegError, match="is the second stage of a cascade, and its first stage"):
        export_models(tmp_path / "other.zip", model=models[0].root)


def test_a_cascade_that_lies_beside_its_first_stage_alone_is_meant(tmp_path: Path, models: tuple[ModelFolder, ...]) -> None:
    described = json.loads(models[0].model_json.read_text())
    described["plans"]["configurations"]["tiny"]["previous_stage"] = "other"
    models[0].model_json.write_text(json.dumps(described))
    (info,) = (info for info in task_infos() if info.is_default)
    chosen = choose_members(info, task_infos(), Workspace(tmp_path / "work"), None, [], [], [])
    assert [model.root for model in chosen.members] == [models[0].root]


def test_folds_and_best_weights_are_chosen(tmp_path: Path, models: tuple[ModelFolder, ...]) -> None:
    with pytest.raises(AutosegError, match="has no fold 7"):
        export_models(tmp_path / "model.zip", model=models[0].root, folds=[7])
    with pytest.raises(AutosegError, match="checkpoint_best"):
        export_models(tmp_path / "model.zip", model=models[0].root, best_weights=True)
    shutil.copyfile(models[0].fold(1).checkpoint_final, models[0].fold(1).checkpoint_best)
    export_models(tmp_path / "model.zip", model=models[0].root, folds=[1], best_weights=True)
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert sorted(Path(name).name for name in archive.namelist()) == [
            "README.md", "checkpoint_best.safetensors", "checkpoint_final.safetensors", "model.json"]
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.parametrize("fault", ["dataset", "name", "no task", "another task", "not finite", "extra", "other weights", "best"])
def test_nothing_of_a_hostile_archive_is_imported(
    tmp_path: Path, images: Path, models: tuple[ModelFolder, ...], fault: str
) -> None:
    model = models[0]
    described, weights = json.loads(model.model_json.read_text()), model.fold(1).checkpoint_final
    if fault == "dataset":
        described["dataset"] = "../../evil"
    elif fault == "name":
        described["name"] = "a/b"
    elif fault == "no task":
        described["task"] = "astrology"
    elif fault == "another task":
        described["task"] = "anomaly"
    elif fault == "extra":
        described["run"] = "rm -rf"
    elif fault == "not finite":
        save_file({"network.a": torch.tensor([float("nan")])}, weights)
    elif fault == "other weights":
        weights.write_bytes(b"\x80\x05cos\nsystem\n")
    else:
        model.best_json.write_text('{"members": 1}')
    model.model_json.write_text(json.dumps(described))
    archive = Path(shutil.make_archive(str(tmp_path / "made"), "zip", tmp_path / "work"))
    with pytest.raises(AutosegError):
        import_models(archive, workspace=tmp_path / "elsewhere" / "deep")
    assert not (tmp_path / "elsewhere").exists() and not (tmp_path / "evil").exists()
    assert main(["import", str(archive), "--workspace", str(tmp_path / "elsewhere")]) == 1


def test_what_cannot_be_written_or_read_is_one_error(
    tmp_path: Path, models: tuple[ModelFolder, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    root, target = str(models[0].root), tmp_path / "mine.zip"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("photos/1.png", b"precious")
    before = target.read_bytes()

    def told(*words: str) -> str:
        assert main([*words]) == 1
        return capsys.readouterr().err

    assert "autoseg did not make it" in told("export", root, "-o", str(target), "--overwrite") and target.read_bytes() == before
    assert "ends with .zip" in told("export", root, "-o", str(tmp_path / "folder"))
    assert "is not a trained model" in told("export", str(tmp_path / "tmp"), "-o", str(tmp_path / "a.zip"))
    assert "does not exist" in told("import", str(tmp_path / "missing.zip"))
    assert "holds no model" in told("import", str(target))
    assert 'Did you mean "onnx"' in told("export", root, "-o", str(tmp_path / "a"), "--format", "onnnx")
    assert main(["export", root, "-o", str(tmp_path / "a.zip")]) == 0
    assert "Next: autoseg_predict" in capsys.readouterr().out
    assert "is there already" in told("export", root, "-o", str(tmp_path / "a.zip"))
    assert "is what is to be exported" in told("export", str(tmp_path / "a.zip"), "-o", str(tmp_path / "a.zip"), "--overwrite")
    assert main(["export", root, "-o", str(tmp_path / "a.zip"), "--overwrite"]) == 0
    assert main(["export", str(tmp_path / "a.zip"), "-o", str(tmp_path / "b.zip")]) == 0
    assert (tmp_path / "a.zip").stat().st_size == (tmp_path / "b.zip").stat().st_size
    assert "Leave out -d" in told("predict", "-i", str(tmp_path), "-o", str(tmp_path / "o"), "-m", root, "-c", "tiny")


ENDS = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from pathlib import Path
from autoseg.api.exchange import model_folders
from autoseg.api.tasks import task_infos
(model,) = model_folders(Path(sys.argv[1]))
assert model.model_json.exists()
print("ready", flush=True)
if sys.argv[2] == "wait":
    time.sleep(60)
if sys.argv[2] == "kill":
    os.kill(os.getpid(), 9)
"""


def test_what_was_unpacked_goes_when_the_process_ends_however_it_ends(
    tmp_path: Path, models: tuple[ModelFolder, ...], temporary: Path
) -> None:
    archive = str(tmp_path / "model.zip")
    export_models(archive, model=models[0].root)
    start: Callable[[str], subprocess.Popen[str]] = lambda how: subprocess.Popen(  # noqa: E731
        [sys.executable, "-c", ENDS, archive, how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for how in (signal.SIGTERM, signal.SIGINT):
        process = start("wait")
        assert process.stdout is not None and process.stdout.readline() == "ready\n" and list(temporary.iterdir())
        process.send_signal(how)
        assert process.wait(20) in (-how, 130, 1) and not list(temporary.iterdir())
    assert start("kill").wait(20) == -9 and len(list(temporary.iterdir())) == 1
    (temporary / ".tmp-of-another-program").mkdir()
    os.utime(temporary / ".tmp-of-another-program", (0, 0))
    assert start("end").wait(20) == 0 and [path.name for path in temporary.iterdir()] == [".tmp-of-another-program"]


def test_predicting_in_a_read_only_workspace_of_imported_models_says_so(
    tmp_path: Path, images: Path, models: tuple[ModelFolder, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    export_models(tmp_path / "model.zip", model=models[0].root)
    (tmp_path / "file").write_text("")
    assert main(["import", str(tmp_path / "model.zip"), "--workspace", str(tmp_path / "file")]) == 1
    assert "cannot be used" in capsys.readouterr().err
    assert predict_main(["-i", str(images), "-o", str(tmp_path / "out"), "-m", str(tmp_path / "model.zip")]) == 0
    assert len(contents(tmp_path / "out")) == 2
