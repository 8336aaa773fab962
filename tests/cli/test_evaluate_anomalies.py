"""autoseg evaluate of anomaly scores: every form of the truth, what it writes, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from autoseg.cli.main import main
from autoseg.evaluation.csv_table import write_rows
from autoseg.tasks.anomaly.scores import CaseScore, SliceScore

SCORES = {"n1": 1.0, "n2": 2.0, "n3": 3.0, "a1": 2.5, "a2": 4.0}


@pytest.fixture
def prediction(tmp_path: Path) -> Path:
    """Scores of five pictures. Of the six pairs of an abnormal and a normal one, five are in the right order."""
    folder = tmp_path / "out"
    write_rows(folder / "slice_scores.csv", SliceScore, [
        SliceScore(case=case, slice=0, score=score, residual=score, discrimination=0.0, steps=3)
        for case, score in SCORES.items()])
    write_rows(folder / "scores.csv", CaseScore, [
        CaseScore(case=case, score=score, mean=score, highest=score, highest_slice=0, slices=1)
        for case, score in SCORES.items()])
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Folders normal and abnormal."""
    for case in SCORES:
        path = tmp_path / "pictures" / {"n": "normal", "a": "abnormal"}[case[0]] / f"{case}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)
    return tmp_path / "pictures"


def auroc_in(path: Path) -> float:
    value: float = json.loads(path.read_text())["cases"]["auroc"]
    return value


def test_folders_normal_and_abnormal_are_the_truth(prediction: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(pictures), str(prediction)]) == 0
    shown = capsys.readouterr().out
    assert "How well scores tell abnormal from normal" in shown and "0.833" in shown
    assert f"Wrote {prediction / 'summary.json'} and {prediction / 'scores.png'}" in shown
    assert auroc_in(prediction / "summary.json") == pytest.approx(5 / 6)


def test_a_picture_beside_the_folders_changes_nothing(prediction: Path, pictures: Path) -> None:
    (pictures / "preview.png").write_bytes((pictures / "normal" / "n1.png").read_bytes())
    assert main(["evaluate", str(pictures), str(prediction)]) == 0
    assert auroc_in(prediction / "summary.json") == pytest.approx(5 / 6)


def test_images_in_the_place_of_label_files_are_refused(
    prediction: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(pictures / "normal"), str(prediction), "-np", "1"]) == 1
    shown = capsys.readouterr().err
    assert "Not one of 3 cases could be evaluated" in shown and "n1.png must be an image, and no label file: it holds 64" in shown
    assert "give the folder that holds the folders normal and abnormal" in shown
    assert not (prediction / "summary.json").exists() and not (prediction / "scores.png").exists()


def test_label_files_may_lie_beside_a_dataset_json_that_names_their_values(prediction: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for case in SCORES:
        label = np.full((8, 8), 2, np.uint8)  # to be ignored
        label[0] = case[0] == "a"
        PIL.Image.fromarray(label).save(labels / f"{case}.png")
    (labels / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": "MRI"}, "labels": {"background": 0, "lesion": 1, "ignore": 2}, "file_ending": ".png"}))
    assert main(["evaluate", str(labels), str(prediction), "-np", "1"]) == 0
    assert json.loads((prediction / "summary.json").read_text())["cases"]["abnormal"] == 2


def test_case_labels_in_dataset_json_are_the_truth(prediction: Path, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Dataset001_Words"
    (folder / "imagesTr").mkdir(parents=True)
    for case in SCORES:
        (folder / "imagesTr" / f"{case}_0000.png").write_bytes(next(pictures.glob(f"*/{case}.png")).read_bytes())
    (folder / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": "photograph"}, "labels": {"background": 0}, "file_ending": ".png", "numTraining": len(SCORES),
        "case_labels": {case: {"n": "normal", "a": "abnormal"}[case[0]] for case in SCORES}}))
    (folder / "preview.png").write_bytes((pictures / "normal" / "n1.png").read_bytes())
    assert main(["evaluate", str(folder), str(prediction), "-o", str(tmp_path / "there" / "result.json")]) == 0
    assert auroc_in(tmp_path / "there" / "result.json") == pytest.approx(5 / 6)
    assert (tmp_path / "there" / "scores.png").exists() and not (prediction / "summary.json").exists()


def test_cases_without_truth_and_without_score_are_named(
    prediction: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "truth.csv").write_text("case,truth\nn1,normal\na1,abnormal\ngone,normal\n")
    assert main(["evaluate", str(tmp_path / "truth.csv"), str(prediction)]) == 0
    shown = capsys.readouterr().out
    assert "Note: nothing is known of 3 predicted cases: a2, n2, n3." in shown
    assert "Note: 1 case of which the truth is known has no score: gone." in shown
    assert "No interval: only one normal case." in shown


def test_a_label_that_cannot_be_read_is_listed_and_makes_the_command_fail(
    prediction: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for case in SCORES:
        label = np.full((8, 8), case[0] == "a", np.uint8)
        PIL.Image.fromarray(label).save(labels / f"{case}.png")
    (labels / "n1.png").write_bytes(b"")
    assert main(["evaluate", str(labels), str(prediction), "-np", "1"]) == 1
    shown = capsys.readouterr()
    assert "Error: 1 of 5 cases could not be evaluated" in shown.err and "n1.png" in shown.out
    assert auroc_in(prediction / "summary.json") == pytest.approx(3 / 4)  # n2 and n3 against a1 and a2


@pytest.mark.parametrize("arguments, message", [
    (["TRUTH", "OUT", "--tolerance-mm", "1"], "for segmentation models, but the model meant here is an anomaly det"),
    (["OTHER", "OUT"], "Nothing is known of any case"),
    (["MISSING", "OUT"], "is no folder"),
])
def test_bad_input_is_one_clear_sentence(
    prediction: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "truth.csv").write_text("case,truth\nn1,normal\n")
    (tmp_path / "other.csv").write_text("case,truth\nx,normal\n")
    places = {"TRUTH": tmp_path / "truth.csv", "OTHER": tmp_path / "other.csv", "MISSING": tmp_path / "gone", "OUT": prediction}
    assert main(["evaluate", *(str(places.get(word, word)) for word in arguments), "--workspace", str(tmp_path / "w")]) == 1
    shown = capsys.readouterr()
    assert message in shown.err and "Traceback" not in shown.err
    assert not (prediction / "summary.json").exists()


def test_the_table_of_a_segmentation_is_not_taken_for_anomaly_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label = np.eye(8, dtype=np.uint8)
    for folder in ("reference", "prediction"):
        (tmp_path / folder).mkdir()
        PIL.Image.fromarray(label).save(tmp_path / folder / "case.png")
    arguments = ["evaluate", str(tmp_path / "reference"), str(tmp_path / "prediction"), "-np", "1"]
    assert main([*arguments, "-o", str(tmp_path / "prediction" / "scores.json")]) == 0
    assert (tmp_path / "prediction" / "scores.csv").exists()
    assert main(arguments) == 0
    assert "Dice" in json.loads((tmp_path / "prediction" / "summary.json").read_text())["foreground_mean"]


def test_damaged_scores_are_named_with_the_line(prediction: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "truth.csv").write_text("case,truth\nn1,normal\n")
    (prediction / "slice_scores.csv").write_text("case,slice\nn1,0\n")
    assert main(["evaluate", str(tmp_path / "truth.csv"), str(prediction)]) == 1
    assert "slice_scores.csv has the columns case, slice. Expected the columns case, slice, score" in capsys.readouterr().err
