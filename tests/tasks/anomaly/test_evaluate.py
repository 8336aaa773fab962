"""Scores of a folder against what is known, through every form of the truth."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from autoseg.errors import AutosegError
from autoseg.evaluation.csv_table import write_rows
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from autoseg.tasks.anomaly.evaluation import evaluate_scores
from autoseg.tasks.anomaly.figure import draw_scores, groups
from autoseg.tasks.anomaly.reference import Reference, references_of_labels
from autoseg.tasks.anomaly.scores import CaseScore, SliceScore, Truth, case_score
from autoseg.tasks.anomaly.summary import AnomalySummary, scored_cases, summarize
from autoseg.tasks.anomaly.tables import anomaly_table, case_scores_table, in_words
from autoseg.workspace import read_model

GRID = Geometry((3.0, 1.0, 1.0))
SHAPE = (2, 6, 3)  # z, y, x; cut along y
LESIONS = {"normal_1": (), "normal_2": (), "ill_1": (2,), "ill_2": (2, 3)}  # slices along y with foreground


def slices_of(case: str, axis: int | None = 1, truth: Truth | None = None) -> list[SliceScore]:
    """Slice i scores i + 1, twice as much with a lesion; the first one is blank."""
    scores = [None] + [float(i + 1) * (2 if i in LESIONS[case] else 1) for i in range(1, SHAPE[1])]
    return [SliceScore(case=case, slice=i, score=score, residual=score, discrimination=None if score is None else -score, steps=5,
                       axis=axis, truth=truth) for i, score in enumerate(scores)]


def write_prediction(folder: Path, axis: int | None = 1) -> None:
    """Scores of all cases, and the maps of those with lesions: the lesion's voxels of slice 2 are the highest, those of 3 not."""
    slices = [entry for case in LESIONS for entry in slices_of(case, axis)]
    write_rows(folder / "slice_scores.csv", SliceScore, slices)
    write_rows(folder / "scores.csv", CaseScore, [case_score(slices_of(case)) for case in LESIONS])
    for case in ("ill_1", "ill_2"):
        values = np.full(SHAPE, 0.25, np.float32)
        values[0, 2, 0], values[1, 3, 2] = 1.5, 1.0
        image = Image(values[None], GRID)
        write_image(folder / f"{case}.nii.gz", image.array, image)


def write_labels(folder: Path) -> None:
    for case, places in LESIONS.items():
        label = np.zeros(SHAPE, np.uint8)
        label[0, places, 0] = 1
        write_label(folder / f"{case}.nii.gz", label, Image(label[None], GRID))


