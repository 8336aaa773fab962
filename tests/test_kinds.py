"""Kinds of models: each is named in one place, and all that is found by these names is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.api.training import trained_by
from autoseg.kinds import ANOMALY, KINDS, LOCATION, Kind, kind_for, kind_of
from autoseg.planners import CONFIGURATIONS, SUMMARIES
from autoseg.workspace import DatasetFolder, Workspace


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.task)
def test_a_kind_has_a_planner_a_recipe_and_a_training(kind: Kind) -> None:
    assert kind_of(kind.configuration) == kind and kind_for(kind.task) == kind
    assert trained_by(kind.recipe).task.name == kind.task
    assert kind.configuration in SUMMARIES and kind.configuration not in CONFIGURATIONS
    assert kind.planner_flags[:2] == ("--planner", kind.configuration)


def test_kinds_are_told_apart_by_each_of_their_names() -> None:
    for field in ("task", "configuration", "recipe", "noun", "plural", "does", "answers"):
        assert len({getattr(kind, field) for kind in KINDS}) == len(KINDS)


def test_what_is_no_kind_segments() -> None:
    assert kind_of("3d_fullres") is None and kind_of(None) is None and kind_for("segmentation") is None
    assert trained_by("default").task.name == "segmentation"


def test_they_are_called_so_that_sentences_read_well() -> None:
    assert (ANOMALY.called, ANOMALY.called_first) == ("an anomaly detector", "An anomaly detector")
    assert (LOCATION.called, LOCATION.called_first) == ("a locator", "A locator")
    assert LOCATION.planner_flags == ("--planner", "projection", "--find", "LABEL")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.task)
def test_a_dataset_that_is_planned_for_a_kind_alone_is_planned(kind: Kind, tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path / "A")
    folder.root.mkdir()
    assert Workspace(tmp_path).planned_datasets() == []
    folder.plans_of(kind).touch()
    assert Workspace(tmp_path).planned_datasets() == [folder]
