"""Which task a prediction means, which models of a task that makes no ensemble, and what a user is asked where that is open."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.inference.choice import choose_members, resolve_task
from autoseg.task import TaskInfo
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.localization import INFO as LOCALIZATION
from autoseg.tasks.segmentation import INFO as SEGMENTATION
from autoseg.workspace import ModelFolder, Workspace

TASKS = (SEGMENTATION, ANOMALY, LOCALIZATION)
RECIPES = {"default": "segmentation", "anogan": "anomaly", "locator": "localization"}
NAME, OTHER = "Dataset001_Tiny", "Dataset002_Other"
Names = tuple[str, ...]


class Place:
    """A workspace that tests fill with plans and models in name only."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)

    def add(
        self, task: TaskInfo, recipe: str = "", dataset: str = NAME, configuration: str = "", is_finished: bool = True
    ) -> ModelFolder:
        """Return a model of the task that its dataset was planned for."""
        folder = self.workspace.dataset(dataset)
        model = folder.model(configuration or task.configurations[0], recipe or task.recipe)
        write_json(folder.plans_of(task), {})
        write_json(model.model_json, {"task": task.name})
        if is_finished:
            model.fold(0).root.mkdir(parents=True)
            model.fold(0).checkpoint_final.touch()
        return model

    def task(self, dataset: str | None = None, c: Names = (), tr: Names = (), m: tuple[ModelFolder, ...] = ()) -> TaskInfo:
        return resolve_task(TASKS, self.workspace, dataset, [model.root for model in m], c, tr, RECIPES)

    def choose(
        self, task: TaskInfo, dataset: str | None = None, c: Names = (), tr: Names = (), m: tuple[ModelFolder, ...] = ()
    ) -> ModelFolder:
        chosen = choose_members(task, TASKS, self.workspace, dataset, [model.root for model in m], c, tr)
        assert chosen.task == task and (chosen.rules, chosen.says, chosen.note) == ((), (), "")
        [member] = chosen.members
        return member


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("task", [ANOMALY, LOCALIZATION], ids=lambda task: task.name)
def test_a_task_is_meant_where_its_models_are_all_there_is(place: Place, task: TaskInfo) -> None:
    assert place.task() == SEGMENTATION
    place.add(SEGMENTATION, is_finished=False)
    model = place.add(task)
    assert place.task() == task and place.choose(task) == model
    place.add(SEGMENTATION, "other")
    assert place.task() == SEGMENTATION


def test_of_two_other_tasks_one_has_to_be_named(place: Place) -> None:
    locator, detector = place.add(LOCALIZATION), place.add(ANOMALY)
    with pytest.raises(AutosegError, match=rf"Models of 2 tasks could be meant\. Say which, with one of:\n  -d {NAME} -c slices "
                       rf"-tr anogan\n  -d {NAME} -c projection -tr locator"):
        place.task()
    assert place.task(tr=("locator",)) == place.task(c=("projection",)) == place.task(m=(locator,)) == LOCALIZATION
    assert place.task(tr=("anogan",)) == place.task(c=("slices",)) == place.task(m=(detector,)) == ANOMALY
    place.add(LOCALIZATION, dataset=OTHER)
    assert place.task(OTHER) == LOCALIZATION


def test_configurations_and_names_of_models_say_what_is_meant(place: Place) -> None:
    segmenter = place.add(SEGMENTATION, configuration="tiny")
    place.add(LOCALIZATION, "mine")
    place.add(ANOMALY, "theirs")
    assert place.task(tr=("mine",)) == LOCALIZATION and place.task(tr=("theirs",)) == ANOMALY
    assert place.task(tr=("default",)) == place.task(c=("tiny",)) == place.task() == place.task(m=(segmenter,)) == SEGMENTATION
    assert place.task(c=("slices",), tr=("theirs",)) == ANOMALY


