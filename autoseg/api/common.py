"""What several verbs share."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from autoseg.dataset import Dataset, find_dataset, load_dataset, numbered
from autoseg.errors import AutosegError
from autoseg.kinds import ANOMALY, KINDS, Kind
from autoseg.plan import Plans
from autoseg.workspace import DatasetFolder, Workspace, read_model

PathLike = str | Path
OneOrSeveral = PathLike | Sequence[PathLike] | None


def several(value: OneOrSeveral) -> Sequence[PathLike]:
    """All that were named; () for None."""
    if value is None:
        return ()
    return (value,) if isinstance(value, (str, Path)) else value


def planned(dataset: str, place: Workspace) -> DatasetFolder:
    """The dataset that was planned for segmentation. Raises AutosegError with the command that plans it, or where it has nothing
    to segment, with the next one on the way to another kind of model."""
    folder = in_workspace(dataset, place)
    if folder.plans_json.exists():
        return folder
    if kind := next((kind for kind in KINDS if folder.plans_of(kind).exists()), None):
        so_far = f"{folder.name} has been planned for {kind.plural} (-tr {kind.recipe}), and not for segmentation."
        if segments(read_model(folder.dataset_json, Dataset)):
            raise AutosegError(f"{so_far} To segment, plan it for that too: {_planning(dataset, folder)}")
        train = shlex.join(["autoseg_train", dataset, "0", "-tr", kind.recipe, *folder.workspace_flags])
        raise AutosegError(f"{so_far} It has no labels but background, so there is nothing to segment. Train {kind.called}: "
                           f"{train}")
    so_far = f"{folder.name} has not been planned in the workspace {place.root}."
    if segments(load_dataset(find_dataset(dataset, place))):
        raise AutosegError(f"{so_far} Run: {_planning(dataset, folder)}")
    raise AutosegError(f"{so_far} It has no labels but background, so there is nothing to segment. Plan it for a locator where "
                       "you have a list of points (--planner projection --points FILE.csv), or for an anomaly detector "
                       f"(-tr anogan): {_planning(dataset, folder, *ANOMALY.planner_flags)}")


def name_in(dataset: PathLike | None, place: Workspace) -> str | None:
    """The name of a dataset in the workspace, however it was given; None where it was left open."""
    return None if dataset is None else in_workspace(str(dataset), place).name


def model_folders(model: OneOrSeveral) -> list[Path]:
    """As they were named; none where that was left open."""
    return [Path(folder) for folder in several(model)]


def segments(dataset: Dataset) -> bool:
    """Whether there is anything to segment: without foreground labels, a dataset is for other kinds of models: anomaly
    detectors, and with a list of points locators."""
    return bool(dataset.labels.foreground)


def planned_for(dataset: str, place: Workspace, kind: Kind | None) -> DatasetFolder:
    """The dataset that was planned for models of this kind, or for segmentation. Raises AutosegError with the command that plans
    it."""
    if kind is None:
        return planned(dataset, place)
    folder = in_workspace(dataset, place)
    if folder.plans_of(kind).exists():
        return folder
    so_far = f"planned for segmentation, but not for {kind.plural}" if folder.plans_json.exists() else "not planned"
    command = _planning(dataset, folder, *kind.planner_flags)
    raise AutosegError(f"{folder.name} is {so_far} in the workspace {place.root}. {kind.called_first} needs that. Run: {command}")


def _planning(dataset: str, folder: DatasetFolder, *flags: str) -> str:
    return shlex.join(["autoseg_plan_and_preprocess", dataset, *flags, *folder.workspace_flags])


def in_workspace(dataset: str, place: Workspace) -> DatasetFolder:
    """The folder of a dataset in the workspace, whether it was planned or not."""
    there = {folder.name: folder for folder in place.planned_datasets()}
    named = [dataset] if dataset in there else numbered(dataset, there)
    if len(named) == 1:  # the user's own folder may be gone: not all that is done needs it
        return there[named[0]]
    return place.dataset(load_dataset(find_dataset(dataset, place)).name)


def default_configuration(folder: DatasetFolder) -> str:
    planned = read_model(folder.plans_json, Plans).configurations
    return "3d_fullres" if "3d_fullres" in planned else next(iter(planned))
