"""A locator's fold from its projections to its validation: what it writes, and that it goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from safetensors.torch import load_file

from autoseg.api.tasks import plan_projection
from autoseg.errors import AutosegError
from autoseg.evaluation.csv_table import read_rows, write_rows
from autoseg.files import write_json
from autoseg.image_io import read_label
from autoseg.tasks.localization.locations import LOCATIONS, ValidatedLocation
from autoseg.tasks.localization.locator import Located, Locator
from autoseg.tasks.localization.picture import picture_png
from autoseg.tasks.localization.store import open_projection
from autoseg.tasks.localization.summary import LocationSummary
from autoseg.trainers import loop
from autoseg.trainers.fold import run_fold
from autoseg.trainers.job import Job
from autoseg.trainers.localization import fold as locator_fold
from autoseg.trainers.localization.batches import LocatorBatches
from autoseg.trainers.localization.data import load_data
from autoseg.trainers.localization.fold import steps
from autoseg.trainers.localization.settings import LocalizationSettings
from autoseg.training_log import read_log
from autoseg.workspace import DatasetFolder, read_json, read_model

MakeJob = Callable[..., Job[LocalizationSettings]]
WITH_BALL = ("ball_1", "ball_2", "ball_3")


def quietly(share: float, text: str) -> None:
    """Reports nothing."""


def train_fold(job: Job[LocalizationSettings], report: Callable[[float, str], None] = quietly) -> Any:
    return run_fold(job, steps(job, load_data(job), report))


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than the training."""
    monkeypatch.setattr(loop, "draw_progress", lambda *arguments: None)
    monkeypatch.setattr(locator_fold, "draw_location", lambda *arguments: None)


