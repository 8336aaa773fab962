"""Tiny trainings, and a planned dataset of volumes with a bright ball to train on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoseg.api.projection import plan_projection
from autoseg.trainers.job import Job
from autoseg.trainers.settings.locator import LocatorSettings
from autoseg.workspace import DatasetFolder

MakeJob = Callable[..., Job[LocatorSettings]]


def settings_of(**changes: Any) -> LocatorSettings:
    """Two epochs of two steps, in float32, with a network of a few channels that looks at projections as they are."""
    return LocatorSettings.model_validate({
        "epochs": 2, "iterations": 2, "batch_size": 2, "base_features": 4, "precision": "float32", "zooms": (1.0,), **changes})


@pytest.fixture(name="settings_of")
def settings_of_fixture() -> Callable[..., LocatorSettings]:
    return settings_of


@pytest.fixture(scope="session")
def planned_balls(tmp_path_factory: pytest.TempPathFactory, make_balls: Callable[..., Path]) -> Path:
    """Six volumes, of which the last has no ball, projected for `find ball`; in a workspace."""
    root = tmp_path_factory.mktemp("balls")
    source = make_balls(root, with_ball=5, without=1)
    plan_projection(source, find="ball", pixel_mm=2.0, depth=2, workers=1, workspace=root / "workspace", quiet=True)
    return root / "workspace" / source.name


@pytest.fixture
def make_job(planned_balls: Path, tmp_path: Path) -> MakeJob:
    """A function that gives a job on these volumes, in a workspace of the test's own: fold, name, and settings."""
    own = tmp_path / "workspace" / planned_balls.name
    own.mkdir(parents=True)
    for path in planned_balls.iterdir():
        (own / path.name).symlink_to(path)

    def make(fold: str = "0", name: str | None = None, **changes: Any) -> Job[LocatorSettings]:
        return Job(DatasetFolder(own), "projection", "locator", fold, settings_of(**changes), "cpu", name)

    return make
