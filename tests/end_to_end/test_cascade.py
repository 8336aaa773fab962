"""The cascade as a user types it: killed in each stage and gone on with, compared, reported, and predicted by both stages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

import autoseg
from autoseg.best import Best
from autoseg.cli.main import main
from autoseg.demo import make_synthetic_dataset
from autoseg.image import Image
from autoseg.image_io import read_image, read_label
from autoseg.preprocessing.store import StoredCase, StoredDescription, opened, read_description
from autoseg.tasks.segmentation import INFO
from autoseg.tasks.segmentation.cascade import LabelsLater
from autoseg.tasks.segmentation.model import load_model
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.tasks.segmentation.store import open_volume
from autoseg.trainers import loop
from autoseg.trainers.segmentation import fold
from autoseg.workspace import DatasetFolder, Workspace, read_model
from tests.end_to_end.test_run import run_until

CPU = torch.device("cpu")
BOTH = ("3d_lowres", "3d_cascade_fullres")
SHORT = ("--epochs", "1", "--iterations", "2", "--set", "batch_size=2", "--set", "base_features=4", "--set", "mirror=none",
         "--device", "cpu")


def stop_before(path: Path, arguments: list[str]) -> None:
    """Run `autoseg ARGUMENTS` until a file of weights, or in a folder of labels, would be written."""
    with pytest.MonkeyPatch.context() as patched:
        for module, name in ((loop, "save_weights"), (fold, "write_label")):
            write = getattr(module, name)

            def stopped(target: Path, *what: object, write: Callable[..., None] = write, **more: object) -> None:
                if path in (target, target.parent):
                    raise KeyboardInterrupt
                write(target, *what, **more)

            patched.setattr(module, name, stopped)
        assert main(arguments) == 130


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a run that was stopped at the end of the first stage's training, killed while its predictions were
    stored, and stopped before the second stage's last fold was validated."""
    root = tmp_path_factory.mktemp("cascade")
    source = make_synthetic_dataset(root, training=3, test=1, shape=(18, 40, 44))  # three folds
    folder = root / "workspace" / source.name
    arguments = ["run", str(source), "-c", *BOTH, "--memory-gb", "0.01", "-np", "1", *SHORT, "--workspace", str(folder.parent)]
    lowres, cascade = (folder / "models" / name / "default" for name in BOTH)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "draw_progress", lambda *what: None)  # takes the most of the time
        stop_before(lowres / "fold_2/checkpoint_final.safetensors", arguments)
        run_until(lambda: any(lowres.glob("fold_*/next_stage/*/*.json")), arguments)
        stop_before(cascade / "fold_2/validation", arguments)
        assert main(arguments) == 0
    return root / "workspace"


@pytest.fixture
def folder(workspace: Path) -> DatasetFolder:
    return Workspace(workspace).planned_datasets()[0]


def prediction_of(folder: DatasetFolder, case: str, number: int) -> np.ndarray:
    """What fold `number` of the first stage predicted of a case, (Z, Y, X), as it is stored."""
    place = folder.model("3d_lowres", "default").fold(number).for_stage("3d_cascade_fullres")
    stored: StoredCase[StoredDescription] = opened(StoredCase(place, read_description(place, case, StoredDescription)))
    labels: np.ndarray = stored.array()[:][0]
    return labels


def test_a_run_that_was_killed_in_each_stage_is_completed_by_the_same_command(folder: DatasetFolder) -> None:
    assert not list(folder.root.rglob(".tmp-*"))
    assert len(list(folder.root.glob("models/*/default/fold_*/validation/summary.json"))) == 6
    best = read_model(folder.best_of(INFO), Best)
    assert {candidate.name for candidate in best.candidates} == {*BOTH, "3d_cascade_fullres + 3d_lowres"}
    assert "the segmentation by 3d_lowres" in folder.report_html.read_text(encoding="utf-8")


def test_both_grids_are_stored_once(folder: DatasetFolder) -> None:
    assert {path.name for path in (folder.root / "preprocessed").iterdir()} == {"3d_fullres", "3d_lowres"}


def test_every_case_has_a_prediction_by_the_fold_that_had_not_seen_it(folder: DatasetFolder) -> None:
    """Its logits, resized by scipy's zoom to the grid of full resolution, have their maximum where it says."""
    first = folder.model("3d_lowres", "default")
    splits = json.loads(folder.splits_json.read_text())
    for number, split in enumerate(splits):
        stored = sorted(path.stem for path in first.fold(number).for_stage("3d_cascade_fullres").glob("*.json"))
        assert stored == sorted(split["val"])
    (case,) = splits[1]["val"]
    (member,) = Predictor([load_model(first, ["1"])], CPU).members
    data, properties = member.read_preprocessed(folder.preprocessed("3d_lowres"), case)
    logits = np.stack([row for _, row in member.rows(data, properties, shape=data.shape[1:])], axis=1)  # on its own grid
    shape = open_volume(folder.preprocessed("3d_fullres"), case).shape
    zoom = [new / old for new, old in zip(shape, logits.shape[1:], strict=True)]
    assert min(zoom) > 1
    resized = [ndimage.zoom(channel, zoom, order=1, mode="nearest", grid_mode=True) for channel in logits]
    expected = np.argmax(resized, axis=0)
    assert (prediction_of(folder, case, 1) != expected).mean() < 1e-3  # of equal logits, rounding decides


