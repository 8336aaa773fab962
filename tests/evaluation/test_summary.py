"""Folders of predictions against folders of references: nnU-Net's form, and one bad case that stops no other."""

from __future__ import annotations

import csv
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
from autoseg.evaluation.confidence import bootstrap_interval
from autoseg.evaluation.summary import (
    Pair,
    Summary,
    evaluate_folder,
    evaluate_pairs,
    has_several_lesions,
    pooled_summary,
    write_csv,
    write_summary,
)
from autoseg.evaluation.tables import cases_table, failures_table, summary_table
from autoseg.image import Geometry, Image
from autoseg.image_io import write_label
from autoseg.workspace import read_model, write_json

LABELS = Labels(values={"background": 0, "organ": 1, "lesion": 2, "cyst": 3})
GRID = Geometry((5.0, 2.0, 1.0))  # a voxel is 0.01 ml


def write(path: Path, values: list[int], geometry: Geometry = GRID) -> None:
    array = np.array(values, np.uint8).reshape(1, 2, -1)
    write_label(path, array, Image(array[None], geometry))


def shown(table: Table, width: int = 160) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    return " ".join(console.export_text().replace("│", " ").split())


def same(one: Summary, other: Summary) -> bool:
    """Also where both hold nan, which equals nothing."""
    return repr(one) == repr(other)


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
    nnunets = {"Dice": pytest.approx(2 / 3), "IoU": 0.5, "FN": 1, "FP": 1, "TN": 4, "TP": 2, "n_pred": 3, "n_ref": 3}
    assert nnunets.keys() <= content["foreground_mean"].keys() == content["mean"]["2"].keys()
    first = content["metric_per_case"][0]
    assert {name: first["metrics"]["1"][name] for name in nnunets} == nnunets
    assert first["prediction_file"] == str(folders[1] / "a.nii.gz") and first["reference_file"] == str(folders[0] / "a.nii.gz")
    assert isinstance(first["metrics"]["1"]["TP"], int) and math.isnan(first["metrics"]["3"]["Dice"])
    assert same(read_model(tmp_path / "summary.json", Summary), summary)


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
    assert same(evaluate_folder(*folders, LABELS, workers=2), alone)


@pytest.fixture
def one_sided(folders: tuple[Path, Path]) -> Summary:
    """As `folders`, with a case c whose lesions (two) are missed, and d with a lesion that is none."""
    reference, prediction = folders
    write(reference / "c.nii.gz", [1, 0, 0, 0, 2, 0, 0, 2])
    write(prediction / "c.nii.gz", [1, 0, 0, 0, 0, 0, 0, 0])
    write(reference / "d.nii.gz", [1, 0, 0, 0, 0, 0, 0, 0])
    write(prediction / "d.nii.gz", [1, 0, 0, 0, 0, 0, 0, 2])
    return evaluate_folder(reference, prediction, LABELS)


def test_surface_distances_and_lesions_are_as_worked_out_by_hand(folders: tuple[Path, Path]) -> None:
    """Case a, pixels of 2 × 1 mm, organ: (0,1) (0,2) (1,1) against (0,1) (1,0) (1,1): (0,2) and (1,0) are 1 mm off."""
    organ = evaluate_folder(*folders, LABELS, tolerance_mm=0.5).metric_per_case[0].metrics["1"]
    assert organ["ASSD"] == pytest.approx(2 / 6) and organ["NSD"] == pytest.approx(4 / 6)
    assert organ["HD95"] == pytest.approx(0.9)  # of 0, 0, 1: nine tenths of the way from the second to the third
    assert (organ["volume_error_ml"], organ["lesion_F1"], organ["lesion_TP"]) == (0, 1, 1)


def test_infinite_distances_are_left_out_of_the_means_and_counted(one_sided: Summary) -> None:
    lesion = one_sided.mean["2"]
    distances = [case.metrics["2"]["HD95"] for case in one_sided.metric_per_case]
    assert distances[2:] == [math.inf, math.inf] and math.isnan(distances[1]) and lesion["HD95"] == distances[0]
    assert one_sided.missed == {"1": 0, "2": 1, "3": 0} and one_sided.false_alarms == {"1": 0, "2": 1, "3": 0}
    assert lesion["Dice"] == pytest.approx((2 / 3 + 0 + 0) / 3) and lesion["lesion_F1"] == pytest.approx(1 / 3)
    assert lesion["volume_error_ml"] == pytest.approx((0 + 0 - 0.02 + 0.01) / 4)
    assert lesion["absolute_volume_error_ml"] == pytest.approx((0 + 0 + 0.02 + 0.01) / 4)


def test_a_summary_with_infinite_and_undefined_values_is_read_back_as_it_was(one_sided: Summary, tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.json", one_sided)
    assert "Infinity" in (tmp_path / "summary.json").read_text()
    assert same(read_model(tmp_path / "summary.json", Summary), one_sided)


def test_means_have_bootstrap_intervals_over_the_cases(one_sided: Summary) -> None:
    dice = [case.metrics["1"]["Dice"] for case in one_sided.metric_per_case]
    assert one_sided.confidence["1"]["Dice"] == pytest.approx(bootstrap_interval(dice))
    low, high = one_sided.foreground_confidence["Dice"]
    assert low < one_sided.foreground_mean["Dice"] < high
    assert math.isnan(one_sided.confidence["2"]["HD95"][0])  # one case alone has a finite one


def test_the_csv_has_a_row_for_each_case_and_class(one_sided: Summary, tmp_path: Path) -> None:
    write_csv(tmp_path / "summary.csv", one_sided)
    with open(tmp_path / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["class"], row["name"]) for row in rows[:4]] == [
        ("a", "1", "organ"), ("a", "2", "lesion"), ("a", "3", "cyst"), ("b", "1", "organ")]
    assert len(rows) == 12 and float(rows[0]["Dice"]) == one_sided.metric_per_case[0].metrics["1"]["Dice"]
    assert (rows[0]["TP"], rows[0]["tolerance_mm"], float(rows[0]["reference_ml"])) == ("2", "2.0", pytest.approx(0.03))
    assert (rows[2]["Dice"], rows[2]["HD95"]) == ("", "") and rows[7]["HD95"] == "inf"


