"""Models of every task in their folders: none is taken for one of another task."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.tasks.anomaly.model import load_detector
from autoseg.tasks.localization.model import load_locator
from autoseg.tasks.segmentation.model import load_model
from autoseg.workspace import ModelFolder

LOADERS: dict[str, Callable[[ModelFolder], Any]] = {
    "segmentation": load_model, "anomaly": load_detector, "localization": load_locator}


@pytest.mark.parametrize(("wanted", "there"), [*permutations(LOADERS, 2)])
def test_a_model_of_another_task_is_refused_by_name(tmp_path: Path, wanted: str, there: str) -> None:
    folder = ModelFolder(tmp_path / "mine")
    write_json(folder.model_json, {"task": there})
    wrong = f'mine holds a model of the task "{there}", but one of the task "{wanted}" is expected with -m'
    with pytest.raises(AutosegError, match=rf"{wrong}\. autoseg_predict -m with this folder alone runs it as what it is"):
        LOADERS[wanted](folder)


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_a_folder_without_description_is_no_model(tmp_path: Path, load: Callable[[ModelFolder], Any]) -> None:
    with pytest.raises(AutosegError, match=r"is not a trained model: it has no model\.json"):
        load(ModelFolder(tmp_path))