@pytest.fixture
def prediction(tmp_path: Path) -> Path:
    write_prediction(tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    write_labels(tmp_path / "labels")
    return tmp_path / "labels"


def test_label_files_say_which_slices_are_abnormal_and_where(prediction: Path, labels: Path) -> None:
    found = evaluate_scores(prediction, references_of_labels(labels), workers=1)
    its = found.summary
    assert [(entry.case, entry.slice) for entry in found.slices if entry.truth == "abnormal"] == [
        ("ill_1", 2), ("ill_2", 2), ("ill_2", 3)]
    assert {case.case: case.truth for case in found.cases} == {
        "normal_1": "normal", "normal_2": "normal", "ill_1": "abnormal", "ill_2": "abnormal"}
    # cases: their highest slice scores 6, 6, 6, 8
    assert its.cases.auroc == (0.5 + 0.5 + 1 + 1) / 4
    # abnormal slices score 6, 6 and 8; normal ones 6, 5, 4, 3, 2 twice, 6, 5, 4, 2 and 6, 5, 2
    normal = [6, 5, 4, 3, 2] * 2 + [6, 5, 4, 2, 6, 5, 2]
    pairs = sum((score > other) + (score == other) / 2 for score in (6, 6, 8) for other in normal)
    assert its.slices.normal == len(normal) and its.slices.auroc == pytest.approx(pairs / (3 * len(normal)))
    assert its.residual.auroc == its.slices.auroc and its.discrimination.auroc == pytest.approx(1 - (its.slices.auroc or 0))
    assert its.localization is not None
    assert (its.localization.slices, its.localization.hits, its.localization.chance) == (3, 2, pytest.approx(1 / 6))
    assert (its.without_truth, its.without_score, its.failed) == ((), (), {})


def test_a_slice_of_an_abnormal_case_without_label_is_not_known(prediction: Path) -> None:
    found = evaluate_scores(prediction, {
        "normal_1": Reference("normal"), "ill_1": Reference("abnormal"), "other": Reference("normal")})
    assert {entry.truth for entry in found.slices if entry.case == "normal_1"} == {"normal"}
    assert {entry.truth for entry in found.slices if entry.case == "ill_1"} == {None}
    assert found.summary.without_truth == ("ill_2", "normal_2") and found.summary.without_score == ("other",)
    assert found.summary.slices.note == "No abnormal slice is known (5 normal slices, 15 slices of which it is not known)."


def test_case_labels_stand_above_the_label_file(prediction: Path, labels: Path) -> None:
    files = {case: labels / f"{case}.nii.gz" for case in LESIONS}
    found = evaluate_scores(prediction, {
        "ill_1": Reference("abnormal", files["ill_1"]), "ill_2": Reference("normal", files["ill_2"])})
    truths = {entry.slice: entry.truth for entry in found.slices if entry.case == "ill_1"}
    assert truths == {0: None, 1: None, 2: "abnormal", 3: None, 4: None, 5: None}
    assert {entry.truth for entry in found.slices if entry.case == "ill_2"} == {"normal"}


def test_the_one_slice_of_a_picture_is_what_its_case_is(tmp_path: Path) -> None:
    slices = [SliceScore(case=case, slice=0, score=score, residual=score, discrimination=1.0, steps=1)
              for case, score in (("sick", 2.0), ("well", 1.0))]
    write_rows(tmp_path / "slice_scores.csv", SliceScore, slices)
    write_rows(tmp_path / "scores.csv", CaseScore, [case_score([entry]) for entry in slices])
    its = evaluate_scores(tmp_path, {"sick": Reference("abnormal"), "well": Reference("normal")}).summary
    assert its.cases.auroc == its.slices.auroc == 1.0


def test_slices_that_were_named_one_by_one_are_what_they_were_named(prediction: Path) -> None:
    found = evaluate_scores(prediction, {"ill_1": Reference("abnormal", slices={2: "abnormal", 4: "normal"})})
    assert [(entry.slice, entry.truth) for entry in found.slices if entry.case == "ill_1" and entry.truth] == [
        (2, "abnormal"), (4, "normal")]


def test_the_axis_is_found_by_the_number_of_slices_where_it_was_not_recorded(prediction: Path, labels: Path) -> None:
    write_prediction(prediction, axis=None)
    assert evaluate_scores(prediction, references_of_labels(labels)).summary.localization is not None


def test_labels_and_maps_that_do_not_fit_are_named_and_stop_no_other_case(prediction: Path, labels: Path) -> None:
    small, turned = np.zeros((2, 3, 3), np.uint8), np.zeros((6, 2, 3), np.uint8)
    write_label(labels / "normal_1.nii.gz", small, Image(small[None], GRID))
    (labels / "normal_2.nii.gz").write_bytes(b"no image")
    write_image(prediction / "ill_1.nii.gz", turned[None].astype(np.float32), Image(turned[None], GRID))
    its = evaluate_scores(prediction, references_of_labels(labels), workers=1).summary
    assert list(its.failed) == ["ill_1", "normal_1", "normal_2"]
    assert "has a slice 5, but its label" in its.failed["normal_1"] and "normal_2.nii.gz" in its.failed["normal_2"]
    assert "does not lie on the grid of" in its.failed["ill_1"]
    assert its.localization is not None and its.localization.slices == 2  # those of ill_2
    assert (its.cases.abnormal, its.cases.unknown, its.without_truth) == (2, 2, ())


def test_the_figure_of_an_earlier_evaluation_is_no_map_of_a_case_of_its_name(tmp_path: Path) -> None:
    entry = SliceScore(case="scores", slice=0, score=1.0, residual=1.0, discrimination=1.0, steps=1, axis=0)
    write_rows(tmp_path / "slice_scores.csv", SliceScore, [entry])
    write_rows(tmp_path / "scores.csv", CaseScore, [case_score([entry])])
    label = np.eye(8, dtype=np.uint8)[None]
    write_label(tmp_path / "labels" / "scores.png", label, Image(label[None], GRID))
    write_label(tmp_path / "scores.png", label, Image(label[None], GRID))
    found = evaluate_scores(tmp_path, references_of_labels(tmp_path / "labels"), workers=1).summary
    assert (found.localization, found.failed) == (None, {})


def test_a_truth_of_other_cases_is_an_error(prediction: Path) -> None:
    with pytest.raises(AutosegError, match="Nothing is known of any case in .*scores.csv: it has ill_1, ill_2, .*of a, b"):
        evaluate_scores(prediction, {"b": Reference("normal"), "a": Reference("normal")})


def test_the_summary_is_read_as_it_was_written(prediction: Path, labels: Path) -> None:
    summary = evaluate_scores(prediction, references_of_labels(labels)).summary
    write_json(prediction / "summary.json", summary)
    assert read_model(prediction / "summary.json", AnomalySummary) == summary


def test_tables_and_words_say_it(prediction: Path, labels: Path) -> None:
    found = evaluate_scores(prediction, references_of_labels(labels))
    assert found.summary.localization is not None
    where = found.summary.localization.model_copy(update={"voxel_auroc": None})
    assert in_words(found.summary.model_copy(update={"localization": where}))[-1].endswith("not known: no voxel is normal.")
    text = io.StringIO()
    console = Console(file=text, width=120)
    console.print(anomaly_table(found.summary))
    console.print(case_scores_table(found.cases))
    assert "0.750 (" in text.getvalue() and text.getvalue().index("ill_2") < text.getvalue().index("normal_1")
    assert in_words(found.summary)[-1].startswith(
        "Of 3 abnormal slices the map's highest voxel lies inside the abnormal region in 2 (67%; by chance 16.7%).")
    assert in_words(summarize([], []))[0] == "No normal and no abnormal case is known (no case at all)."


def test_the_figure_is_drawn_with_and_without_truth(prediction: Path, labels: Path, tmp_path: Path) -> None:
    found = evaluate_scores(prediction, references_of_labels(labels))
    assert groups(scored_cases(found.cases)) == {"normal": [6.0, 6.0], "abnormal": [6.0, 8.0]}
    draw_scores(tmp_path / "scores.png", found, "Anomaly scores of $x_")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")
    unknown = evaluate_scores(prediction, {"normal_1": Reference("normal")})
    draw_scores(tmp_path / "unknown.png", unknown, "one group")
    assert (tmp_path / "unknown.png").exists()
