"""What several verbs share."""

from __future__ import annotations

import shlex
from pathlib import Path

from autoseg.dataset import find_dataset, load_dataset, numbered
from autoseg.errors import AutosegError
from autoseg.plan import Plans
from autoseg.workspace import DatasetFolder, Workspace, read_model

PathLike = str | Path


def planned(dataset: str, place: Workspace) -> DatasetFolder:
    """The planned dataset in the workspace. Raises AutosegError with the command that plans it."""
    there = {folder.name: folder for folder in place.planned_datasets()}
    named = [dataset] if dataset in there else numbered(dataset, there)
    if len(named) == 1:  # the user's own folder may be gone: not all that is done needs it
        return there[named[0]]
    source = find_dataset(dataset, place)
    folder = place.dataset(load_dataset(source).name)
    if not folder.plans_json.exists():
        raise AutosegError(
            f"{folder.name} has not been planned in the workspace {place.root}. Run: "
            + shlex.join(["autoseg_plan_and_preprocess", dataset, *folder.workspace_flags])
        )
    return folder


def default_configuration(folder: DatasetFolder) -> str:
    planned = read_model(folder.plans_json, Plans).configurations
    return "3d_fullres" if "3d_fullres" in planned else next(iter(planned))
