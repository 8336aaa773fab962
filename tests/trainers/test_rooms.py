"""What every task's room gives, and what is the same for all: cases, splits, pinned settings, folds that agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from autoseg.api.training import train
from autoseg.errors import AutosegError
from autoseg.files import write_json, write_text
from autoseg.provenance import Origin
from autoseg.task import TaskInfo
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.classification import INFO as CLASSIFICATION
from autoseg.tasks.localization import INFO as LOCALIZATION
from autoseg.tasks.segmentation import INFO as SEGMENTATION
from autoseg.trainers import anomaly, classification, localization, segmentation
from autoseg.trainers.checkpoint import save_state
from autoseg.trainers.job import Job, changed_cases, pin_cases, pin_settings
from autoseg.workspace import read_json

NOW = Origin.of(train={"a": "1", "b": "2"}, val={"c": "3"})


@dataclass(frozen=True)
class Room:
    """A task, the module that trains it, and what a test needs to know.

    cases: names of all. preprocessed: the verb of messages, and command: that makes them. plans: a change by which cases would be
    other ones. own: settings that folds share, each with what is then said to differ. free: settings in which folds may differ,
    with the one that is told. refused: settings that cannot be trained, and why. fewer: for a size of the batch, what is said
    where memory runs out.
    """

    info: TaskInfo
    module: Any
    cases: list[str]
    preprocessed: str
    command: str
    plans: dict[str, Any]
    own: list[tuple[dict[str, Any], str]]
    free: tuple[dict[str, Any], str]
    refused: tuple[dict[str, Any], str]
    fewer: dict[int, str]


ROOMS = [
    Room(SEGMENTATION, segmentation, ["a", "b", "c"], "preprocessed for 3d_fullres",
         "Dataset001_T -c 3d_fullres", {"transpose": [1, 0, 2]},
         [({"batch_size": 1}, "batch_size"), ({"network": "resunet"}, "network.name"), ({"base_features": 8}, "network.features"),
          ({"mirror": (0,)}, "mirror_axes")],
         ({"momentum": 0.5, "epochs": 9, "seed": 3}, "learning_rate, momentum"), ({"mirror": (3,)}, "mirror"),
         {2: "2 patches of 4 × 4 × 4 at a time.*--set batch_size=1.*Dataset001_T --memory-gb 4"}),
    Room(ANOMALY, anomaly, [f"picture{number:02d}" for number in range(12)], "cut into slices", "Squares --planner slices",
         {"normal_by": "all"},
         [({"latent": 9}, "gan"), ({"features": 3}, "gan"), ({"conv_layers": 3}, "gan"),
          ({"spectral_norm": True}, "spectral_norm"), ({"encoder": True}, "has_encoder"),
          ({"validation_slices": 7}, "validation_slices")],
         ({"lambda": 0.5, "epochs": 9, "seed": 3}, "lambda"), ({"conv_layers": 6}, "cannot be halved so often"),
         {8: "8 slices .*size=4.*--image-size"}),
    Room(LOCALIZATION, localization, [f"ball_{number}" for number in range(6)], "projected",
         "Dataset002_Balls --planner projection --find ball", {"slab": 0.9},
         [({"band": 9.0}, "band"), ({"base_features": 8}, "network"), ({"network": "unet"}, "network"),
          ({"deep_supervision": True}, "network"), ({"norm": "instance"}, "network")],
         ({"learning_rate": 2e-3, "epochs": 9, "seed": 3}, "learning_rate"), ({"band": 500.0}, "band=500 is more than half"),
         {16: r"16 projections of .* Take fewer \(--set batch_size=8\), or plan larger pixels",
          3: r"Take fewer \(--set batch_size=2\)", 2: r"at a time\. Plan larger pixels \(--spacing MM\)\."}),
    Room(CLASSIFICATION, classification, [f"picture{number:02d}" for number in range(10)], "framed",
         "Grays --planner classification --depth 2", {"percentiles": [1.0, 99.0]},
         [({"pooling": "mean"}, "shape"), ({"base_features": 8}, "shape"), ({"network": "unet"}, "shape"),
          ({"dropout": 0.5}, "shape"), ({"loss": "focal"}, "loss"), ({"prior": False}, "prior")],
         ({"learning_rate": 2e-3, "epochs": 9, "seed": 3}, "learning_rate"), ({"hidden": 0}, "hidden"),
         {8: r"8 cases of .* Take fewer \(--set batch_size=4\), or plan fewer voxels \(--edge VOXELS\)",
          2: r"at a time\. Plan fewer voxels \(--edge VOXELS\)\."}),
]


@pytest.fixture(params=ROOMS, ids=lambda room: room.info.name)
def room(request: pytest.FixtureRequest) -> Room:
    chosen: Room = request.param
    return chosen


@pytest.fixture
def make_job(room: Room, request: pytest.FixtureRequest) -> Callable[..., Job[Any]]:
    """A function that gives a job of the room: fold, name, and settings."""
    made: Callable[..., Job[Any]] = request.getfixturevalue(f"make_{room.info.name}_job")
    return made


def describe(room: Room, job: Job[Any]) -> dict[str, Any]:
    """What model.json says once the fold is described."""
    room.module.steps(job, room.module.load_data(job), lambda share, text: None).describe(job.settings)
    content: dict[str, Any] = read_json(job.model.model_json)
    return content


def replan(job: Job[Any], changes: dict[str, Any]) -> None:
    plans = read_json(job.plans_json)
    job.plans_json.unlink()  # it may be a link to a file that other tests use
    write_json(job.plans_json, {**plans, **changes})


def test_a_room_has_recipes_whose_settings_are_its_own(room: Room) -> None:
    others = [other.module.SETTINGS for other in ROOMS if other is not room]
    assert room.info.recipe in room.module.RECIPES
    for recipe in room.module.RECIPES.values():
        assert isinstance(recipe.settings, room.module.SETTINGS) and recipe.summary
        assert not any(isinstance(recipe.settings, other) for other in others)


def test_defaults_are_the_recipes(room: Room, make_job: Callable[..., Job[Any]]) -> None:
    job = make_job()
    recipe = room.module.RECIPES[room.info.recipe]
    epochs = read_json(job.plans_json).get("epochs", recipe.settings.epochs)
    assert room.module.defaults(recipe, job.folder) == recipe.settings.model_copy(update={"epochs": epochs}) == job.defaults


def test_cases_are_split_into_folds_of_the_tasks_own(room: Room, make_job: Callable[..., Job[Any]]) -> None:
    job = make_job("0")
    others = [job.folder.root / other.info.splits_file for other in ROOMS if other is not room]
    for path in others:
        write_json(path, [{"train": ["another"], "val": ["and_another"]}])
    data = room.module.load_data(job)
    assert sorted(data.training + data.validation) == room.cases and data.folds == min(5, len(room.cases))
    assert read_json(job.folder.root / room.info.splits_file) == data.splits
    facts = data.cases_of("0").facts
    assert (sorted(facts["train"]), sorted(facts["val"])) == (sorted(data.training), sorted(data.validation))
    with pytest.raises(AutosegError, match='no fold "7"'):
        room.module.load_data(replace(job, fold="7"))


def test_fold_all_trains_on_every_case_and_makes_no_splits(room: Room, make_job: Callable[..., Job[Any]]) -> None:
    job = make_job("all")
    data = room.module.load_data(job)
    assert (sorted(data.training), data.validation, data.folds, data.notes) == (room.cases, [], 0, [])
    assert not job.splits_json.exists()


def test_cases_that_are_missing_or_of_other_plans_are_named_with_the_command(
    room: Room, make_job: Callable[..., Job[Any]]
) -> None:
    job, count = make_job(), len(room.cases)
    replan(job, room.plans)
    with pytest.raises(AutosegError, match=rf"{count} of {count} cases were {room.preprocessed} by other plans than those in "
                       rf".*{room.info.plans_file}: {room.cases[0]}.* Run: autoseg_plan_and_preprocess {room.command}"):
        room.module.load_data(job)
    stored = job.folder.root / "preprocessed"
    stored.rename(stored.parent / "elsewhere")
    with pytest.raises(AutosegError, match=rf"{count} of {count} cases are not {room.preprocessed}: {room.cases[0]}.* "
                       rf"Run: autoseg_plan_and_preprocess {room.command}"):
        room.module.load_data(job)


def test_a_dataset_that_was_not_planned_for_the_task_is_told_the_command(room: Room, make_job: Callable[..., Job[Any]]) -> None:
    job = make_job()
    job.plans_json.unlink()
    with pytest.raises(AutosegError, match=f"autoseg_plan_and_preprocess .*{' '.join(room.info.planner_flags)}"):
        if room.info.is_default:
            room.module.load_data(job)
        train(job.folder.name, 0, recipe=room.info.recipe, workspace=job.folder.root.parent, quiet=True)


def test_folds_that_differ_in_what_they_must_share_are_not_one_model(room: Room, make_job: Callable[..., Job[Any]]) -> None:
    first = make_job("0")
    describe(room, first)
    write_text(first.fold_folder.training_state, "begun")
    for change, named in room.own:
        other = make_job("1", **change)
        message = (rf"holds folds \(0\) of another model: {named}\S*=\S+ \(now .* a name of its own \(--name\).* recipe, "
                   "settings and plans.*--restart begins this one anew")
        with pytest.raises(AutosegError, match=message):
            describe(room, other)
        with pytest.raises(AutosegError, match=message):
            room.module.check(other, room.module.load_data(other))
        describe(room, replace(other, name=f"with_{'_'.join(change)}"))
    with pytest.raises(AutosegError, match=r"of another model: recipe=\S+ \(now own:build\)\."):
        describe(room, replace(make_job("1"), recipe="own:build", name=first.recipe))


def test_folds_may_be_trained_differently_and_that_is_said(room: Room, make_job: Callable[..., Job[Any]]) -> None:
    first = make_job("0")
    described = describe(room, first)
    write_text(first.fold_folder.checkpoint_final, "trained")
    changes, told = room.free
    other = make_job("1", **changes)
    *_, note = room.module.check(other, room.module.load_data(other))
    assert f"other folds (0) were trained with another {told}: " in note
    assert describe(room, other) == described  # the model's, which fold 0 wrote


def test_plans_that_differ_in_their_reasons_alone_are_the_same_model(room: Room, make_job: Callable[..., Job[Any]]) -> None:
    first = make_job("0")
    described = describe(room, first)
    write_text(first.fold_folder.training_state, "begun")
    plans = described["plans"]
    told = {"versions": {"autoseg": "0"}}
    if room.info.is_default:
        told |= {"planner": "own", "memory_gb": 9, "configurations": {
            name: {**each, "reasons": {"network": "Just so."}, "memory_values": 1e9}
            for name, each in plans["configurations"].items()}}
    else:
        told |= {"reasons": {"axis": "Just so."}}
    write_json(first.model.model_json, {**described, "plans": {**plans, **told}})
    describe(room, make_job("1"))
    write_json(first.model.model_json, {**described, "plans": {**plans, **room.plans}})
    with pytest.raises(AutosegError, match=r"of another model: (plans\.)?\w+"):
        describe(room, make_job("1"))


def test_a_run_that_continues_is_told_of_folds_with_other_plans_or_cases(room: Room, make_job: Callable[..., Job[Any]]) -> None:
    job = make_job("0")
    data = room.module.load_data(job)
    assert room.module.check_begun(job, data) == []
    described = describe(room, job)
    pin_cases(replace(job, fold="1"), data.cases_of("1"))
    write_text(job.model.fold("1").checkpoint_final, "trained")
    assert room.module.check_begun(job, data) == []
    swapped = [data.splits[1], data.splits[0], *data.splits[2:]]
    with pytest.raises(AutosegError, match="fold_1 was begun with other cases"):
        room.module.check_begun(job, replace(data, splits=swapped))
    write_json(job.model.model_json, {**described, "plans": {**described["plans"], **room.plans}})
    with pytest.raises(AutosegError, match=r"holds folds \(1\) that were begun with other labels or plans .* Move that folder"):
        room.module.check_begun(job, data)


def test_what_cannot_begin_is_refused_before_restart_throws_anything_away(
    room: Room, make_job: Callable[..., Job[Any]]
) -> None:
    job = make_job("1")
    write_text(job.fold_folder.checkpoint_final, "trained for days")
    settings, words = room.refused
    for changes, message in (({"settings": settings}, words), ({"device": "quantum"}, "no device"), ({"fold": 7}, 'no fold "7"'),
                             ({"settings": {"there_is_none": 1}}, "no setting"),
                             ({"name": "multiscale"}, "is the name of a recipe")):
        wanted: dict[str, Any] = {"fold": 1, "device": "cpu", "configuration": job.configuration, **changes}
        with pytest.raises(AutosegError, match=message):
            train(job.folder.name, recipe=job.recipe, restart=True, workspace=job.folder.root.parent, quiet=True, **wanted)
    describe(room, first := make_job("0"))
    write_text(first.fold_folder.training_state, "begun")
    ((key, value),) = room.own[1][0].items()
    with pytest.raises(AutosegError, match=r"holds folds \(0\) of another model: .* a name of its own \(--name\)"):
        train(job.folder.name, 1, job.configuration, job.recipe, restart=True, device="cpu", settings={key: value},
              workspace=job.folder.root.parent, quiet=True)
    assert job.fold_folder.checkpoint_final.exists()


def test_where_memory_runs_out_what_takes_less_is_told(room: Room, make_job: Callable[..., Job[Any]]) -> None:
    for batch_size, words in room.fewer.items():
        job = make_job(batch_size=batch_size)
        told = room.module.steps(job, room.module.load_data(job), lambda share, text: None).too_large(job.settings)
        assert re.search(words, told), told


def test_an_unfinished_fold_continues_with_its_own_settings_alone(room: Room, make_job: Callable[..., Job[Any]]) -> None:
    job = make_job(learning_rate=0.25)
    with pytest.raises(AutosegError, match="Fold 0 has nothing to continue"):
        pin_settings(replace(job, settings=None))
    save_state(job.fold_folder.training_state, {"settings": job.settings.model_dump(mode="json")})
    assert pin_settings(replace(job, settings=None)) == pin_settings(job) == job.settings
    here = make_job(learning_rate=0.25, cudnn_benchmark=False)  # how it runs on this machine, and not what is trained
    assert pin_settings(here) == here.settings != job.settings
    with pytest.raises(AutosegError, match=r"started with other settings .*learning_rate=0.25 \(now 0.5\).*--continue"):
        pin_settings(make_job(learning_rate=0.5))
    save_state(job.fold_folder.training_state, {"settings": {**job.settings.model_dump(mode="json"), "gone": 1}})
    with pytest.raises(AutosegError, match=r"settings that the recipe no longer has in this form \(gone\)"):
        pin_settings(job)


@pytest.fixture
def begun(make_segmentation_job: Callable[..., Job[Any]]) -> Job[Any]:
    """A fold that was begun with `NOW`."""
    job = make_segmentation_job()
    pin_cases(job, NOW)
    write_text(job.fold_folder.training_state, "begun")
    return job


def test_a_fold_continues_with_the_cases_that_it_was_begun_with(begun: Job[Any]) -> None:
    pin_cases(begun, NOW)
    assert changed_cases(begun, NOW) == []


def test_a_fold_that_would_be_validated_on_what_it_trained_on_is_refused(begun: Job[Any]) -> None:
    turned = Origin.of(train={"a": "1", "c": "3"}, val={"b": "2"})
    with pytest.raises(AutosegError, match=r"begun with other cases than the folds have now \(b, c\).*--restart"):
        pin_cases(begun, turned)
    begun.fold_folder.training_state.unlink()
    write_text(begun.fold_folder.checkpoint_final, "trained")
    with pytest.raises(AutosegError, match="other cases"):
        changed_cases(begun, turned)


def test_the_splits_of_the_task_are_named(room: Room, make_job: Callable[..., Job[Any]]) -> None:
    job = make_job()
    pin_cases(job, NOW)
    write_text(job.fold_folder.training_state, "begun")
    splits = room.info.splits_file
    with pytest.raises(AutosegError, match=rf"\): {splits} or the dataset changed .* or put {splits} and the cases back"):
        pin_cases(job, Origin.of(train={}, val={}))


def test_images_that_changed_since_are_named(begun: Job[Any]) -> None:
    (note,) = changed_cases(begun, Origin.of(train={"a": "1", "b": "new"}, val={"c": "new"}))
    assert "images, labels or plans of 2 cases changed (b, c)" in note and "--restart" in note


def test_a_fold_that_is_not_begun_takes_the_cases_of_today(begun: Job[Any]) -> None:
    begun.fold_folder.training_state.unlink()
    other = Origin.of(train={"c": "3"}, val={"a": "1"})
    assert changed_cases(begun, other) == []
    pin_cases(begun, other)
    write_text(begun.fold_folder.training_state, "begun")
    with pytest.raises(AutosegError, match="other cases"):
        pin_cases(begun, NOW)


def test_nothing_is_known_of_the_cases_of_a_fold_without_a_record(begun: Job[Any]) -> None:
    begun.fold_folder.cases_json.unlink()
    assert changed_cases(begun, Origin.of(train={}, val={})) == []
