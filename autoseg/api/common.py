"""Functions that several verbs share."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.api import tasks
from autoseg.api.tasks import Task
from autoseg.dataset import Dataset, find_dataset, load_dataset, numbered
from autoseg.errors import AutosegError
from autoseg.options import options_from
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, read_model

if TYPE_CHECKING:
    import numpy as np

    from autoseg.best import Rule

PathLike = str | Path
OneOrSeveral = PathLike | Sequence[PathLike] | None


def apply_rules_later(labels: np.ndarray, spacing_mm: tuple[float, float, float], rules: Sequence[Rule]) -> np.ndarray:
    """Apply rules of post-processing (see `apply_rules`), whose libraries are imported with the first case that needs them."""
    from autoseg.postprocessing.rules import apply_rules

    return apply_rules(labels, spacing_mm, rules)


def failings_of(task: Task, model: ModelFolder) -> list[str]:
    """Return in sentences what a model does not do at all, by its validation: of all folds, or of each that was validated."""
    folds = [model.fold(fold).summary_json for fold in model.finished_folds()]
    files = [path for path in ([model.summary_json] if model.summary_json.exists() else folds) if path.exists()]
    try:
        found = [task.evaluation.failings(read_model(path, task.evaluation.SUMMARY)) for path in files]
    except AutosegError:
        return []  # damaged; the report says so
    return [text for key, text in found[0].items() if all(key in its for its in found)] if found else []


def devices_for(device: str, gpus: int | None) -> list[str]:
    """Return the devices that cases are spread over, a process each; the only one where nothing is said of it."""
    if gpus is None:
        return [device]
    from autoseg.device import devices_of

    return devices_of(device, gpus)


def several(value: OneOrSeveral) -> list[str]:
    """Return all that were named, as texts; none for None."""
    if value is None:
        return []
    return [str(entry) for entry in ((value,) if isinstance(value, (str, Path)) else value)]


def planned_for(dataset: PathLike, place: Workspace, task: Task) -> DatasetFolder:
    """Return the folder of a dataset that was planned for a task. Raises AutosegError with the command that plans it, or where
    the dataset has no labels and the task needs some, with the next command on the way to another task."""
    folder, info = in_workspace(str(dataset), place), task.info
    if folder.plans_of(info).exists():
        return folder
    others = [other.info for other in tasks.TASKS if folder.plans_of(other.info).exists()]
    so_far = f"{folder.name} has been planned for {' and '.join(other.plural for other in others)}, but not for {info.plural}" \
        if others else f"{folder.name} has not been planned"
    so_far += f" in the workspace {place.root}."
    if not others and folder.models():
        raise AutosegError(f"{so_far} It has only models that were imported, which can predict. For anything else plan it: "
                           f"{_planning('PATH', folder, *info.planner_flags)}, where PATH is the folder of {folder.name}.")
    known = read_model(folder.dataset_json, Dataset) if others else load_dataset(find_dataset(str(dataset), place))
    if not info.is_default or has_labels(known):
        raise AutosegError(f"{so_far} {info.a_model_first} needs that. Run: {_planning(dataset, folder, *info.planner_flags)}")
    nothing = f"{so_far} It has no labels but background, so there is nothing for {info.a_model} to learn."
    if others:
        train = shlex.join(["autoseg_train", str(dataset), "0", "-tr", others[0].recipe, *folder.workspace_flags])
        raise AutosegError(f"{nothing} Train {others[0].a_model}: {train}")
    raise AutosegError(f"{nothing} {without_labels_plan(dataset, folder)}")


def without_labels_plan(dataset: PathLike, folder: DatasetFolder) -> str:
    """Return what to do with a dataset that has no labels, in a sentence with the command."""
    free = without_labels().info
    return (f"Plan it for {free.a_model} (-tr {free.recipe}), or for another task with --planner: "
            f"{_planning(dataset, folder, *free.planner_flags)}")


def has_labels(dataset: Dataset) -> bool:
    """Tell whether a dataset names anything but background."""
    return bool(dataset.labels.foreground)


def without_labels() -> Task:
    """Return the first task that needs no labels."""
    return next(task for task in tasks.TASKS if not task.info.needs_labels)


def _planning(dataset: PathLike, folder: DatasetFolder, *flags: str) -> str:
    return shlex.join(["autoseg_plan_and_preprocess", str(dataset), *flags, *folder.workspace_flags])


def in_workspace(dataset: str, place: Workspace) -> DatasetFolder:
    """Return the folder of a dataset in the workspace, whether it was planned or not."""
    there = {folder.name: folder for folder in place.datasets()}
    named = [dataset] if dataset in there else numbered(dataset, there)
    if len(named) == 1:  # the user's own folder may be gone; not every verb needs it
        return there[named[0]]
    return place.dataset(load_dataset(find_dataset(dataset, place)).name)


def read_plans(folder: DatasetFolder, task: Task) -> Any:
    """Return the plans of a dataset for a task. Raises AutosegError where they are missing or damaged."""
    return read_model(folder.plans_of(task.info), task.plans)


def default_configuration(folder: DatasetFolder, task: Task) -> str:
    """Return the configuration that is meant where none is named: the usual one where it was planned, else the first."""
    planned: list[str] = task.planner.chosen(read_plans(folder, task), options_from(task.plan_options, {}))
    return task.info.usual_configuration if task.info.usual_configuration in planned else planned[0]
