"""Lines that a user is told to type: they name dataset and model where the command would ask, or take another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.commands import prediction_by_another, prediction_command
from autoseg.inference.choice import choose_members, resolve_task
from autoseg.task import TaskInfo
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.localization import INFO as LOCALIZATION
from autoseg.tasks.segmentation import INFO as SEGMENTATION
from autoseg.workspace import DatasetFolder, Workspace

TASKS = (SEGMENTATION, ANOMALY, LOCALIZATION)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path))
    return Workspace(tmp_path)


def train(folder: DatasetFolder, task: TaskInfo, configuration: str = "", recipe: str = "") -> None:
    model = folder.model(configuration or task.configurations[0], recipe or task.recipe)
    model.fold(0).root.mkdir(parents=True)
    for file in (folder.plans_of(task), model.model_json, model.fold(0).checkpoint_final):
        file.touch()


def flags(folder: DatasetFolder, task: TaskInfo, configuration: str | None = None, recipe: str = "", *more: str) -> str:
    """Return all that stands behind the folders, after making sure that it says what is meant."""
    line = prediction_command(folder, task, TASKS, configuration, recipe or task.recipe, *more)
    start = f"autoseg_predict -i IMAGES -o {task.outputs}"
    assert line.startswith(start)
    return line.removeprefix(start).strip()


def chosen_by(place: Workspace, typed: str) -> tuple[str, str, str, str]:
    """Return task, dataset, configuration and recipe of the only model that flags choose."""
    words = typed.split()
    given = {flag: tuple(words[i + 1] for i, word in enumerate(words) if word == flag) for flag in ("-d", "-c", "-tr")}
    dataset = given["-d"][0] if given["-d"] else None
    task = resolve_task(TASKS, place, dataset, (), given["-c"], given["-tr"], {})
    [member] = choose_members(task, TASKS, place, dataset, (), given["-c"], given["-tr"]).members
    return task.name, member.dataset.name, member.configuration, member.recipe


def test_segmentation_is_told_dataset_and_model_where_several_could_be_meant(place: Workspace) -> None:
    first, second = place.dataset("Dataset001_A"), place.dataset("Dataset002_B")
    train(first, SEGMENTATION, "2d")
    assert flags(first, SEGMENTATION, "2d") == flags(first, SEGMENTATION) == ""
    train(first, SEGMENTATION, "3d_fullres")
    assert flags(first, SEGMENTATION, "2d") == "-c 2d"
    train(second, SEGMENTATION, "2d")
    assert flags(first, SEGMENTATION, "3d_fullres") == "-c 3d_fullres"  # the other dataset has none
    train(first, ANOMALY)
    assert flags(first, SEGMENTATION, "2d") == "-d Dataset001_A -c 2d"
    train(first, SEGMENTATION, "2d", "mine:build")
    assert flags(first, SEGMENTATION, "2d") == "-d Dataset001_A -c 2d -tr default"
    assert flags(first, SEGMENTATION, "2d", "mine:build") == "-c 2d -tr mine:build"
    first.best_of(SEGMENTATION).touch()
    assert flags(first, SEGMENTATION, "2d") == "-d Dataset001_A"


def test_other_tasks_are_told_their_model_where_the_command_would_take_another(place: Workspace) -> None:
    first, second = place.dataset("Dataset001_A"), place.dataset("Dataset002_B")
    train(first, ANOMALY)
    assert flags(first, ANOMALY) == ""
    train(second, SEGMENTATION, "2d")
    assert flags(first, ANOMALY) == "-tr anogan"
    train(first, ANOMALY, recipe="mine")
    train(second, ANOMALY)
    assert flags(first, ANOMALY) == "-d Dataset001_A -tr anogan" and flags(first, ANOMALY, None, "mine") == "-tr mine"
    train(first, SEGMENTATION, "2d", recipe="anogan")
    assert flags(first, ANOMALY, "slices") == "-d Dataset001_A -tr anogan -c slices"
    assert flags(first, ANOMALY, "slices", "mine", "--map") == "-tr mine --map"


def test_the_flags_choose_the_model_that_they_are_printed_for(place: Workspace) -> None:
    first, second = place.dataset("A"), place.dataset("B")
    for number, (folder, task, configuration, recipe) in enumerate((
        (first, LOCALIZATION, "projection", "locator"), (second, LOCALIZATION, "projection", "locator"),
        (first, SEGMENTATION, "2d", "locator"), (first, SEGMENTATION, "2d", "default"), (second, ANOMALY, "slices", "anogan"),
        (second, SEGMENTATION, "3d_fullres", "default"), (first, ANOMALY, "slices", "mine"),
        (first, LOCALIZATION, "projection", "mine"),
    )):
        train(folder, task, configuration, recipe)
        for model in (model for dataset in place.planned_datasets() for model in dataset.models()):
            its = next(one for one in TASKS if model.configuration in one.configurations)
            typed = flags(model.dataset, its, model.configuration, model.recipe)
            assert chosen_by(place, typed) == (its.name, model.dataset.name, model.configuration, model.recipe), (number, typed)


def test_further_flags_and_the_workspace_stand_behind_the_model(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place.dataset("Dataset001_A")
    train(folder, SEGMENTATION, "2d")
    monkeypatch.delenv("AUTOSEG_WORKSPACE")
    assert flags(folder, SEGMENTATION, "2d", "", "--gate", "a b") == f"--gate 'a b' --workspace {place.root}"


def test_another_datasets_model_goes_without_a_name_where_there_is_one(place: Workspace) -> None:
    folder = place.dataset("Dataset001_A")
    train(folder, ANOMALY)
    train(place.dataset("Dataset002_B"), SEGMENTATION)
    line = "autoseg_predict -i IMAGES -o SEGMENTATIONS"
    assert prediction_by_another(folder, SEGMENTATION, "--gate", "x") == f"{line} --gate x"
    train(place.dataset("Dataset003_C"), SEGMENTATION)
    assert prediction_by_another(folder, SEGMENTATION, "--gate", "x") == f"{line} -d DATASET --gate x"