class FirstStage:
    """The first stage's segmentations as files."""

    facts: dict[str, str] = {}
    in_words = ""

    def __init__(self, files: Path) -> None:
        self.files = files

    def labels_later(self, image: Image, name: str) -> LabelsLater:
        return LabelsLater(lambda tile_done: read_label(self.files / f"{name}.nii.gz").array[0])

    def expected_tiles(self, image: Image) -> int:
        return 0


def test_prediction_runs_both_stages_and_is_what_the_two_give_one_after_the_other(
    folder: DatasetFolder, workspace: Path, tmp_path: Path
) -> None:
    images = workspace.parent / folder.name / "imagesTs"
    (image,) = images.iterdir()
    name = image.name.removesuffix("_0000.nii.gz")
    for configuration, folds in zip(BOTH, ([0, 1, 2], [1]), strict=True):  # the first stage of a cascade is that of all folds
        autoseg.predict_files(images, tmp_path / configuration, configuration=configuration, folds=folds, workspace=workspace,
                              postprocessing=False, quiet=True)
    second = load_model(folder.model("3d_cascade_fullres", "default"), ["1"])
    by_hand = Predictor([second], CPU, previous=[FirstStage(tmp_path / "3d_lowres")]).predict_image(read_image(image), name)
    written = read_label(tmp_path / "3d_cascade_fullres" / f"{name}.nii.gz").array[0]
    assert np.array_equal(written, by_hand)
    in_memory = autoseg.predict(image, configuration="3d_cascade_fullres", folds=[1], workspace=workspace, postprocessing=False)
    assert np.array_equal(in_memory, by_hand)
    record = json.loads((tmp_path / "3d_cascade_fullres/autoseg_prediction.jsonl").read_text().splitlines()[0])
    facts = record["origin"]["models"]["3d_cascade_fullres default"]["previous_stage"]
    assert facts["configuration"] == "3d_lowres" and facts["folds"] == ["0", "1", "2"] and len(facts["weights"].split()) == 3


@pytest.fixture
def copied(workspace: Path, tmp_path: Path) -> DatasetFolder:
    shutil.copytree(workspace, tmp_path / "copied")
    return Workspace(tmp_path / "copied").planned_datasets()[0]


def test_a_stage_that_is_missing_is_named_with_the_command(
    copied: DatasetFolder, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--workspace", str(copied.root.parent))
    first, second = (copied.model(name, "default") for name in BOTH)
    shutil.rmtree(first.fold(1).root)
    shutil.rmtree(second.fold(0).root)
    assert main(["train", copied.name, "0", "-c", "3d_cascade_fullres", *SHORT, *where]) == 1
    said = capsys.readouterr().err
    assert "each fold of that must be trained first: fold 1 is missing" in said
    assert f"autoseg_train {copied.name} 1 -c 3d_lowres" in said and not second.fold(0).root.exists()
    assert main(["train", copied.name, "0", "-c", "3d_cascade_fullres", "--name", "other", *SHORT, *where]) == 1
    assert f"autoseg_train {copied.name} 0 1 2 -c 3d_lowres --name other" in capsys.readouterr().err
    shutil.rmtree(first.root)
    assert main(["run", copied.name, "-c", "3d_cascade_fullres", *where]) == 1
    assert f"autoseg_train {copied.name} 0 1 2 -c 3d_lowres" in capsys.readouterr().err
    images = workspace.parent / copied.name / "imagesTs"
    assert main(["predict", "-i", str(images), "-o", str(tmp_path / "out"), "-c", "3d_cascade_fullres", *where]) == 1
    assert f"{first.root} holds no trained model of it" in capsys.readouterr().err


def test_fold_all_takes_the_predictions_of_the_folds(copied: DatasetFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in copied.root.glob("models/*/*/fold_*/next_stage/*/*.b2nd")}
    command = ["train", copied.name, "all", "-c", "3d_cascade_fullres", *SHORT, "--workspace", str(copied.root.parent)]
    assert main(command) == 0 and copied.model("3d_cascade_fullres", "default").fold("all").checkpoint_final.exists()
    assert len(before) == 3 and all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_predictions_by_other_weights_are_made_anew_and_a_fold_that_was_begun_with_them_is_not_continued(
    copied: DatasetFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (copied.model(name, "default") for name in BOTH)
    command = ["train", copied.name, "2", "-c", "3d_cascade_fullres", *SHORT, "--workspace", str(copied.root.parent)]
    before = {path: path.stat().st_mtime_ns for path in first.root.glob("fold_*/next_stage/*/*.json")}
    shutil.copyfile(first.fold(0).checkpoint_final, first.fold(1).checkpoint_final)
    second.fold(2).summary_json.unlink()
    for prediction in second.fold(2).validation.glob("*.nii.gz"):
        prediction.unlink()
    assert main(command) == 1
    assert "was begun with predictions of 3d_lowres by other weights" in capsys.readouterr().err
    images = Path(json.loads(copied.dataset_json.read_text())["folder"]) / "imagesTs"
    predict = ["predict", "-i", str(images), "-c", "3d_cascade_fullres", "--workspace", str(copied.root.parent), "-o"]
    assert main([*predict, str(tmp_path / "by_others"), "-f", "2"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "after Dataset900_SyntheticKidneys, 3d_lowres, default, fold 0 1 2" in said
    assert "was trained on segmentations by other weights of 3d_lowres" in said
    assert main([*command, "--restart"]) == 0
    changed = {path.parents[2].name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"fold_1"}
