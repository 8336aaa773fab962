"""A gate flags what is unlike the normal validation cases, says so, and leaves nothing out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from autoseg.api import predict_files
from autoseg.errors import AutosegError
from autoseg.tasks.anomaly.detector import AnomalyDetector
from autoseg.tasks.anomaly.gate import threshold_of


def rows(out: Path) -> dict[str, dict[str, str]]:
    with open(out / "gate.csv", newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_the_threshold_is_a_percentile_of_the_normal_validation_cases_of_all_folds(place: Any) -> None:
    folder = place.add_detector(folds=("0", "1"), normal_scores=range(1, 11))  # in each fold 1..10, and an abnormal one of 1e6
    found = threshold_of(folder, ("0", "1"), 50)
    assert (found.score, found.cases, found.warning) == (5.5, 20, None)
    assert threshold_of(folder, ("0",), 100).score == 10
    assert threshold_of(folder, ("0",)).score == pytest.approx(9 + 0.91)  # 0.99 × 9 = 8.91 steps from the lowest
    assert "comes from 10 normal validation cases. Fewer than 20" in (threshold_of(folder, ("0",)).warning or "")
    for percentile in (0, 100.5, float("nan")):
        with pytest.raises(AutosegError, match="lies above 0 and is 100 at most"):
            threshold_of(folder, ("0",), percentile)


def test_without_scores_of_normal_cases_there_is_no_gate(place: Any) -> None:
    with pytest.raises(AutosegError, match=r"no validation scores of normal cases, .*case_labels .*folder normal.*--normal all"):
        threshold_of(place.add_detector(), ("0",))


def test_flagged_cases_are_named_and_segmented_all_the_same(
    place: Any, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.add_segmentation()
    detector, out = place.add_detector(normal_scores=[0.0]), tmp_path / "out"
    assert place.run("-i", volumes, "-o", out, "--gate", detector.root) == 0
    said = capsys.readouterr().out
    assert "Gate: Dataset001_Tiny, slices, anogan, fold 0 (" in said
    assert "above 0 (percentile 99 of 1 normal validation case)" in said
    assert "Note: the gate's threshold comes from 1 normal validation case." in said
    assert "gate.csv: 2 of 2 images flagged as unlike the gate's training data.\n  a: score " in said
    assert (out / "a.nii.gz").exists() and (out / "b.nii.gz").exists()
    table = rows(out)
    assert list(table["a"]) == ["case", "score", "threshold", "flagged", "highest_slice", "problem"]
    assert table["a"]["flagged"] == "True" and float(table["a"]["score"]) > 0 and table["a"]["problem"] == ""


def test_a_gate_csv_of_the_user_stays(place: Any, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place.add_segmentation()
    detector, out = place.add_detector(normal_scores=[0.0]), tmp_path / "out"
    out.mkdir()
    (out / "gate.csv").write_text("mine\n")
    for flags in ((), ("--overwrite",)):
        assert place.run("-i", volumes, "-o", out, "--gate", detector.root, *flags) == 1
        assert "gate.csv is there, but autoseg did not make it" in capsys.readouterr().err
    assert (out / "gate.csv").read_text() == "mine\n"


def test_a_second_run_scores_only_what_has_no_score_by_this_gate(
    place: Any, volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[str] = []
    score_image = AnomalyDetector.score_image
    monkeypatch.setattr(AnomalyDetector, "score_image", lambda self, image, case, progress=None: (
        scored.append(case), score_image(self, image, case, progress))[1])
    place.add_segmentation()
    detector = place.add_detector(normal_scores=[1e5] * 20)

    def run(**more: Any) -> Any:
        return predict_files(volumes, tmp_path / "out", gate=detector.root, workspace=place.workspace.root, quiet=True, **more)

    result = run()
    assert scored == ["a", "b"] and result.gate.flagged == {} and result.gate.cases == 2
    before = rows(tmp_path / "out")
    (tmp_path / "out" / "gate.csv").unlink()
    assert run().already_there == 2 and scored == ["a", "b"] and rows(tmp_path / "out") == before
    (volumes / "a.nii.gz").write_bytes((volumes / "b.nii.gz").read_bytes())
    run()
    assert scored == ["a", "b", "a"] and rows(tmp_path / "out")["a"]["score"] != before["a"]["score"]
    run(gate_percentile=50)  # another gate
    assert scored == ["a", "b", "a", "a", "b"]


def test_an_image_scored_anew_leaves_the_rows_of_the_others(place: Any, volumes: Path, tmp_path: Path) -> None:
    place.add_segmentation()
    out = tmp_path / "out"
    where = ("-o", out, "--gate", place.add_detector(normal_scores=[1e5] * 20).root)
    assert place.run("-i", volumes, *where) == 0
    before = rows(out)
    assert place.run("-i", volumes / "a.nii.gz", *where, "--overwrite") == 0
    assert rows(out) == before
    assert place.run("-i", volumes / "a.nii.gz", *where, "--gate-percentile", "50", "--overwrite") == 0
    assert list(rows(out)) == ["a"]  # by another gate


def test_a_case_that_cannot_be_scored_is_flagged_with_the_reason_and_segmented(
    place: Any, tmp_path: Path, volumes: Path
) -> None:
    place.add_segmentation()
    detector = place.add_detector(channels=2, normal_scores=[1e5] * 20)
    result = predict_files(volumes, tmp_path / "out", gate=detector.root, workspace=place.workspace.root, quiet=True)
    assert list(result.written) == ["a", "b"] and "case a: 1 channel found, but 2 expected" in result.gate.flagged["a"]
    table = rows(tmp_path / "out")
    assert (table["a"]["score"], table["a"]["flagged"]) == ("", "True") and "1 channel found" in table["a"]["problem"]


def test_a_case_that_could_not_be_scored_keeps_its_row_while_others_are_predicted(
    place: Any, tmp_path: Path, volumes: Path
) -> None:
    place.add_segmentation()
    detector = place.add_detector(normal_scores=[1e5] * 20)
    (volumes / "c.nii.gz").write_bytes(b"no image")
    for images in (volumes, volumes / "a.nii.gz"):
        predict_files(images, tmp_path / "out", gate=detector.root, workspace=place.workspace.root, quiet=True)
        assert {case: bool(row["problem"]) for case, row in rows(tmp_path / "out").items()} == {"a": False, "b": False, "c": True}


def test_the_gate_scores_no_more_slices_than_validation_did(place: Any, volumes: Path, tmp_path: Path) -> None:
    place.add_segmentation()
    detector = place.add_detector(normal_scores=[1e5] * 20, validation_slices=1)
    predict_files(volumes, tmp_path / "out", gate=detector.root, workspace=place.workspace.root, quiet=True)
    assert {row["highest_slice"] for row in rows(tmp_path / "out").values()} == {"2"}  # the middle one of four


def test_a_segmentation_model_is_no_gate_and_a_percentile_alone_means_nothing(
    place: Any, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segmenter = place.add_segmentation()
    assert place.run("-i", volumes, "-o", tmp_path / "out", "--gate", segmenter.root) == 1
    wanted = 'holds a model of the task "segmentation", but one of the task "anomaly" is expected with --gate'
    assert wanted in capsys.readouterr().err
    assert place.run("-i", volumes, "-o", tmp_path / "out", "--gate", tmp_path / "nope") == 1
    assert "nope is not a trained model: it has no model.json" in (error := capsys.readouterr().err)
    assert "give the folder that holds model.json with --gate." in error and "-m" not in error
    assert place.run("-i", volumes, "-o", tmp_path / "out", "--gate-percentile", "90") == 1
    assert "--gate-percentile is of --gate" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