@pytest.mark.parametrize(("c", "tr", "message"), [
    (("slices", "2d"), (), "-c slices names an anomaly detector, but -c 2d names a segmentation model"),
    (("slices", "projection"), (), "-c slices names an anomaly detector, but -c projection names a locator"),
    (("2d",), ("anogan",), "-c 2d names a segmentation model, but -tr anogan names an anomaly detector"),
    ((), ("mine", "default"), "-tr mine names a locator, but -tr default names a segmentation model"),
])
def test_models_of_several_tasks_are_not_averaged(place: Place, c: Names, tr: Names, message: str) -> None:
    place.add(SEGMENTATION)
    place.add(LOCALIZATION, "mine")
    with pytest.raises(AutosegError, match=rf"{message}\. Leave one of them out: models of several tasks make no ensemble"):
        place.task(c=c, tr=tr)


def test_a_recipe_or_name_of_models_that_are_not_finished_says_what_is_meant(place: Place) -> None:
    assert place.task(tr=("anogan",)) == ANOMALY and place.task(tr=("mine",)) == SEGMENTATION
    place.add(SEGMENTATION)
    place.add(ANOMALY, "mine", is_finished=False)
    assert place.task(tr=("anogan",)) == place.task(tr=("mine",)) == place.task(tr=("anogan", "mine")) == ANOMALY
    place.add(SEGMENTATION, "anogan")  # of that name, this one can be run
    assert place.task(tr=("anogan",)) == SEGMENTATION
    place.add(ANOMALY)  # and so can this one
    assert place.task(tr=("anogan",)) == SEGMENTATION and place.task(c=("slices",), tr=("anogan",)) == ANOMALY


def test_a_name_that_no_one_knows_says_nothing(place: Place) -> None:
    place.add(ANOMALY)
    assert place.task(tr=("other",)) == place.task(c=("slices",), tr=("my_package:build",)) == ANOMALY
    with pytest.raises(AutosegError, match=rf"No model in the workspace .* fits these flags\. There are:\n  -d {NAME} -c slices"):
        place.choose(ANOMALY, tr=("other",))


def test_a_dataset_narrows_what_is_meant(place: Place) -> None:
    place.add(SEGMENTATION)
    place.add(ANOMALY, dataset=OTHER)
    assert place.task() == place.task(NAME) == SEGMENTATION and place.task(OTHER) == ANOMALY


def test_without_finished_models_plans_say_what_is_meant(place: Place) -> None:
    place.add(LOCALIZATION, is_finished=False)
    assert place.task() == place.task(NAME) == LOCALIZATION
    with pytest.raises(AutosegError, match=r"holds no locator with a finished fold\. Train one with autoseg_train DATASET 0 -tr "
                       r"locator, name another workspace"):
        place.choose(LOCALIZATION)
    place.add(SEGMENTATION, dataset=OTHER, is_finished=False)
    assert place.task() == SEGMENTATION


def test_folders_of_which_one_makes_no_ensemble_are_of_its_task(place: Place) -> None:
    detector, segmenter = place.add(ANOMALY), place.add(SEGMENTATION)
    assert place.task(m=(segmenter, detector)) == ANOMALY
    assert place.task(m=(ModelFolder(place.workspace.root / "nowhere"),)) == SEGMENTATION


def test_several_models_are_listed_with_flags(place: Place) -> None:
    place.add(ANOMALY)
    mine = place.add(ANOMALY, "mine")
    other = place.add(ANOMALY, dataset=OTHER)
    with pytest.raises(AutosegError, match=rf"3 anomaly detectors could be meant.*\n  -d {NAME} -c slices -tr anogan\n"):
        place.choose(ANOMALY)
    assert place.choose(ANOMALY, tr=("mine",)) == mine and place.choose(ANOMALY, OTHER) == other


def test_a_folder_is_taken_as_it_is_named_and_alone(place: Place) -> None:
    one, other = place.add(LOCALIZATION), place.add(LOCALIZATION, "mine")
    assert place.choose(LOCALIZATION, m=(other,)) == other
    for several, flag in (({"m": (one, other)}, "-m"), ({"tr": ("locator", "mine")}, "-tr")):
        with pytest.raises(AutosegError, match=f"A locator makes no ensemble with other models, but {flag} names several"):
            place.choose(LOCALIZATION, **several)  # type: ignore[arg-type]
    for twice in ({"c": ("projection",)}, {"tr": ("locator",)}, {"dataset": NAME}):
        with pytest.raises(AutosegError, match="-m names the models already. Leave out -d, -c and -tr, or -m"):
            place.choose(LOCALIZATION, m=(one,), **twice)  # type: ignore[arg-type]
