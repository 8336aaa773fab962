"""When a locator is meant, which one, and what a user is told where that is not clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autoseg.api import meant_task, next_prediction
from autoseg.errors import AutosegError
from autoseg.inference.kind_choice import choose_model, meant_kind
from autoseg.kinds import ANOMALY, LOCATION
from autoseg.tasks.localization.model import load_locator
from autoseg.tasks.segmentation.model import load_model

Names = tuple[str, ...]
RECIPES: dict[str, Any] = {"anogan": "anomaly", "default": "segmentation", "locator": "localization"}


def meant(place: Any, dataset: str | None = None, c: Names = (), tr: Names = (), m: tuple[Path, ...] = ()) -> str:
    kind = meant_kind(place.workspace, dataset, m, c, tr, RECIPES)
    return kind.task if kind else "segmentation"


def choose(place: Any, dataset: str | None = None, tr: Names = (), m: tuple[Path, ...] = ()) -> str:
    return choose_model(LOCATION, place.workspace, dataset, m, tr).folder.recipe


def test_a_locator_is_meant_where_it_is_all_there_is(place: Any) -> None:
    assert meant(place) == "segmentation"
    place.add_locator()
    assert meant(place) == "localization" == meant_task(workspace=place.workspace.root) and choose(place) == "locator"
    place.add_segmentation()
    assert meant(place) == "segmentation"


def test_of_two_kinds_one_has_to_be_named(place: Any) -> None:
    locator, detector = place.add_locator(), place.add_detector()
    with pytest.raises(AutosegError, match=r"Models of 2 kinds could be meant\. Say which, with one of:\n  -d Dataset001_Tiny -c "
                       r"slices -tr anogan\n  -d Dataset001_Tiny -c projection -tr locator"):
        meant(place)
    assert meant(place, tr=("locator",)) == meant(place, c=("projection",)) == meant(place, m=(locator.root,)) == "localization"
    assert meant(place, tr=("anogan",)) == meant(place, c=("slices",)) == meant(place, m=(detector.root,)) == "anomaly"
    place.add_locator(dataset="Dataset002_Other")
    assert meant(place, "Dataset002_Other") == "localization"


def test_names_say_what_is_meant(place: Any) -> None:
    place.add_segmentation()
    place.add_locator("mine")
    place.add_detector("theirs")
    assert meant(place, tr=("mine",)) == "localization" and meant(place, tr=("theirs",)) == "anomaly"
    assert meant(place, tr=("default",)) == meant(place, c=("tiny",)) == meant(place) == "segmentation"
    with pytest.raises(AutosegError, match=r"-c projection names a locator, which makes no ensemble with other models\."):
        meant(place, c=("projection", "tiny"))
    with pytest.raises(AutosegError, match=r"-c slices names an anomaly detector, which makes no ensemble with other models"):
        meant(place, c=("slices", "projection"))
    with pytest.raises(AutosegError, match=r"-tr mine names a locator, .* but theirs is named with it\. Name one or the other"):
        meant(place, tr=("mine", "theirs"))
    with pytest.raises(AutosegError, match=r"-tr mine names a locator, which takes projection, not tiny\. Leave out -c"):
        meant(place, c=("tiny",), tr=("mine",))


def test_an_unfinished_locator_is_none_but_meant_where_no_dataset_was_planned_for_segmentation(place: Any) -> None:
    place.add_locator().fold("0").checkpoint_final.unlink()
    assert meant(place) == "localization"
    with pytest.raises(AutosegError, match=r"holds no locator with a finished fold\. Train one with autoseg_train DATASET 0 -tr"):
        choose(place)


def test_several_locators_are_listed_with_flags(place: Any) -> None:
    place.add_locator()
    place.add_locator("mine")
    place.add_locator(dataset="Dataset002_Other")
    with pytest.raises(AutosegError, match=r"3 locators could be meant.*\n  -d Dataset001_Tiny -c projection -tr locator\n"):
        choose(place)
    assert choose(place, tr=("mine",)) == "mine" and choose(place, "Dataset002_Other") == "locator"
    with pytest.raises(AutosegError, match="makes no ensemble with other models, but -tr names several. Name one locator"):
        choose(place, tr=("mine", "locator"))


def test_locators_are_not_taken_for_other_models(place: Any) -> None:
    locator, segmenter, detector = place.add_locator(), place.add_segmentation(), place.add_detector()
    for load, folder, task, wanted in (
        (load_model, locator, "localization", "segmentation"), (load_locator, segmenter, "segmentation", "localization"),
        (load_locator, detector, "anomaly", "localization"),
    ):
        with pytest.raises(AutosegError, match=f'{folder.recipe} holds a model of the task "{task}", but one of the task '
                           rf'"{wanted}" is expected with -m\. autoseg_predict -m with this folder alone runs it as what it is'):
            load(folder)
    assert choose_model(ANOMALY, place.workspace, None, (), ()).folder.recipe == "anogan"


def test_the_next_command_names_the_locator(place: Any) -> None:
    place.add_locator()
    root = place.workspace.root
    line = next_prediction("Dataset001_Tiny", "projection", "locator", root)
    assert line == f"autoseg_predict -i IMAGES -o LOCATIONS -tr locator --workspace {root}"
