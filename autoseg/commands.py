"""Command lines that messages and the report tell a user to type."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from autoseg.task import TaskInfo
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, described, finished_models


def command_line(folder: DatasetFolder, program: str, *arguments: str) -> str:
    """Return a line with `program`, such as "autoseg find-best", for this dataset; it names the workspace if commands need it."""
    return shlex.join([*program.split(), folder.name, *arguments, *folder.workspace_flags])


def as_flag(value: object) -> str:
    """Return a value in the form in which --set takes it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(map(as_flag, value))
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def model_flags(configuration: str, recipe: str) -> list[str]:
    """Return the flags that name a model; the default recipe needs none. recipe: or the name that the model was given."""
    return ["-c", configuration, *(["-tr", recipe] if recipe != "default" else [])]


def training_flags(model: ModelFolder) -> list[str]:
    """Return the flags that tell autoseg_train which model to train: configuration, recipe, and its name if that is another."""
    recipe = str(described(model).get("recipe", model.recipe))
    name = ["--name", model.recipe] if recipe != model.recipe else []
    return [*model_flags(model.configuration, recipe), *name]


def prediction_command(
    folder: DatasetFolder, task: TaskInfo, tasks: Sequence[TaskInfo], configuration: str | None, recipe: str, *flags: str
) -> str:
    """Return the line that does to new images what a model of this dataset does, or find-best's choice where there is one.

    tasks: all that there are. configuration: of the model; None for that of its recipe. recipe: or the name that the model was
    given. flags: further ones. Dataset and model stand in the line only where autoseg_predict would take another without them, or
    ask.
    """
    here = finished_models(folder, task)
    configuration = configuration or next(
        (model.configuration for model in here if model.recipe == recipe), task.configurations[0])
    others = [model for other in _others(folder) for model in finished_models(other, task)]
    is_chosen = task.averages and folder.best_of(task).exists()
    is_named_first = is_chosen or len(task.configurations) > 1
    named = {"-c": configuration, "-tr": recipe} if is_named_first else {"-tr": recipe, "-c": configuration}
    rivals = [] if is_chosen else [model for model in here if _names(model) != {"-c": configuration, "-tr": recipe}]
    if not task.is_default:
        rivals += [model for every in (folder, *_others(folder)) for other in tasks if other != task
                   for model in finished_models(every, other)]
    arguments: list[str] = []
    for flag, name in named.items():
        if rivals:
            arguments += [flag, name]
            rivals, others = ([model for model in models if _names(model)[flag] == name] for models in (rivals, others))
    return _prediction(folder, task, [*(["-d", folder.name] if others else []), *arguments, *flags])


def prediction_by_another(folder: DatasetFolder, task: TaskInfo, *flags: str) -> str:
    """Return the line that predicts by another dataset's model of this task, as this dataset has none.

    DATASET stands for the other's name where there are several. flags: further ones.
    """
    several = sum(bool(finished_models(other, task)) for other in _others(folder)) > 1
    return _prediction(folder, task, [*(["-d", "DATASET"] if several else []), *flags])


def _prediction(folder: DatasetFolder, task: TaskInfo, arguments: Sequence[str]) -> str:
    return shlex.join(["autoseg_predict", "-i", "IMAGES", "-o", task.outputs, *arguments, *folder.workspace_flags])


def _names(model: ModelFolder) -> dict[str, str]:
    """Return the flags that name a model of a dataset, each with its value."""
    return {"-c": model.configuration, "-tr": model.recipe}


def _others(folder: DatasetFolder) -> list[DatasetFolder]:
    """Return the other datasets of the workspace."""
    return [other for other in Workspace(folder.root.parent).datasets() if other.root != folder.root]
