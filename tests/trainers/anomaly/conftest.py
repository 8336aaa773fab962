"""Tiny trainings, and a planned dataset of pictures to train on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from autoseg.api.slices import plan_slices
from autoseg.trainers.job import Job
from autoseg.trainers.settings.anomaly import AnomalySettings
from autoseg.workspace import DatasetFolder

MakeJob = Callable[..., Job[AnomalySettings]]


def settings_of(**changes: Any) -> AnomalySettings:
    """Two epochs of three steps, in float32, with networks of a few channels."""
    settings: dict[str, Any] = {
        "epochs": 2, "iterations": 3, "batch_size": 4, "latent": 4, "features": 1, "precision": "float32", "search_steps": 2,
        "sample_epochs": 1, **changes}
    return AnomalySettings.model_validate(settings)


@pytest.fixture(name="settings_of")
def settings_of_fixture() -> Callable[..., AnomalySettings]:
    return settings_of


@pytest.fixture(scope="session")
def planned_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve gray pictures of 64 × 64 pixels, noise with a bright square in it, eight of them normal; in a workspace."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(12):
        pixels = random.integers(0, 80, (64, 64), np.uint8)
        pixels[20:40, 20 + 2 * number:30 + 2 * number] += 150
        path = root / "Squares" / ("normal" if number < 8 else "abnormal") / f"picture{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(pixels).save(path)
    plan_slices(root / "Squares", workers=1, workspace=root / "workspace", quiet=True)
    return root / "workspace" / "Squares"


@pytest.fixture
def make_job(planned_pictures: Path, tmp_path: Path) -> MakeJob:
    """A function that gives a job on these pictures, in a workspace of the test's own: fold, name, and settings."""
    own = tmp_path / "workspace" / "Squares"
    own.mkdir(parents=True)
    for path in planned_pictures.iterdir():
        (own / path.name).symlink_to(path)

    def make(fold: str = "0", name: str | None = None, **changes: Any) -> Job[AnomalySettings]:
        return Job(DatasetFolder(own), "slices", "anogan", fold, settings_of(**changes), "cpu", name)

    return make
