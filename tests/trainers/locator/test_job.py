"""What a locator's fold is trained on, the model.json that it writes, and what may not stand beside it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.api.projection import plan_projection
from autoseg.api.training import train
from autoseg.cli.main import main
from autoseg.errors import AutosegError
from autoseg.kinds import LOCATION
from autoseg.tasks.localization.model import LocatorDescription
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.localization.settings import LocationSettings
from autoseg.trainers.checkpoint import save_state
from autoseg.trainers.job import Job, settle_settings
from autoseg.trainers.locator.job import (
    check_locator_job,
    describe_locator,
    load_locator_data,
    planning_again,
    require_same_projections,
)
from autoseg.trainers.recipes import locator_defaults
from autoseg.trainers.settings.locator import LocatorSettings
from autoseg.workspace import DatasetFolder, read_json, read_model, write_json, write_text

MakeJob = Callable[..., Job[LocatorSettings]]
WITH_BALL = [f"ball_{number}" for number in range(5)]


def describe(job: Job[LocatorSettings]) -> LocatorDescription:
    """What model.json says then."""
    assert job.settings is not None
    describe_locator(job, load_locator_data(job), job.settings)
    return read_model(job.model.model_json, LocatorDescription)


def second(first: Job[LocatorSettings], **changes: object) -> Job[LocatorSettings]:
    """Fold 1 beside fold 0, with other settings."""
    assert first.settings is not None
    return replace(first, fold="1", settings=first.settings.model_copy(update=changes))


def test_model_json_holds_what_locating_needs_and_no_case(make_job: MakeJob) -> None:
    job = make_job(name="small", band=5, threshold=0.3, deep_supervision=True)
    description = describe(job)
    assert (description.band, description.location) == (5, LocationSettings(threshold=0.3, zooms=(1.0,)))
    assert description.network.features == (4, 8) and description.network.deep_supervision
    assert (description.recipe, description.called, description.channel_names) == ("locator", "small", ("MRI",))
    assert LocatorSettings.model_validate(description.settings) == job.settings
    assert {"band=5", "threshold=0.3", "deep_supervision=true"} <= {flag.replace("5.0", "5") for flag in description.flags}
    assert description.plans.target.labels == ("ball",) and read_json(job.model.model_json)["task"] == "localization"
    assert "ball_0" not in job.model.model_json.read_text()


def test_epochs_are_the_plans_unless_told_otherwise(make_job: MakeJob) -> None:
    plans = read_model(make_job().folder.projection_json, ProjectionPlans)
    assert locator_defaults("locator", plans.model_copy(update={"epochs": 33})).epochs == 33


def test_the_notes_say_what_is_trained_on(make_job: MakeJob) -> None:
    job = make_job("all")
    data = load_locator_data(job)
    assert data.notes == [] and check_locator_job(job, data) == ["Trained on 5 cases with ball, 1 without."]
    assert sorted(data.training) == [*WITH_BALL, "ball_5"] and not data.validation and not data.splits
    assert not job.folder.splits_of(LOCATION).exists()


def test_cases_without_the_level_are_spread_over_the_folds_which_are_a_locators_own(make_job: MakeJob) -> None:
    job = make_job("0")
    write_json(job.folder.splits_json, [{"train": ["another"], "val": ["and_another"]}])  # of segmentation
    data = load_locator_data(job)
    assert len(data.splits) == 5 and sorted(name for split in data.splits for name in split["val"]) == [*WITH_BALL, "ball_5"]
    assert read_json(job.folder.splits_of(LOCATION)) == data.splits
    assert all(any(name in WITH_BALL for name in split["val"]) for split in data.splits)
    cases = data.cases_of("0").facts
    assert sorted(cases["train"]) == sorted(data.training) and sorted(cases["val"]) == sorted(data.validation)


@pytest.mark.parametrize(("change", "named"), [
    ({"band": 9.0}, "band"), ({"base_features": 8}, "network"), ({"network": "unet"}, "network"),
    ({"deep_supervision": True}, "network"), ({"norm": "instance"}, "network"),
])
def test_folds_whose_networks_or_bands_differ_are_no_model(make_job: MakeJob, change: dict[str, object], named: str) -> None:
    first = make_job("0")
    describe(first)
    write_text(first.fold_folder.training_state, "begun")
    other = second(first, **change)
    for refuse in (describe, lambda job: check_locator_job(job, load_locator_data(job))):
        with pytest.raises(AutosegError, match=rf"holds folds \(0\) of a locator with other {named}\..* \(--name\)"):
            refuse(other)
    describe(replace(other, name="other"))


def test_folds_may_be_trained_otherwise_and_that_is_said(make_job: MakeJob) -> None:
    first = make_job("0")
    described = describe(first)
    write_text(first.fold_folder.checkpoint_final, "trained")
    other = second(first, learning_rate=2e-3, epochs=9, seed=3)
    *_, note = check_locator_job(other, load_locator_data(other))
    assert "other folds (0) were trained with another learning_rate: " in note
    assert describe(other) == described  # the model's, which fold 0 wrote


def test_plans_that_only_say_more_or_train_longer_are_the_same_model(make_job: MakeJob) -> None:
    first = make_job("0")
    describe(first)
    write_text(first.fold_folder.training_state, "begun")
    there = read_json(first.model.model_json)
    changed = {"reasons": {}, "versions": {}, "epochs": 99, "batch_size": 3}
    write_json(first.model.model_json, {**there, "plans": {**there["plans"], **changed}})
    describe(second(first))
    for field, value in (("slab", 0.9), ("pixel_mm", 1.5), ("axis", "y"), ("size", [64, 64])):
        write_json(first.model.model_json, {**there, "plans": {**there["plans"], field: value}})
        with pytest.raises(AutosegError, match="of a locator with other plans"):
            describe(second(first))


def test_a_dataset_that_is_planned_anew_for_another_label_is_another_model(
    make_balls: Callable[..., Path], tmp_path: Path, settings_of: Callable[..., LocatorSettings]
) -> None:
    source = make_balls(tmp_path, with_ball=4, without=0)
    work = tmp_path / "workspace"
    plan_projection(source, find="ball", workers=1, workspace=work, quiet=True)
    job: Job[LocatorSettings] = Job(DatasetFolder(work / source.name), "projection", "locator", "0", settings_of(), "cpu")
    description = describe(job)
    write_text(job.fold_folder.training_state, "begun")
    plan_projection(source, find=["ball", "mark"], workers=1, workspace=work, quiet=True)
    other = second(job)
    for refuse in (describe, lambda job: check_locator_job(job, load_locator_data(job))):
        with pytest.raises(AutosegError, match=r"holds folds \(0\) of a locator with other plans"):
            refuse(other)
    with pytest.raises(AutosegError, match="was trained on projections by other plans .* or begin the fold anew with --restart"):
        require_same_projections(job, description, load_locator_data(job).plans)
    plan_projection(source, find="ball", workers=1, workspace=work, quiet=True)
    describe(other)
    require_same_projections(job, description, load_locator_data(job).plans)


def test_an_unfinished_fold_goes_on_with_its_own_settings_alone(make_job: MakeJob) -> None:
    job = make_job(band=5)
    defaults = locator_defaults("locator", read_model(job.folder.projection_json, ProjectionPlans))
    assert job.settings is not None
    with pytest.raises(AutosegError, match="Fold 0 has nothing to continue"):
        settle_settings(replace(job, settings=None), defaults)
    save_state(job.fold_folder.training_state, {"settings": job.settings.model_dump(mode="json")})
    assert settle_settings(replace(job, settings=None), defaults) == settle_settings(job, defaults) == job.settings
    other = replace(job, settings=job.settings.model_copy(update={"band": 7.0}))
    with pytest.raises(AutosegError, match=r"started with other settings .*band=5(\.0)? \(now 7"):
        settle_settings(other, defaults)


@pytest.mark.parametrize(("change", "words"), [
    ({"settings": ["absent_share=0.6", "window_share=0.5"]}, "absent_share=0.6 and window_share=0.5 are shares of one batch"),
    ({"device": "quantum"}, "no device"), ({"fold": 7}, 'no fold "7"'), ({"settings": ["band=0"]}, "band"),
    ({"settings": ["lambda=0.1"]}, "lambda"), ({"name": "anogan"}, "is the name of a recipe"),
    ({"configuration": "3d_fullres"}, 'recipe "locator" trains on projection, and not on 3d_fullres. Leave out -c'),
    ({"recipe": "default", "configuration": "projection"}, '"default" segments, and projection is for locators: .* -tr locator'),
    ({"recipe": "anogan", "configuration": "projection"}, '"anogan" trains anomaly detectors, and projection is for locators'),
])
def test_what_cannot_begin_is_refused_before_restart_throws_anything_away(
    make_job: MakeJob, change: dict[str, object], words: str
) -> None:
    job = make_job("1")
    write_text(job.fold_folder.checkpoint_final, "trained for days")
    wanted = {"fold": 1, "device": "cpu", "recipe": "locator", **change}
    with pytest.raises(AutosegError, match=words):
        train("Dataset002_Balls", restart=True, workspace=job.folder.root.parent, quiet=True, **wanted)  # type: ignore[arg-type]
    assert job.fold_folder.checkpoint_final.exists()


def test_cases_that_are_not_projected_or_by_other_plans_are_named_with_the_command(make_job: MakeJob) -> None:
    job = make_job()
    plans = read_json(job.folder.projection_json)
    job.folder.projection_json.unlink()
    write_json(job.folder.projection_json, {**plans, "slab": 0.9})
    with pytest.raises(AutosegError, match="6 of 6 cases were projected by other plans .*Run: autoseg_plan_and_preprocess "
                       "Dataset002_Balls --planner projection --find ball"):
        load_locator_data(job)
    link = job.folder.root / "preprocessed"
    link.unlink()
    with pytest.raises(AutosegError, match="6 of 6 cases are not projected: ball_0.* --planner projection --find ball"):
        load_locator_data(job)


@pytest.mark.parametrize("flags", [
    ["--find", "ball"], ["--find", "ball", "mark", "--axis", "y", "--project", "x"], ["--find", "2", "--axis", "x"],
    ["--find", "ball", "--slab", "0.55", "--spacing", "1.7"], ["--find", "ball", "--window", "1", "99", "--depth", "2"],
    ["--find", "ball", "--size", "21", "30", "--spacing", "2", "--depth", "3"], ["--find", "ball", "--size", "64", "20"],
])
def test_the_command_that_is_told_plans_the_same_again(make_balls: Callable[..., Path], tmp_path: Path, flags: list[str]) -> None:
    source, work = make_balls(tmp_path, with_ball=2, without=0), ["-np", "1", "--workspace", str(tmp_path / "workspace")]
    assert main(["plan_and_preprocess", str(source), "--planner", "projection", *flags, *work]) == 0
    folder = DatasetFolder(tmp_path / "workspace" / source.name)
    plans = read_model(folder.projection_json, ProjectionPlans)
    _, _, *told = shlex.split(planning_again(Job(folder, "projection", "locator", "0", None), plans))
    folder.projection_json.unlink()
    assert main(["plan_and_preprocess", str(source), *told, "-np", "1"]) == 0
    assert read_model(folder.projection_json, ProjectionPlans) == plans


def test_a_dataset_that_was_not_planned_as_projections_is_told_the_command(make_job: MakeJob) -> None:
    job = make_job()
    job.folder.projection_json.unlink()
    with pytest.raises(AutosegError, match="--planner projection --find LABEL"):
        train("Dataset002_Balls", 0, recipe="locator", workspace=job.folder.root.parent, quiet=True)


def test_splits_without_the_level_in_training_are_refused(make_job: MakeJob) -> None:
    job = make_job("0")
    write_json(job.folder.splits_of(LOCATION), [{"train": ["ball_5"], "val": WITH_BALL}, {"train": WITH_BALL, "val": ["ball_5"]}])
    with pytest.raises(AutosegError, match=r"ball is in none of the 1 training case of fold 0. Correct projection_splits\.json"):
        load_locator_data(job)
    assert load_locator_data(replace(job, fold="1")).validation == ["ball_5"]


def test_cases_of_which_nothing_is_known_are_left_out_with_a_note(
    make_balls: Callable[..., Path], tmp_path: Path, settings_of: Callable[..., LocatorSettings]
) -> None:
    source = make_balls(tmp_path, with_ball=5, without=0)
    points = tmp_path / "points.csv"
    points.write_text("case,mm\nball_0,60\nball_1,61\nball_2,\n")
    work = tmp_path / "workspace"
    result = plan_projection(source, find="the ball", points=points, workers=1, workspace=work, quiet=True)
    assert (result.levels.there, result.levels.absent, result.levels.unknown) == (2, 1, 2)
    job: Job[LocatorSettings] = Job(DatasetFolder(work / source.name), "projection", "locator", "all", settings_of(), "cpu")
    data = load_locator_data(job)
    assert data.training == ["ball_0", "ball_1", "ball_2"]
    assert data.notes == ["Left out, as it is not known where the ball is in them: 2 cases (ball_3, ball_4)."]
    beside = [{"train": ["ball_1", "ball_3"], "val": ["ball_0", "ball_2", "ball_4"]}, {"train": ["ball_0"], "val": ["ball_1"]}]
    write_json(source / "splits_final.json", beside)  # names all that the dataset has
    split = load_locator_data(replace(job, fold="0"))
    assert (split.training, split.validation) == (["ball_1"], ["ball_0", "ball_2"])
    for file in (source / "splits_final.json", job.folder.splits_of(LOCATION)):
        file.unlink()
    split = load_locator_data(replace(job, fold="0"))
    assert sorted(name for each in split.splits for name in each["val"]) == ["ball_0", "ball_1", "ball_2"]


def test_a_band_that_marks_no_level_is_refused(make_job: MakeJob) -> None:
    job = make_job("0", band=500.0)
    with pytest.raises(AutosegError, match="band=500 is more than half of the .* rows of a projection"):
        check_locator_job(job, load_locator_data(job))
