"""Which planned dataset a command line means."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autoseg.api.common import planned_for
from autoseg.api.tasks import default_task
from autoseg.dataset import find_dataset
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.workspace import Workspace


def test_a_planned_dataset_is_found_by_name_and_number_though_the_users_folder_is_gone(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    place = Workspace(tmp_path / "work")
    folder = place.dataset("Dataset042_Moved")
    for path in (folder.dataset_json, folder.plans_json):
        write_json(path, {"layout": "nnunet", "folder": str(tmp_path / "gone")})
    for argument in ("Dataset042_Moved", "42", "042"):
        assert planned_for(argument, place, default_task()).root == folder.root
    again = rf"was planned from {tmp_path}/gone, which is not there .*: autoseg_plan_and_preprocess PATH --workspace {place.root}"
    with pytest.raises(AutosegError, match=again):
        find_dataset("42", place)
    with pytest.raises(AutosegError, match="7 is no folder, and no dataset of this name or number"):
        planned_for("7", place, default_task())
    shutil.rmtree(folder.root)
    command = f"autoseg_plan_and_preprocess {tiny_dataset} --workspace {place.root}"
    with pytest.raises(AutosegError, match=f"has not been planned in the workspace .* Run: {command}"):
        planned_for(str(tiny_dataset), place, default_task())
