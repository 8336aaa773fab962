"""Folders of predictions against folders of references: nnU-Net's form, and one bad case that stops no other."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.summary import Summary, evaluate_folder, write_summary
from autoseg.evaluation.tables import cases_table, failures_table, summary_table
from autoseg.image import Geometry, Image
from autoseg.image_io import write_label
from autoseg.workspace import read_model, write_json

LABELS = Labels(values={"background": 0, "organ": 1, "lesion": 2, "cyst": 3})
GRID = Geometry((5.0, 2.0, 1.0))  # a voxel is 0.01 ml


def write(path: Path, values: list[int], geometry: Geometry = GRID) -> None:
    array = np.array(values, np.uint8).reshape(1, 2, -1)
    write_label(path, array, Image(array[None], geometry))


def shown(table: Table) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table)
    return " ".join(console.export_text().replace("│", " ").split())


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """References and predictions of two cases: a has organ and lesion, b has organ alone, and nobody has a cyst."""
    reference, prediction = tmp_path / "labelsTs", tmp_path / "predictions"
    write(reference / "a.nii.gz", [0, 1, 1, 2, 0, 1, 2, 2])
    write(prediction / "a.nii.gz", [0, 1, 2, 2, 1, 1, 0, 2])
    write(reference / "b.nii.gz", [0, 0, 0, 0, 1, 1, 1, 1])
    write(prediction / "b.nii.gz", [0, 0, 0, 0, 1, 1, 1, 1])
    return reference, prediction


def test_the_summary_is_as_worked_out_by_hand(folders: tuple[Path, Path]) -> None:
    summary = evaluate_folder(*folders, LABELS)
    assert summary.mean["1"]["Dice"] == pytest.approx((2 / 3 + 1) / 2)
    assert summary.mean["2"]["Dice"] == pytest.approx(2 / 3)  # b has none: left out of the mean
    assert math.isnan(summary.mean["3"]["Dice"])
    assert summary.foreground_mean["Dice"] == pytest.approx((5 / 6 + 2 / 3) / 2)  # the absent class is left out
    assert summary.foreground_mean["IoU"] == pytest.approx((0.75 + 0.5) / 2)
    assert summary.mean["1"]["TP"] == 3 and summary.failed == {}
    assert summary.metric_per_case[0].volumes_ml["1"].prediction == pytest.approx(0.03)
    assert summary.metric_per_case[1].volumes_ml["1"].reference == pytest.approx(0.04)


def test_the_file_has_nnunets_form_and_is_read_back(folders: tuple[Path, Path], tmp_path: Path) -> None:
    summary = evaluate_folder(*folders, LABELS)
    write_summary(tmp_path / "summary.json", summary)
    content = json.loads((tmp_path / "summary.json").read_text())
    names = ["Dice", "FN", "FP", "IoU", "TN", "TP", "n_pred", "n_ref"]
    assert sorted(content["foreground_mean"]) == sorted(content["mean"]["2"]) == names
    first = content["metric_per_case"][0]
    assert first["metrics"]["1"] == {
        "Dice": pytest.approx(2 / 3), "IoU": 0.5, "FN": 1, "FP": 1, "TN": 4, "TP": 2, "n_pred": 3, "n_ref": 3}
    assert first["prediction_file"] == str(folders[1] / "a.nii.gz") and first["reference_file"] == str(folders[0] / "a.nii.gz")
    assert isinstance(first["metrics"]["1"]["TP"], int) and math.isnan(first["metrics"]["3"]["Dice"])
    assert read_model(tmp_path / "summary.json", Summary).mean["1"] == summary.mean["1"]


def test_a_missing_prediction_another_grid_and_a_broken_file_stop_no_other_case(folders: tuple[Path, Path]) -> None:
    reference, prediction = folders
    (prediction / "b.nii.gz").unlink()
    for case, geometry in (("c", Geometry((5.0, 2.0, 3.0))), ("d", GRID), ("e", GRID)):
        write(reference / f"{case}.nii.gz", [1] * 8)
        write(prediction / f"{case}.nii.gz", [1] * 8, geometry)
    write(prediction / "d.nii.gz", [1] * 6)
    (prediction / "e.nii.gz").write_text("no image")
    summary = evaluate_folder(reference, prediction, LABELS)
    assert [case.case for case in summary.metric_per_case] == ["a"]
    assert list(summary.failed) == ["b", "c", "d", "e"]
    assert "no prediction in" in summary.failed["b"]
    assert "does not lie on the grid" in summary.failed["c"] and "spacing_mm (5.0, 2.0, 3.0)" in summary.failed["c"]
    assert "shape (z, y, x) (1, 2, 3) against (1, 2, 4)" in summary.failed["d"]
    assert "e.nii.gz" in summary.failed["e"]
    assert summary.mean["1"]["Dice"] == pytest.approx(2 / 3)


def test_endings_may_differ_and_folders_without_common_names_are_told(folders: tuple[Path, Path], tmp_path: Path) -> None:
    reference, prediction = folders
    write(tmp_path / "other/a.nrrd", [0, 1, 2, 2, 1, 1, 0, 2])
    assert evaluate_folder(reference, tmp_path / "other", LABELS).mean["1"]["TP"] == 2
    write(tmp_path / "strange/z.nii.gz", [0] * 8)
    with pytest.raises(AutosegError, match=r"Predictions: z.nii.gz; references: a.nii.gz, b.nii.gz"):
        evaluate_folder(reference, tmp_path / "strange", LABELS)
    with pytest.raises(AutosegError, match="is no folder"):
        evaluate_folder(reference, tmp_path / "absent", LABELS)
    write(prediction / "a.nrrd", [0] * 8)
    with pytest.raises(AutosegError, match="both called a"):
        evaluate_folder(reference, prediction, LABELS)


def test_labels_come_from_a_dataset_json_beside_the_references_or_from_the_files(folders: tuple[Path, Path]) -> None:
    reference, prediction = folders
    assert list(evaluate_folder(reference, prediction).mean) == ["1", "2"]
    write_json(reference.parent / "dataset.json", {"labels": {"background": 0, "organ": [1, 2], "lesion": 2},
                                                   "regions_class_order": [1, 2]})
    assert list(evaluate_folder(reference, prediction).mean) == ["(1, 2)", "2"]


def test_several_processes_give_the_same(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    alone = evaluate_folder(*folders, LABELS)
    monkeypatch.setattr("autoseg.evaluation.summary.WORTH_A_PROCESS", -1)
    both = evaluate_folder(*folders, LABELS, workers=2)
    assert both.foreground_mean == alone.foreground_mean
    assert [case.case for case in both.metric_per_case] == ["a", "b"]


def test_the_tables_can_be_read(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "c.nii.gz", [1] * 8)
    summary = evaluate_folder(*folders, LABELS)
    text = shown(summary_table(summary))
    assert "organ 0.833 0.750 0.035 0.035 2" in text and "cyst nan nan 0 0 0" in text and "foreground 0.750 0.625" in text
    text = shown(cases_table(summary))
    assert "a 0.667 0.667 0.667 nan" in text and "b 1.000 1.000 nan nan" in text
    assert "c no prediction in" in shown(failures_table(summary))


def test_without_dataset_json_classes_are_called_by_their_value(folders: tuple[Path, Path]) -> None:
    assert "1 0.833" in shown(summary_table(evaluate_folder(*folders)))