@pytest.fixture
def sees_what_is_bright(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locators answer 1 in rows where the maximum is as bright as the ball somewhere, else 0."""
    monkeypatch.setattr(Locator, "_respond", lambda self, channels, case: np.where(
        channels[1].max(1, keepdims=True) > 0.9, 1.0, np.zeros_like(channels[1])))


def test_a_fold_writes_all_that_it_should(make_job: MakeJob) -> None:
    job = make_job()
    summary = train_fold(job)
    place, data = job.fold_folder, load_data(job)
    log = read_log(place.log_jsonl)
    assert len(log) == 2 and all(epoch.validation_loss is not None and set(epoch.dice) == {"ball"} for epoch in log)
    rows = read_rows(place.validated(LOCATIONS), ValidatedLocation)
    assert [row.case for row in rows if row.part == "whole"] == data.validation
    assert summary == read_model(place.summary_json, LocationSummary)
    for picture in (place.progress_png, *(picture_png(place, case) for case in data.validation)):
        assert Pillow.open(picture).size[0] > 100
    assert {name.partition(".")[0] for name in load_file(place.checkpoint_final)} == {"network"}
    assert not list(job.folder.root.rglob(".tmp-*"))
    assert not (place.validation / "crops").exists()


def middle_in_file(case: str, source: Path) -> float:
    """Of the ball, along the array axis that runs along the patient, as the file counts."""
    label = read_label(source / "labelsTr" / f"{case}.nii.gz").array[0]
    slices = np.flatnonzero((label == 1).any((1, 2)))
    return float(slices[0] + slices[-1]) / 2


def test_validation_counts_slices_as_the_files_do(
    make_balls: Callable[..., Path], tmp_path: Path, settings_of: Callable[..., LocalizationSettings], job_on: MakeJob,
    sees_what_is_bright: None, without_pictures: None,
) -> None:
    """Every other volume is stored from the head down; the answers of one that sees the ball are right for all."""
    source = make_balls(tmp_path, with_ball=4, without=1)
    plan_projection(source, find="ball", spacing=3.0, slab=1.0, workers=1, workspace=tmp_path / "w", quiet=True)
    settings = settings_of(epochs=1, iterations=1, band=5)
    job = job_on(DatasetFolder(tmp_path / "w" / source.name), "locator", "0", settings)
    write_json(job.splits_json, [
        {"train": ["ball_0"], "val": [*WITH_BALL, "ball_4"]},
        {"train": [*WITH_BALL, "ball_4"], "val": ["ball_0"]}])
    summary = train_fold(job)
    whole = {row.case: row for row in read_rows(job.fold_folder.validated(LOCATIONS), ValidatedLocation) if row.part == "whole"}
    for case in WITH_BALL:
        row = whole[case]
        assert row.is_there and row.true_slice == pytest.approx(middle_in_file(case, source)) and row.slice_mm == 3.0
        assert row.found and row.error_slices == pytest.approx(0, abs=0.1) and row.confidence > 0.8
    assert not whole["ball_4"].is_there and not whole["ball_4"].found
    assert whole["ball_4"].true_slice is None and whole["ball_4"].error_mm is None
    parts = [row for row in read_rows(job.fold_folder.validated(LOCATIONS), ValidatedLocation) if row.part != "whole"]
    assert {(row.case, row.part) for row in parts} <= {(case, part) for case in whole for part in ("before", "after")}
    assert len(parts) >= 3 and not any(row.found or row.is_there for row in parts) and "ball_4" not in {r.case for r in parts}
    assert (summary.cases, summary.found, summary.without_level.count, summary.parts.count) == (3, 3, 1, len(parts))
    assert summary.error_mm.worst < 0.3 and not summary.parts.wrongly_found


def test_parts_are_the_rows_before_and_after_in_the_cases_own_slices(
    make_job: MakeJob, without_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer in the first row of each part: the slice there, counted as the case does."""
    seen: list[tuple[str, int]] = []

    def first_row(self: Locator, channels: np.ndarray, case: str) -> np.ndarray:
        seen.append((case, channels.shape[1]))
        response = np.zeros(channels.shape[1:], np.float32)
        response[0] = 1
        return response

    monkeypatch.setattr(Locator, "_respond", first_row)
    job = make_job(band=1)
    train_fold(job)
    rows = read_rows(job.fold_folder.validated(LOCATIONS), ValidatedLocation)
    assert all((row.slice, row.confidence) == (round(row.slice, 3), round(row.confidence, 4)) for row in rows)
    for row, (case, count) in zip(rows, seen, strict=True):
        stored = open_projection(job.folder.preprocessed("projection"), row.case)
        assert row.case == case
        start = stored.description.shape[1] - count if row.part == "after" else 0
        assert row.slice == pytest.approx(stored.slice_of(start), abs=1e-3)
        if row.part == "before":
            assert stored.level is not None and count <= stored.level.top + 0.5
        if row.part == "after":
            assert stored.level is not None and start >= stored.level.bottom + 0.5
    assert {row.part for row in rows} >= {"whole"} and len(rows) > len(load_data(job).validation)


def test_rows_of_cases_whose_level_was_corrected_are_made_again(make_job: MakeJob, without_pictures: None) -> None:
    job = make_job()
    train_fold(job)
    first = read_rows(job.fold_folder.validated(LOCATIONS), ValidatedLocation)
    wrong = [row.model_copy(update={"true_slice": row.true_slice + 5, "slice": 1.0}) if row.true_slice is not None else row
             for row in first]
    assert wrong != first
    write_rows(job.fold_folder.validated(LOCATIONS), ValidatedLocation, wrong)
    train_fold(job)
    assert sorted(read_rows(job.fold_folder.validated(LOCATIONS), ValidatedLocation), key=str) == sorted(first, key=str)


def test_a_validation_that_is_killed_goes_on_with_the_cases_that_are_left(
    make_job: MakeJob, without_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(epochs=1)
    located: list[str] = []
    locate = Locator.locate

    def killed(self: Locator, channels: np.ndarray, case: str) -> Located:
        if len(set(located)) == 1 and case not in located:
            raise KeyboardInterrupt
        located.append(case)
        return locate(self, channels, case)

    with monkeypatch.context() as patch:
        patch.setattr(Locator, "locate", killed)
        with pytest.raises(KeyboardInterrupt):
            train_fold(job)
    first = read_rows(job.fold_folder.validated(LOCATIONS), ValidatedLocation)
    assert {row.case for row in first} == set(located) and not job.fold_folder.summary_json.exists()
    before = list(located)

    def counted(self: Locator, channels: np.ndarray, case: str) -> Located:
        located.append(case)
        return locate(self, channels, case)

    monkeypatch.setattr(Locator, "locate", counted)
    train_fold(job)
    assert not set(located[len(before):]) & set(before) and set(located) == set(load_data(job).validation)
    after = read_rows(job.fold_folder.validated(LOCATIONS), ValidatedLocation)
    assert after[:len(first)] == first and len({(row.case, row.part) for row in after}) == len(after)


def test_columns_are_mirrored_only_where_they_run_from_left_to_right(
    make_balls: Callable[..., Path], tmp_path: Path, settings_of: Callable[..., LocalizationSettings], job_on: MakeJob,
    monkeypatch: pytest.MonkeyPatch, without_pictures: None,
) -> None:
    source, work, mirrored = make_balls(tmp_path, with_ball=2, without=0), tmp_path / "w", {}
    begin = LocatorBatches.__init__
    for axis, project in (("z", "x"), ("z", "y"), ("y", "z"), ("x", "y")):
        plan_projection(source, find="ball", axis=axis, project=project, spacing=3.0, workers=1, workspace=work, quiet=True)
        settings = settings_of(epochs=1, iterations=1)
        job = job_on(DatasetFolder(work / source.name), "locator", "all", settings, name=f"{axis}{project}")

        def noted(self: LocatorBatches, *arguments: Any, **named: Any) -> None:
            begin(self, *arguments, **named)
            mirrored[axis, project] = self.mirrors  # noqa: B023

        monkeypatch.setattr(LocatorBatches, "__init__", noted)
        train_fold(job)
    assert mirrored == {("z", "x"): False, ("z", "y"): True, ("y", "z"): True, ("x", "y"): False}


def test_projections_that_changed_since_the_fold_was_trained_are_not_validated_on(
    make_job: MakeJob, without_pictures: None
) -> None:
    job = make_job(epochs=1)
    train_fold(job)
    job.fold_folder.summary_json.unlink()
    there = read_json(job.model.model_json)
    write_json(job.model.model_json, {**there, "plans": {**there["plans"], "slab": 0.99}})
    with pytest.raises(AutosegError, match="was trained on cases .* by other plans .* cannot be validated on"):
        train_fold(job)
