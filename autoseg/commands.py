"""Command lines that messages and the report tell a user to type."""

from __future__ import annotations

import shlex
from typing import Any

from autoseg.kinds import KINDS, Kind, Task, kind_for
from autoseg.plan import Plans
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, read_json


def command_line(folder: DatasetFolder, program: str, *arguments: str) -> str:
    """`program`, such as "autoseg find-best", for this dataset; names the workspace where commands would take another."""
    return shlex.join([*program.split(), folder.name, *arguments, *folder.workspace_flags])


def planning_command(folder: DatasetFolder, plans: Plans, *arguments: str, memory_gb: float | None = None) -> str:
    """The line that plans the dataset again as it was planned; memory_gb: for another GPU."""
    planner = ["--planner", plans.planner] if plans.planner != "default" else []
    wanted_gb = memory_gb or plans.memory_gb
    memory = ["--memory-gb", as_flag(wanted_gb)] if wanted_gb else []
    return command_line(folder, "autoseg_plan_and_preprocess", *arguments, *planner, *memory)


def as_flag(value: object) -> str:
    """A value as --set takes it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(map(as_flag, value))
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def model_flags(configuration: str, recipe: str) -> list[str]:
    """Which model a command means; the default recipe goes without saying. recipe: or the name that the model was given."""
    return ["-c", configuration, *(["-tr", recipe] if recipe != "default" else [])]


def training_flags(model: ModelFolder) -> list[str]:
    """Which model autoseg_train is to train: configuration, recipe, and its name where that is another."""
    recipe = str(described(model).get("recipe", model.recipe))
    name = ["--name", model.recipe] if recipe != model.recipe else []
    return [*model_flags(model.configuration, recipe), *name]


def described(model: ModelFolder) -> dict[str, Any]:
    """What model.json says, whatever version wrote it; nothing where there is none."""
    content = read_json(model.model_json) if model.model_json.exists() else {}
    return content if isinstance(content, dict) else {}


def task_of(model: ModelFolder) -> Task:
    """What a model does, as model.json says it; "segmentation" where that says nothing."""
    kind = kind_for(str(described(model).get("task")))
    return kind.task if kind else "segmentation"


def prediction_command(folder: DatasetFolder, configuration: str, recipe: str) -> str:
    """The line that segments new images, by what find-best chose, else by the model that is named.

    Dataset and model stand in it only where autoseg_predict would ask which one is meant.
    """
    arguments = _segmentation_flags(folder, configuration, recipe)
    return shlex.join(["autoseg_predict", "-i", "IMAGES", "-o", "SEGMENTATIONS", *arguments, *folder.workspace_flags])


def gate_command(folder: DatasetFolder, detector: ModelFolder, segmentation: ModelFolder | None) -> str:
    """The line of `prediction_command` that lets a detector of this dataset flag images, too.

    segmentation: as `prediction_command` has it. None where this dataset has no trained one: then another dataset's is used, and
    DATASET stands for its name where there are several.
    """
    if segmentation is not None:
        arguments = _segmentation_flags(folder, segmentation.configuration, segmentation.recipe)
    else:
        arguments = ["-d", "DATASET"] if sum(_trained(other) > 0 for other in _others(folder)) > 1 else []
    return shlex.join(["autoseg_predict", "-i", "IMAGES", "-o", "SEGMENTATIONS", *arguments, "--gate", str(detector.root),
                       *folder.workspace_flags])


def command_of_kind(folder: DatasetFolder, kind: Kind, recipe: str, *flags: str) -> str:
    """The line that does to new images what a model of this kind and dataset does. recipe: or the name that it was given."""
    arguments, others = ["-tr", recipe], _others(folder)
    if any(model.recipe == recipe for other in others for model in other.models_of(kind)):
        arguments = ["-d", folder.name, *arguments]
    if any(model.recipe == recipe for every in (folder, *others) for model in _of_other_kinds(every, kind)):
        arguments += ["-c", kind.configuration]
    return shlex.join(["autoseg_predict", "-i", "IMAGES", "-o", kind.answers, *arguments, *flags, *folder.workspace_flags])


def _of_other_kinds(folder: DatasetFolder, kind: Kind) -> list[ModelFolder]:
    return [*folder.models(), *(model for other in KINDS if other != kind for model in folder.models_of(other))]


def _segmentation_flags(folder: DatasetFolder, configuration: str, recipe: str) -> list[str]:
    arguments = ["-d", folder.name] if any(map(_trained, _others(folder))) else []
    if not folder.best_json.exists() and _trained(folder) > 1:
        arguments += model_flags(configuration, recipe)
    return arguments


def _others(folder: DatasetFolder) -> list[DatasetFolder]:
    """The other planned datasets of the workspace."""
    return [other for other in Workspace(folder.root.parent).planned_datasets() if other.root != folder.root]


def _trained(folder: DatasetFolder) -> int:
    return sum(bool(model.finished_folds()) for model in folder.models())
