"""When a detector is meant, which one, and what a user is told where that is not clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autoseg.api import next_prediction
from autoseg.errors import AutosegError
from autoseg.inference.kind_choice import choose_model, meant_kind
from autoseg.kinds import ANOMALY

Names = tuple[str, ...]


def is_meant(place: Any, dataset: str | None = None, c: Names = (), tr: Names = (), m: tuple[Path, ...] = ()) -> bool:
    found = meant_kind(place.workspace, dataset, m, c, tr, {"anogan": "anomaly", "default": "segmentation"})
    return found == ANOMALY


def choose(place: Any, dataset: str | None = None, tr: Names = (), m: tuple[Path, ...] = ()) -> str:
    return choose_model(ANOMALY, place.workspace, dataset, m, tr).folder.recipe


def test_a_detector_is_meant_where_it_is_all_there_is(place: Any) -> None:
    assert not is_meant(place)
    place.add_detector()
    assert is_meant(place) and choose(place) == "anogan"
    place.add_segmentation()
    assert not is_meant(place)


def test_names_say_what_is_meant(place: Any) -> None:
    detector, segmenter = place.add_detector(), place.add_segmentation()
    assert is_meant(place, tr=("anogan",)) and is_meant(place, c=("slices",)) and is_meant(place, m=(detector.root,))
    assert is_meant(place, c=("slices",), tr=("default",))  # and then none is found
    assert not is_meant(place, tr=("default",)) and not is_meant(place, c=("tiny",)) and not is_meant(place, m=(segmenter.root,))
    with pytest.raises(AutosegError, match=r"-c slices names an anomaly detector, which makes no ensemble"):
        is_meant(place, c=("slices", "tiny"))
    with pytest.raises(AutosegError, match=r"-tr anogan names an anomaly detector, .* but default is named with it\. Name one"):
        is_meant(place, tr=("anogan", "default"))
    with pytest.raises(AutosegError, match=r"-tr anogan names an anomaly detector, which takes slices, not tiny\. Leave out -c"):
        is_meant(place, c=("tiny",), tr=("anogan",))


def test_a_detector_is_meant_by_its_name_or_recipe_though_none_is_finished(place: Any) -> None:
    assert is_meant(place, tr=("anogan",)) and not is_meant(place, tr=("mine",)) and not is_meant(place)
    place.add_segmentation()
    place.add_detector("mine").fold("0").checkpoint_final.unlink()
    assert is_meant(place, tr=("anogan",)) and is_meant(place, tr=("mine",)) and is_meant(place, tr=("anogan", "mine"))
    assert not is_meant(place, tr=("default",)) and not is_meant(place)
    place.add_segmentation("anogan")  # of that name, this one can be run
    assert not is_meant(place, tr=("anogan",))


def test_a_dataset_narrows_what_is_meant(place: Any) -> None:
    place.add_segmentation()
    place.add_detector(dataset="Dataset002_Other")
    assert not is_meant(place) and is_meant(place, "Dataset002_Other") and not is_meant(place, "Dataset001_Tiny")


def test_an_unfinished_detector_is_none_but_meant_where_no_dataset_was_planned_for_segmentation(place: Any) -> None:
    place.add_detector().fold("0").checkpoint_final.unlink()
    assert is_meant(place) and is_meant(place, "Dataset001_Tiny")
    with pytest.raises(AutosegError, match=r"holds no anomaly detector with a finished fold\. Train one with autoseg_train"):
        choose(place)


def test_several_detectors_are_listed_with_flags(place: Any) -> None:
    place.add_detector()
    place.add_detector("mine")
    place.add_detector(dataset="Dataset002_Other")
    with pytest.raises(AutosegError, match=r"3 anomaly detectors could be meant.*\n  -d Dataset001_Tiny -c slices -tr anogan\n"):
        choose(place)
    assert choose(place, tr=("mine",)) == "mine" and choose(place, "Dataset002_Other") == "anogan"
    with pytest.raises(AutosegError, match=r"No model in the workspace .* fits these flags\. There are:\n  -d Dataset001_Tiny"):
        choose(place, tr=("other",))


def test_a_folder_is_taken_as_it_is_named_and_alone(place: Any) -> None:
    one, other = place.add_detector().root, place.add_detector("mine").root
    assert choose(place, m=(other,)) == "mine"
    with pytest.raises(AutosegError, match="makes no ensemble with other models, but -m names several"):
        choose(place, m=(one, other))
    with pytest.raises(AutosegError, match="makes no ensemble with other models, but -tr names several"):
        choose(place, tr=("anogan", "mine"))
    with pytest.raises(AutosegError, match="-m names the model already. Leave out -d, -c and -tr, or -m"):
        is_meant(place, c=("slices",), m=(one,))
    with pytest.raises(AutosegError, match="-m names the model already"):
        choose(place, tr=("anogan",), m=(one,))


def test_the_next_command_names_the_detector(place: Any) -> None:
    place.add_detector()
    place.add_segmentation()
    root = place.workspace.root

    def command(recipe: str) -> str:
        line = next_prediction("Dataset001_Tiny", None, recipe, root)
        return line.removeprefix("autoseg_predict -i IMAGES ").removesuffix(f" --workspace {root}")

    assert command("anogan") == "-o SCORES -tr anogan"
    assert command("default") == "-o SEGMENTATIONS"
    place.add_detector(dataset="Dataset002_Other")
    assert command("anogan") == "-o SCORES -d Dataset001_Tiny -tr anogan"
    place.add_segmentation(recipe="anogan")
    assert command("anogan") == "-o SCORES -d Dataset001_Tiny -tr anogan -c slices"
