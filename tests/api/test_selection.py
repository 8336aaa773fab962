"""find_best on folds that were written, not trained: what it chooses, what it leaves out, and what it cannot do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from autoseg.api.selection import find_best, is_current
from autoseg.api.tasks import default_task
from autoseg.best import Best
from autoseg.dataset import Dataset, load_dataset
from autoseg.errors import AutosegError
from autoseg.evaluation.summary import Pair, Summary, evaluate_pairs, write_summary
from autoseg.files import write_json, write_text
from autoseg.fingerprint import Fingerprint, LabelOfDataset, Range
from autoseg.image_io import read_label, write_label
from autoseg.tasks.segmentation import INFO
from autoseg.ways import OnCase, Way
from autoseg.workspace import DatasetFolder, read_model

CASES = ("tiny_0", "tiny_1", "tiny_2")
ONE = Range(minimum=1, median=1, maximum=1)


def write_fold(folder: DatasetFolder, configuration: str, fold: int, speck: bool) -> None:
    """The fold validated its one case: as the reference, but for a false organ of one voxel where `speck`."""
    case = next(case for case in load_dataset(source_of(folder)).training if case.name == CASES[fold])
    assert case.label is not None
    place = folder.model(configuration, "default").fold(fold)
    predicted = read_label(case.label)
    predicted.array[0, 0, 5, 0] = speck
    path = place.validation / f"{case.name}.nii.gz"
    write_label(path, predicted.array[0].astype(np.uint8), like=predicted)
    write_summary(place.summary_json, evaluate_pairs([Pair(case.name, case.label, path)], load_dataset(source_of(folder)).labels))
    write_text(place.checkpoint_final, f"{configuration} {fold}")


def source_of(folder: DatasetFolder) -> Path:
    return folder.root.parents[1] / folder.name


def fingerprint(name: str) -> Fingerprint:
    labels = {
        value: LabelOfDataset(name=name, cases=3, volume_ml=ONE, components=ONE, smallest_ml=0.003, touches={}, inside=())
        for value, name in (("1", "organ"), ("2", "lesion"))
    }
    return Fingerprint(dataset=name, versions={}, channel_names=("MRI",), foreground_intensities={}, orientations={},
                       foreground_components=None, labels=labels, cases={})


@pytest.fixture
def folder(tiny_dataset: Path, tmp_path: Path) -> DatasetFolder:
    """Three complete folds of 2d, whose predictions have a false organ each, and one of three of 3d_fullres."""
    source = load_dataset(tiny_dataset)
    folder = DatasetFolder(tmp_path / "workspace" / source.name)
    write_json(folder.dataset_json, source)
    write_json(folder.fingerprint_json, fingerprint(source.name))
    write_json(folder.plans_json, {})
    write_json(folder.splits_json, [{"train": [], "val": [case]} for case in CASES])
    for name in ("2d", "3d_fullres"):
        write_json(folder.model(name, "default").model_json, {"flags": ["--epochs", "3"]})
    for fold in range(3):
        write_fold(folder, "2d", fold, speck=True)
    write_fold(folder, "3d_fullres", 0, speck=False)
    return folder


def measured(folder: object, known: object, validated: list[list[str]], *rest: object) -> dict[str, list[OnCase]]:
    """In place of networks, which these folds have none of: without mirroring, Dice falls by 0.0015 in each case."""
    return {name: [OnCase(way=Way(axes=axes), evaluations=2 ** len(axes), cost=2 ** len(axes), seconds=1, dice=dice, nsd=0.9)
                   for axes, dice in (((0, 1), 0.9), ((), 0.8985))] for names in validated for name in names}


@pytest.fixture(autouse=True)
def measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_task().ways, "measure_ways", measured, raising=False)


def choose(folder: DatasetFolder) -> Best:
    return find_best(folder.name, workspace=folder.root.parent, quiet=True).best


def test_the_complete_model_is_chosen_with_the_rule_that_mends_it_and_the_other_is_left_out(folder: DatasetFolder) -> None:
    result = find_best(folder.name, workspace=folder.root.parent, quiet=True)
    assert result.best.name == "2d" and [tried.says for tried in result.best.rules if tried.accepted] == [
        "keep the largest component of organ"]
    assert [lack.words for lack in result.left_out["3d_fullres, default"]] == ["folds 1, 2 are missing"]
    assert "-c 3d_fullres --epochs 3" in result.left_out["3d_fullres, default"][0].command
    assert result.best == read_model(folder.best_of(INFO), Best) == read_model(folder.model("2d", "default").best_json, Best)
    assert not folder.model("3d_fullres", "default").best_json.exists()
    assert read_model(folder.postprocessed / "summary.json", Summary).foreground_mean["Dice"] == 1
    assert read_model(folder.model("2d", "default").summary_json, Summary).foreground_mean["Dice"] < 1


def test_a_choice_is_of_today_as_long_as_models_and_weights_are_the_same(folder: DatasetFolder) -> None:
    two, three = folder.model("2d", "default"), folder.model("3d_fullres", "default")
    assert not is_current(folder, default_task(), [two])
    choose(folder)
    assert is_current(folder, default_task(), [two])
    for fold in (1, 2):
        write_fold(folder, "3d_fullres", fold, speck=False)
    assert not is_current(folder, default_task(), [two, three])
    find_best(folder.name, ensembles=False, workspace=folder.root.parent, quiet=True)
    assert not is_current(folder, default_task(), [two, three])  # their pair was not compared
    write_text(two.fold(0).checkpoint_final, "trained anew")
    assert not is_current(folder, default_task(), [two])


def test_labels_that_were_corrected_are_compared_anew(folder: DatasetFolder) -> None:
    """The user sees on the report that a reference was wrong, and draws the voxel that the model had found."""
    before = choose(folder)
    label = read_model(folder.dataset_json, Dataset).training[0].label
    assert label is not None
    corrected = read_label(label)
    corrected.array[0, 0, 5, 0] = 1
    write_label(label, corrected.array[0].astype(np.uint8), like=corrected)
    assert not is_current(folder, default_task(), [folder.model("2d", "default")])
    after = choose(folder)
    assert is_current(folder, default_task(), [folder.model("2d", "default")])
    kept = (2 * 8 / (8 + 9), (1 + 2 * 2 * 8 / (8 + 9)) / 3)  # organ: 8 voxels, 9 predicted; then one case is right
    assert [best.candidates[0].classes["1"] for best in (before, after)] == pytest.approx(kept)


def test_cases_that_the_dataset_lost_are_named(folder: DatasetFolder) -> None:
    content = json.loads(folder.dataset_json.read_text())
    content["training"].pop(1)
    folder.dataset_json.write_text(json.dumps(content))
    with pytest.raises(AutosegError, match=r"cross-validation of 2d holds 1 case that .* does not have any more: tiny_1"):
        choose(folder)


def test_a_validation_prediction_that_is_gone_is_named_with_the_way_to_make_it_again(folder: DatasetFolder) -> None:
    (folder.model("2d", "default").fold(1).validation / "tiny_1.nii.gz").unlink()
    with pytest.raises(AutosegError, match=r"1 of 3 validation predictions are gone.*tiny_1.nii.gz") as error:
        choose(folder)
    assert f"To make them again: autoseg_train {folder.name} 1 -c 2d --continue" in str(error.value)


def test_without_any_complete_model_the_commands_are_listed(folder: DatasetFolder) -> None:
    shutil.rmtree(folder.model("2d", "default").fold(2).root)
    with pytest.raises(AutosegError, match="No model of .* a complete cross-validation: 2d, default: fold 2 is miss") as error:
        choose(folder)
    assert f"autoseg_train {folder.name} 2 -c 2d --epochs 3 --workspace" in str(error.value)
    folder.splits_json.unlink()  # as where only the fold "all" was trained
    with pytest.raises(AutosegError, match="no fold of a cross-validation has been trained yet. Run: autoseg_train .* 0 1 2 3 4"):
        choose(folder)


def test_the_way_to_predict_is_chosen_after_the_models(folder: DatasetFolder) -> None:
    ways = choose(folder).ways
    assert ways is not None and ways.cases == 3 and ways.chosen_way is ways.full and ways.fastest_way.way.axes == ()
    assert read_model(folder.best_of(INFO), Best).ways == read_model(folder.model("2d", "default").best_json, Best).ways == ways
    looser = find_best(folder.name, workspace=folder.root.parent, quiet=True, not_worse=0.002).best.ways
    assert looser is not None and looser.chosen_way.way.axes == () and looser.not_worse == 0.002
    for wrong in (-0.001, 1, float("nan")):
        with pytest.raises(AutosegError, match="must be from 0 to 1: a share of Dice and NSD"):
            find_best(folder.name, workspace=folder.root.parent, quiet=True, not_worse=wrong)
    assert find_best(folder.name, workspace=folder.root.parent, quiet=True, cheaper_ways=False).best.ways is None


def test_where_measuring_is_stopped_the_choice_holds_in_full_and_is_not_finished(
    folder: DatasetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    choose(folder)
    monkeypatch.setattr(default_task().ways, "measure_ways", stopped, raising=False)
    with pytest.raises(KeyboardInterrupt):
        choose(folder)
    assert read_model(folder.best_of(INFO), Best).ways is None
    assert not is_current(folder, default_task(), [folder.model("2d", "default")])


def test_a_choice_that_an_older_version_wrote_is_read(folder: DatasetFolder) -> None:
    choose(folder)
    content = json.loads(folder.best_of(INFO).read_text())
    del content["ways"]
    folder.best_of(INFO).write_text(json.dumps(content))
    assert read_model(folder.best_of(INFO), Best).ways is None
