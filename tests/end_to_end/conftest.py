"""A small synthetic dataset, planned and trained for a few steps, that the end-to-end tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from autoseg.cli.main import main
from autoseg.demo import make_synthetic_dataset

SHORT = ("--epochs", "2", "--iterations", "2", "--set", "batch_size=2")


@dataclass(frozen=True)
class Trained:
    """source: the raw dataset. workspace: with its plans and fold 0 of 3d_fullres, trained with the flags `short`."""

    source: Path
    workspace: Path
    short: tuple[str, ...] = SHORT

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def folder(self) -> Path:
        return self.workspace / self.source.name

    @property
    def model(self) -> Path:
        return self.folder / "models" / "3d_fullres" / "default"


Run = Callable[..., int]


@pytest.fixture(scope="session")
def run() -> Run:
    """A function that gives the exit code of `autoseg ARGUMENTS`."""
    return lambda *arguments: main([str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Trained:
    root = tmp_path_factory.mktemp("trained")
    source = make_synthetic_dataset(root, training=6, test=2, shape=(10, 32, 36))
    workspace = root / "workspace"
    assert run("plan_and_preprocess", source, "--workspace", workspace) == 0
    assert run("train", source.name, "0", "--workspace", workspace, *SHORT) == 0
    return Trained(source, workspace)
