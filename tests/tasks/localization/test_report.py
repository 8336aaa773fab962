"""The report's section about finding a level, alone and beside other kinds."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.api.reporting import build_report
from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.csv_table import write_rows
from autoseg.files import write_json
from autoseg.intensities import IntensityWindow
from autoseg.plan import Topology
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.localization import INFO as LOCATION
from autoseg.tasks.localization.locations import LOCATIONS, ValidatedLocation
from autoseg.tasks.localization.model import LocatorDescription
from autoseg.tasks.localization.options import LocationSettings
from autoseg.tasks.localization.picture import draw_location, picture_png
from autoseg.tasks.localization.plan import ProjectionPlans, Target
from autoseg.tasks.localization.store import ProjectionDescription, StoredLevel, write_projection
from autoseg.tasks.localization.summary import summarize
from autoseg.training_log import Epoch, write_log
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace

PageOf = Callable[[DatasetFolder], Any]  # see conftest.py
NAME = "Dataset021_Levels"
ERRORS_MM = {"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0, "e": 4.0, "f": 20.0}  # slices are 2 mm apart
FOLDS = [["a", "c", "e"], ["b", "d", "f", "without"]]
CASES = [*ERRORS_MM, "without"]
NETWORK = Topology(name="unet3plus", features=(16, 32, 64), strides=((1, 1), (2, 2), (2, 2)), kernel_sizes=((3, 3),) * 3,
                   convs_per_stage=(2, 2, 2))


def dataset() -> Dataset:
    return Dataset(
        name=NAME, folder=Path("/data") / NAME, layout="nnunet", channel_names=("CT",), file_ending=".nii.gz",
        labels=Labels(values={"background": 0, "L3": 1, "L4": 2}),
        training=tuple(Case(name=case, images=(Path(f"{case}.nii.gz"),), label=Path(f"{case}.nii.gz")) for case in CASES))


def projection_plans() -> ProjectionPlans:
    return ProjectionPlans(
        dataset=NAME, versions={"autoseg": "0.0.9"}, target=Target(name="L3", labels=("L3",)), axis="z", project="x", slab=0.4,
        channel_names=("CT",), windows=(IntensityWindow(low=-150, high=1200),), pixel_mm=1.5, size=(256, 192), batch_size=8,
        epochs=24, network=NETWORK, source=dataset(),
        reasons={"pixel_mm": "the median voxel size", "slab": "as wide as a vertebra", "elsewhere": "something else"})


def write_projections_of(folder: DatasetFolder) -> None:
    """Plans, findings and projections of all cases but the last of those that have the level, one of which says nothing."""
    write_json(folder.plans_of(LOCATION), projection_plans())
    write_json(folder.dataset_json, dataset())
    write_json(folder.findings_json, [])
    for case in CASES:
        if case != "f":
            level = None if case in ("without", "e") else StoredLevel(row=5, top=4, bottom=6)
            write_projection(folder.preprocessed("projection"), ProjectionDescription(
                case=case, shapes={}, origin="a", plans="b", is_known=case != "e", level=level, first_slice=0,
                slices_per_row=1, slice_mm=2), np.zeros((3, 10, 8), np.float32))


def rows_of(case: str) -> list[ValidatedLocation]:
    """The case and its parts; what lies behind "d" is taken for the level, and "f" is not found."""
    if case == "without":
        return [ValidatedLocation(case=case, part="whole", is_there=False, found=False, confidence=0.2, slice=9, slice_mm=2)]
    whole = ValidatedLocation(case=case, part="whole", is_there=True, found=case != "f", confidence=0.25 if case == "f" else 0.75,
                              slice=50 + ERRORS_MM[case] / 2, true_slice=50, slice_mm=2)
    before = ValidatedLocation(case=case, part="before", is_there=False, found=False, confidence=0.1, slice=9, slice_mm=2)
    return [whole, before, before.model_copy(update={"part": "after", "found": case == "d"})]


def write_fold(model: ModelFolder, number: int) -> None:
    fold = model.fold(number)
    rows = [row for case in FOLDS[number] for row in rows_of(case)]
    write_rows(fold.validated(LOCATIONS), ValidatedLocation, rows)
    write_json(fold.summary_json, summarize(rows))
    write_log(fold.log_jsonl, [Epoch(
        epoch=epoch, learning_rate=1e-3, training_loss=0.5 / (epoch + 1), validation_loss=0.6 / (epoch + 1), dice={"L3": 0.5},
        mean_dice=0.1 * epoch, smoothed_dice=None, seconds=30.0, finished_at="2026-01-02T03:04:05+00:00") for epoch in range(6)])
    y, x = np.mgrid[:120, :80]
    projection = np.stack([np.exp(-((x - 50) / 9) ** 2) * np.sin(y / 4) ** 2 * 1.6 - 0.9] * 3)
    for case in FOLDS[number]:
        error = ERRORS_MM.get(case, 0.0)
        response = np.exp(-((np.arange(120) - 60 - error) / 3) ** 2)
        draw_location(picture_png(fold, case), projection, response, 60 + error, case != "f", 60, f"{case}: slice 50")
    fold.checkpoint_final.write_bytes(b"weights")


def write_locator(folder: DatasetFolder, name: str = "locator") -> ModelFolder:
    model = folder.model("projection", name)
    write_json(model.model_json, LocatorDescription(
        dataset=NAME, plans=projection_plans().without_cases(), network=NETWORK, band=7.0, location=LocationSettings(),
        recipe="locator", settings={"band": 7.0, "moving": {"rotation": 10.0}}, flags=("--set", "band=7"),
        versions={"autoseg": "0.0.8"}))
    for number in range(len(FOLDS)):
        write_fold(model, number)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    """A dataset that was planned as projections only."""
    folder = Workspace(tmp_path).dataset(NAME)
    write_projections_of(folder)
    return folder


def test_a_page_of_projections_alone_says_nothing_of_segmentation(folder: DatasetFolder, page_of: PageOf) -> None:
    text = page_of(folder).text
    for expected in (
        "7 training cases", "Finding L3 no locator yet", "No locator has been trained yet", f"autoseg_train {NAME} 0 -tr locator",
        "the middle of L3", "z, head to feet", "the middle 40% of the extent as wide as a vertebra", "CT: -150 to 1200",
        "1.5 mm, square the median voxel size", "256 × 192 pixels, 384 × 288 mm", "unet3plus, 3 stages, 16 to 64 features",
        "8 projections in each step", "Epochs 24", "elsewhere something else", "1 case of 7 could not be projected, or not yet",
        "Every file was read and nothing is wrong",
    ):
        assert expected in text, expected
    for unwanted in ("find-best", "Cross-validation", "fingerprint", "SEGMENTATIONS", "--planner default", "nomaly"):
        assert unwanted not in text, unwanted


def test_projections_are_counted_by_what_is_known_of_them(folder: DatasetFolder, page_of: PageOf) -> None:
    assert "with it without it not known all L3 4 1 1 6" in page_of(folder).text


def test_errors_of_all_folds_are_taken_together(folder: DatasetFolder, page_of: PageOf) -> None:
    write_locator(folder)
    text = page_of(folder).text
    for expected in (  # the errors are 0, 1, 2, 3, 4 and 20 mm, half as many slices
        "Finding L3, locator mean error 5.00 (", ") mm Over 6 cases of the validation; 95 % interval. Median 2.50 mm, worst "
        "20.00 mm (f). Found in 5 of 6.", "slices 2.50 (", "1.25 10.00 f", "at most one slice off 3 of 6 50%",
        "at most 5 mm off 5 of 6 83%", "found where it is 5 of 6", "wrongly found in cases without it 0 of 1",
        "wrongly found in parts of cases without it 1 of 12",
        "Not found in 1 of 6 cases that have it: f.", "Wrongly found in 1 of 12 parts of cases without it: d (after).",
        "fold 0 3 2.00 (", "4.00 3 of 3 – 0 of 6", "20.00 2 of 3 0 of 1 1 of 6",
    ):
        assert expected in text, expected


def test_how_a_locator_was_made_and_is_used_is_said(folder: DatasetFolder, page_of: PageOf) -> None:
    write_locator(folder, "mine")
    text = page_of(folder).text
    for expected in (
        "a band of 7 pixels, 10.5 mm", "from a confidence of 0.5", "--set band=7", "moving.rotation 10", "Folds of mine",
        "fold 0 complete 6 3 min 0 s 0.083 3", "Training took 6 min 0 s in all", "planned as projections", "trained mine",
        "To find L3 in new images with mine, type: autoseg_predict -i IMAGES -o LOCATIONS --workspace",
        "autoseg_predict -i IMAGES -o LOCATIONS --crop --workspace",
    ):
        assert expected in text, expected


def test_figures_stand_there_with_their_text_alternatives(folder: DatasetFolder, page_of: PageOf) -> None:
    write_locator(folder)
    page = page_of(folder)
    said = " ".join(page.alternatives)
    for expected in (
        "Dot plot. Error of each case of the validation by locator, mm: f 20 (not found), e 4, d 3, c 2, b 1, a 0.",
        "Box plot. Error of each case by locator, by fold, mm. fold 0: median 2", "Training loss of locator over the epochs",
        "Projection of case f with the strongest answer of fold 1, dotted, and the true level, 20.00 mm apart. Confidence 0.25, "
        "not found.", "Projection of case c with the level that fold 0 found and the true level, 2.00 mm apart.",
    ):
        assert expected in said, expected
    assert "Projection of case b" not in said  # four are shown
    assert "10.00 slices; confidence 0.25, not found; fold 1." in page.text


def test_where_it_is_found_though_not_there_is_told(folder: DatasetFolder, page_of: PageOf) -> None:
    model = write_locator(folder)
    text = page_of(folder).text
    assert "Found where it is not case in slice confidence fold d the part after it 9.0 0.10 1 " in text
    assert "found; fold 1. Given only the part after it: wrongly found, slice 9.0, confidence 0.10." in text
    found = rows_of("without")[0].model_copy(update={"found": True})
    write_rows(model.fold(1).validated(LOCATIONS), ValidatedLocation, [*rows_of("d"), found])
    assert "fold without the whole case 9.0 0.20 1 d the part after it 9.0 0.10 1 " in page_of(folder).text  # the surest first
    write_rows(model.fold(1).validated(LOCATIONS), ValidatedLocation, rows_of("b"))
    assert "Found where it is not" not in page_of(folder).text


def test_folds_that_were_never_begun_are_missing_too(folder: DatasetFolder, page_of: PageOf) -> None:
    write_json(folder.splits_of(LOCATION), [{}] * 5)
    model = write_locator(folder, "mine")
    text = page_of(folder).text
    train = f"autoseg_train {NAME} 2 3 4 -c projection -tr locator --name mine --set band=7"
    assert text.count(f"mine: folds 2, 3, 4 are missing: {train}") == 2  # at a glance, and in the section
    assert "Over 6 cases of the validation, folds 0, 1 of 5; 95 % interval." in text
    assert "6 cases in which L3 is, of the validation, folds 0, 1 of 5, located by networks" in text
    model.fold(1).checkpoint_final.rename(model.fold(1).training_state)
    text = page_of(folder).text
    assert f"mine: fold 1 is unfinished: autoseg_train {NAME} 1 -c projection -tr locator --name mine --continue" in text
    assert "Over 3 cases of the validation, fold 0 of 5; 95 % interval." in text
    write_json(folder.splits_of(LOCATION), [{}] * 2)
    text = page_of(folder).text
    assert "missing" not in text.replace("What is missing", "") and "fold 0 of 2" in text
    write_json(folder.splits_of(LOCATION), {})
    text = page_of(folder).text
    assert "splits_localization.json holds no list of folds" in text and "mine: fold 1 is unfinished" in text


def test_each_locator_finds_what_it_was_trained_for(folder: DatasetFolder, page_of: PageOf) -> None:
    write_json(folder.splits_of(LOCATION), [{}] * 5)
    write_locator(folder)
    now = projection_plans().model_copy(update={"target": Target(name="L4", labels=("L4",))})
    write_json(folder.plans_of(LOCATION), now)
    text = page_of(folder).text
    for expected in (
        "Finding L3, locator mean error", "Finding L4 no locator yet", "locator finds L3", "Finds the middle of L3",
        "6 cases in which L3 is", "To find L3 in new images with locator, type", "This finds L3 in new images",
        "Projections are planned for L4 now", "Projections, planned for L4", "Found the middle of L4",
    ):
        assert expected in text, expected
    assert f"autoseg_train {NAME} 2 3 4" not in text  # on projections for L4 that would be refused
    fourth = write_locator(folder, "l4")
    description = LocatorDescription.model_validate_json(fourth.model_json.read_text())
    write_json(fourth.model_json, description.model_copy(update={"plans": now.without_cases()}))
    text = page_of(folder).text
    for expected in ("Finding L3, locator mean error", "Finding L4, l4 mean error", "l4 finds L4",
                     "To find L4 in new images with l4", f"l4: folds 2, 3, 4 are missing: autoseg_train {NAME} 2 3 4"):
        assert expected in text, expected
    assert "no locator yet" not in text
    fourth.model_json.write_text("{}")  # then today's plan says what it finds
    assert "Finding L4, l4 mean error" in page_of(folder).text


def test_a_fold_without_the_level_has_no_error(folder: DatasetFolder, page_of: PageOf) -> None:
    model = write_locator(folder)
    write_rows(model.fold(1).validated(LOCATIONS), ValidatedLocation, rows_of("without"))
    text = page_of(folder).text
    assert "mean error 2.00 (" in text and "fold 1 0 – – 0 of 0 0 of 1 –" in text
    write_rows(model.fold(0).validated(LOCATIONS), ValidatedLocation, [])
    text = page_of(folder).text
    assert "Finding L3, locator error not known" in text and "No validated case has the level" in text


def test_damaged_files_are_named_and_hide_nothing_else(folder: DatasetFolder, page_of: PageOf) -> None:
    model = write_locator(folder)
    model.fold(0).validated(LOCATIONS).write_text("case\n")
    picture_png(model.fold(1), "f").write_bytes(b"no picture")
    model.model_json.write_text("{}")
    (folder.preprocessed("projection") / "a.json").write_text("{}")
    text = page_of(folder).text
    for expected in ("locations.csv has the columns case.", "f.png cannot be shown", "model.json does not fit",
                     "a.json does not fit", "Finding L3, locator mean error 8.00 ("):
        assert expected in text, expected


def test_several_kinds_share_a_page_and_damaged_plans_hide_one_only(folder: DatasetFolder, page_of: PageOf) -> None:
    write_locator(folder)
    write_json(folder.plans_of(ANOMALY), SlicePlans(
        dataset=NAME, versions={}, axis="sagittal", image_size=64, channel_names=("CT",),
        windows=(IntensityWindow(low=-150, high=350),), normal_by="all", source=dataset()))
    text = page_of(folder).text
    assert "Anomaly detection" in text and "Finding L3, locator mean error" in text and "No anomaly detector has been" in text
    folder.plans_of(LOCATION).write_text("{}")
    text = page_of(folder).text
    assert "plans_localization.json does not fit" in text and "Anomaly detection" in text and "Finding L3" not in text
    folder.plans_of(ANOMALY).write_text("{}")
    with pytest.raises(AutosegError, match="plans_anomaly.json does not fit"):
        build_report(folder)


def test_names_from_outside_are_text(folder: DatasetFolder) -> None:
    model = write_locator(folder, "a<b>&c")
    hostile = '"><script>alert(1)'
    rows = [row.model_copy(update={"case": hostile}) for row in rows_of("f")]
    write_rows(model.fold(1).validated(LOCATIONS), ValidatedLocation, rows)
    draw_location(picture_png(model.fold(1), hostile), np.zeros((3, 8, 8)), None, 3, True, None, hostile)
    page = build_report(folder)
    assert "<script" not in page and "a<b>" not in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