def test_folds_are_pooled_as_if_their_cases_had_been_evaluated_together(folders: tuple[Path, Path], one_sided: Summary) -> None:
    reference, prediction = folders
    pairs = [Pair(case, reference / f"{case}.nii.gz", prediction / f"{case}.nii.gz") for case in "abcd"]
    folds = [evaluate_pairs(pairs[2:], LABELS, {"e": "lost"}), evaluate_pairs(pairs[:2], LABELS)]
    assert same(pooled_summary(folds), one_sided.model_copy(update={"failed": {"e": "lost"}, "made_from": ""}))


def test_a_case_in_two_folds_and_unlike_tolerances_are_not_pooled(folders: tuple[Path, Path]) -> None:
    summary = evaluate_folder(*folders, LABELS)
    with pytest.raises(AutosegError, match="case a is in two of the summaries"):
        pooled_summary([summary, summary])
    with pytest.raises(AutosegError, match="2 mm, 3 mm"):
        pooled_summary([summary, evaluate_folder(*folders, LABELS, tolerance_mm=3.0)])


def test_summaries_of_earlier_versions_are_still_read_pooled_and_shown(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_summary(tmp_path / "new.json", evaluate_folder(*folders, LABELS))
    content = json.loads((tmp_path / "new.json").read_text())
    kept = {"Dice", "FN", "FP", "IoU", "TN", "TP", "n_pred", "n_ref"}
    for metrics in (content["foreground_mean"], *content["mean"].values(),
                    *(of_class for case in content["metric_per_case"] for of_class in case["metrics"].values())):
        for name in set(metrics) - kept:
            del metrics[name]
    for name in ("confidence", "foreground_confidence", "missed", "false_alarms", "tolerance_mm"):
        del content[name]
    write_json(tmp_path / "old.json", content)
    old = read_model(tmp_path / "old.json", Summary)
    assert "organ 0.833 0.750 - - - - 2" in shown(summary_table(old))
    pooled = pooled_summary([old])
    assert pooled.mean["1"]["Dice"] == pytest.approx(5 / 6) and math.isnan(pooled.mean["1"]["HD95"])
    write_csv(tmp_path / "old.csv", pooled)


@pytest.mark.parametrize("labels", [LABELS, None])
def test_without_a_readable_case_or_any_class_there_is_a_summary_still(folders: tuple[Path, Path], labels: Labels | None) -> None:
    reference, prediction = folders
    write(reference / "empty.nii.gz", [0] * 8)
    write(prediction / "empty.nii.gz", [0] * 8)
    pair = Pair("empty", reference / "empty.nii.gz", prediction / "empty.nii.gz")
    nothing_there = evaluate_pairs([pair], labels)
    nothing_read = evaluate_pairs([pair._replace(prediction=prediction / "absent.nii.gz")], labels)
    for summary in (nothing_there, nothing_read, pooled_summary([nothing_there]), pooled_summary([])):
        assert math.isnan(summary.foreground_mean["Dice"]) and "foreground - " in shown(summary_table(summary))
    assert list(nothing_read.failed) == ["empty"] and nothing_read.metric_per_case == ()


def test_a_tolerance_that_is_no_distance_is_refused(folders: tuple[Path, Path]) -> None:
    for tolerance_mm in (-1.0, math.nan, math.inf):
        with pytest.raises(AutosegError, match="expected 0 or a positive number"):
            evaluate_folder(*folders, LABELS, tolerance_mm=tolerance_mm)


def test_cases_are_reported_as_they_are_done(folders: tuple[Path, Path]) -> None:
    seen: list[tuple[float, str]] = []
    evaluate_folder(*folders, LABELS, report=lambda share, text: seen.append((share, text)))
    assert seen == [(0.5, "case a"), (1.0, "case b")]


def test_the_tables_can_be_read(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "c.nii.gz", [1] * 8)
    summary = evaluate_folder(*folders, LABELS)
    text = shown(summary_table(summary))
    assert "organ 0.833 (0.667-1.000) 0.750 0.45 0.167 1.000 0 2" in text
    assert "cyst - - - - - 0 0" in text and "foreground 0.750 (0.667-1.000) 0.625" in text
    assert "lesion F1" not in text and "missed" not in text
    text = shown(cases_table(summary))
    assert "a 0.667 0.667 0.667 -" in text and "b 1.000 1.000 - -" in text
    assert "c no prediction in" in shown(failures_table(summary.failed))


def test_lesions_and_one_sided_cases_are_shown_where_there_are_any(one_sided: Summary) -> None:
    assert [key for key in one_sided.mean if has_several_lesions(one_sided, key)] == ["2"]
    table = summary_table(one_sided)
    text = shown(table, width=100)
    assert "…" not in text and "lesion cases missed/" in text
    assert "0.333 2 1/1" in text and "organ" in text and "0/0" in text


def test_without_dataset_json_classes_are_called_by_their_value(folders: tuple[Path, Path]) -> None:
    assert "1 0.833" in shown(summary_table(evaluate_folder(*folders)))
