"""What a locator's fold is trained on, the model.json that it writes, and what may not stand beside it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.api.tasks import plan_projection
from autoseg.cli.main import main
from autoseg.errors import AutosegError
from autoseg.files import write_json, write_text
from autoseg.options import planning_command
from autoseg.tasks.localization import INFO
from autoseg.tasks.localization.model import LocatorDescription
from autoseg.tasks.localization.options import LocationSettings
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.trainers.job import Job
from autoseg.trainers.localization import LocalizationSettings, check, load_data
from autoseg.trainers.localization.data import AGREEMENT, description
from autoseg.workspace import DatasetFolder, read_json, read_model

MakeJob = Callable[..., Job[LocalizationSettings]]
WITH_BALL = [f"ball_{number}" for number in range(5)]


def describe(job: Job[LocalizationSettings]) -> LocatorDescription:
    """What model.json says then."""
    assert job.settings is not None
    AGREEMENT.describe(job, description(job, load_data(job), job.settings))
    return read_model(job.model.model_json, LocatorDescription)


def test_model_json_holds_what_locating_needs_and_no_case(make_job: MakeJob) -> None:
    job = make_job(name="small", band=5, threshold=0.3, deep_supervision=True)
    description = describe(job)
    assert (description.band, description.location) == (5, LocationSettings(threshold=0.3, zooms=(1.0,)))
    assert description.network.features == (4, 8) and description.network.deep_supervision
    assert (description.recipe, description.called, description.channel_names) == ("locator", "small", ("MRI",))
    assert LocalizationSettings.model_validate(description.settings) == job.settings
    assert {"band=5", "threshold=0.3", "deep_supervision=true"} <= {flag.replace("5.0", "5") for flag in description.flags}
    assert description.plans.target.labels == ("ball",) and read_json(job.model.model_json)["task"] == "localization"
    assert "ball_0" not in job.model.model_json.read_text()


def test_the_notes_say_what_is_trained_on(make_job: MakeJob) -> None:
    job = make_job("all")
    assert check(job, load_data(job)) == ["Trained on 5 cases with ball, 1 without."]


def test_cases_without_the_level_are_spread_over_the_folds(make_job: MakeJob) -> None:
    data = load_data(make_job("0"))
    assert all(any(name in WITH_BALL for name in split["val"]) for split in data.splits)


def test_plans_that_train_longer_are_the_same_model_and_those_of_another_size_or_level_are_not(make_job: MakeJob) -> None:
    first = make_job("0")
    describe(first)
    write_text(first.fold_folder.training_state, "begun")
    there = read_json(first.model.model_json)
    write_json(first.model.model_json, {**there, "plans": {**there["plans"], "epochs": 99, "batch_size": 3}})
    describe(make_job("1"))
    for change in ({"size": [64, 64]}, {"target": {"name": "ball and mark", "labels": ["ball", "mark"]}}):
        write_json(first.model.model_json, {**there, "plans": {**there["plans"], **change}})
        with pytest.raises(AutosegError, match=r"of another model: plans\."):
            describe(make_job("1"))


@pytest.mark.parametrize("flags", [
    ["--find", "ball"], ["--find", "ball", "mark", "--axis", "y", "--project", "x"], ["--find", "2", "--axis", "x"],
    ["--find", "ball", "--slab", "0.55", "--spacing", "1.7"], ["--find", "ball", "--window", "1", "99", "--depth", "2"],
    ["--find", "ball", "--size", "21", "30", "--spacing", "2", "--depth", "3"], ["--find", "ball", "--size", "64", "20"],
    ["--find", "the middle", "--points", "points.csv"], ["--find", "ball", "--channels", "mean", "both"],
])
def test_the_command_that_is_told_plans_the_same_again(
    make_balls: Callable[..., Path], tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "points.csv", "case,mm\nball_0,60\nball_1,61\n")
    source, work = make_balls(tmp_path, with_ball=2, without=0), ["-np", "1", "--workspace", str(tmp_path / "workspace")]
    assert main(["plan_and_preprocess", str(source), "--planner", "projection", *flags, *work]) == 0
    folder = DatasetFolder(tmp_path / "workspace" / source.name)
    plans = read_model(folder.root / INFO.plans_file, ProjectionPlans)
    _, _, *told = shlex.split(planning_command(folder, INFO, plans.options))
    (folder.root / INFO.plans_file).unlink()
    monkeypatch.chdir(folder.root)  # the command works from any folder
    assert main(["plan_and_preprocess", str(source), *told, "-np", "1"]) == 0
    assert read_model(folder.root / INFO.plans_file, ProjectionPlans) == plans


def test_splits_without_the_level_in_training_are_refused(make_job: MakeJob) -> None:
    job = make_job("0")
    write_json(job.splits_json, [{"train": ["ball_5"], "val": WITH_BALL}, {"train": WITH_BALL, "val": ["ball_5"]}])
    with pytest.raises(AutosegError, match=r"ball is in none of the 1 training case of fold 0.* splits_localization\.json"):
        load_data(job)
    assert load_data(replace(job, fold="1")).validation == ["ball_5"]


def test_cases_of_which_nothing_is_known_are_left_out_with_a_note(
    make_balls: Callable[..., Path], tmp_path: Path, settings_of: Callable[..., LocalizationSettings], job_on: MakeJob
) -> None:
    source = make_balls(tmp_path, with_ball=5, without=0)
    points = tmp_path / "points.csv"
    points.write_text("case,mm\nball_0,60\nball_1,61\nball_2,\n")
    work = tmp_path / "workspace"
    result = plan_projection(source, find="the ball", points=points, workers=1, workspace=work, quiet=True)
    assert (result.counts.there, result.counts.absent, result.counts.unknown) == (2, 1, 2)
    job = job_on(DatasetFolder(work / source.name), "locator", "all", settings_of())
    data = load_data(job)
    assert data.training == ["ball_0", "ball_1", "ball_2"]
    assert data.notes == ["Left out, as it is not known where the ball is in them: 2 cases (ball_3, ball_4)."]
    beside = [{"train": ["ball_1", "ball_3"], "val": ["ball_0", "ball_2", "ball_4"]}, {"train": ["ball_0"], "val": ["ball_1"]}]
    write_json(source / "splits_final.json", beside)  # names all that the dataset has
    split = load_data(replace(job, fold="0"))
    assert (split.training, split.validation) == (["ball_1"], ["ball_0", "ball_2"])
    for file in (source / "splits_final.json", job.splits_json):
        file.unlink()
    split = load_data(replace(job, fold="0"))
    assert sorted(name for each in split.splits for name in each["val"]) == ["ball_0", "ball_1", "ball_2"]
