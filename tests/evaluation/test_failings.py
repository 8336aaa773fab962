"""A model that does not do at all what it is for is said to, by each task in its own words; by results worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.api.common import failings_of
from autoseg.api.tasks import TASKS, default_task
from autoseg.cli.main import main
from autoseg.dataset import load_labels
from autoseg.evaluation.summary import Pair, Summary, evaluate_pairs, pooled_summary, write_summary
from autoseg.image_io import read_label, write_label
from autoseg.tasks.anomaly.evaluation import failings as failings_of_anomaly
from autoseg.tasks.anomaly.scores import CaseScore
from autoseg.tasks.anomaly.summary import summarize
from autoseg.tasks.localization.evaluation import failings as failings_of_localization
from autoseg.tasks.localization.summary import LocationSummary
from autoseg.tasks.segmentation.evaluation import failings
from autoseg.workspace import ModelFolder


def results(dataset: Path, predicted: dict[str, Any]) -> Summary:
    """The results of predictions that are the reference's labels in `keep`."""
    pairs = []
    for name, keep in predicted.items():
        reference = dataset / "labelsTr" / f"{name}.nii.gz"
        label = read_label(reference)
        path = dataset.parent / "predicted" / reference.name
        write_label(path, np.where(np.isin(label.array[0], keep), label.array[0], 0).astype(np.uint8), label)
        pairs.append(Pair(name, reference, path))
    return evaluate_pairs(pairs, load_labels(dataset / "dataset.json"))


def test_classes_that_a_segmentation_never_finds_are_named(tiny_dataset: Path) -> None:
    assert failings(results(tiny_dataset, {"tiny_0": [1, 2], "tiny_1": [1]})) == {}  # found once
    found = failings(results(tiny_dataset, {"tiny_0": [1], "tiny_1": [1]}))
    assert list(found) == ["lesion"] and "predicted in none of 2 validation cases" in found["lesion"]
    assert list(failings(results(tiny_dataset, {"tiny_0": []}))) == ["organ", "lesion"]


def test_classes_that_no_prediction_holds_are_a_field_of_the_summary(tiny_dataset: Path) -> None:
    assert results(tiny_dataset, {"tiny_0": [1, 2], "tiny_1": [1]}).never_predicted == ()
    never = results(tiny_dataset, {"tiny_0": [1], "tiny_1": [1]})
    assert never.never_predicted == ("2",) and pooled_summary([never]).never_predicted == ("2",)
    path = tiny_dataset.parent / "predicted" / "tiny_0.nii.gz"
    label = read_label(path)
    label.array[0, 0, 0, 0] = 2  # where no lesion is
    write_label(path, label.array[0], label)
    elsewhere = evaluate_pairs([Pair("tiny_0", tiny_dataset / "labelsTr" / path.name, path)],
                               load_labels(tiny_dataset / "dataset.json"))
    assert elsewhere.never_predicted == () and "mean Dice is 0.000 in 1 validation case" in failings(elsewhere)["lesion"]


def test_a_class_that_no_case_holds_is_no_failing(tiny_dataset: Path) -> None:
    path = tiny_dataset / "labelsTr" / "tiny_0.nii.gz"
    label = read_label(path)
    label.array[label.array == 2] = 0
    write_label(path, label.array[0].astype(np.uint8), label)
    assert failings(results(tiny_dataset, {"tiny_0": [1]})) == {}


@pytest.mark.parametrize(("scores", "says"), [((3.0, 1.0), True), ((2.0, 2.0), True), ((1.0, 3.0), False)])
def test_a_detector_that_is_no_better_than_chance_is_told(scores: tuple[float, float], says: bool) -> None:
    cases = [CaseScore(case=truth, score=score, mean=score, highest=score, highest_slice=0, slices=1, truth=truth)
             for truth, score in zip(("normal", "abnormal"), scores, strict=True)]
    assert bool(failings_of_anomaly(summarize(cases, []))) == says


def test_a_locator_that_finds_no_level_is_told() -> None:
    assert "none of 3 validation cases" in failings_of_localization(LocationSummary(cases=3, found=0))[""]
    assert not failings_of_localization(LocationSummary(cases=3, found=1))
    assert not failings_of_localization(LocationSummary(cases=0, found=0))


def test_of_several_folds_a_model_fails_where_all_do(tiny_dataset: Path, tmp_path: Path) -> None:
    model = ModelFolder(tmp_path / "model")
    for fold, keep in (("0", []), ("1", [1])):
        folder = model.fold(fold)
        folder.checkpoint_final.parent.mkdir(parents=True)
        folder.checkpoint_final.touch()
        write_summary(folder.summary_json, results(tiny_dataset, {"tiny_0": keep}))
    assert [text.split(":")[0] for text in failings_of(default_task(), model)] == ["Nothing of lesion is found"]
    assert all(task.evaluation.SUMMARY is not None for task in TASKS)


def test_predicting_with_a_model_that_finds_nothing_says_so(
    tiny_dataset: Path, tmp_path: Path, save_model: Any, describe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_model(tmp_path, describe(labels=load_labels(tiny_dataset / "dataset.json")))
    write_summary(model.fold(0).summary_json, results(tiny_dataset, {"tiny_0": [1]}))
    assert main(["predict", "-i", str(tiny_dataset / "imagesTs"), "-o", str(tmp_path / "out"), "-m", str(model.root)]) == 0
    assert "Warning: Nothing of lesion is found" in capsys.readouterr().out
