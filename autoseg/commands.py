"""Command lines that messages and the report tell a user to type."""

from __future__ import annotations

import shlex
from typing import Any

from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, read_json


def command_line(folder: DatasetFolder, program: str, *arguments: str) -> str:
    """`program`, such as "autoseg find-best", for this dataset; names the workspace where commands would take another."""
    return shlex.join([*program.split(), folder.name, *arguments, *folder.workspace_flags])


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


def prediction_command(folder: DatasetFolder, configuration: str, recipe: str) -> str:
    """The line that segments new images, by what find-best chose, else by the model that is named.

    Dataset and model stand in it only where autoseg_predict would ask which one is meant.
    """
    others = [other for other in Workspace(folder.root.parent).planned_datasets() if other.root != folder.root]
    arguments = ["-d", folder.name] if any(_trained(other) for other in others) else []
    if not folder.best_json.exists() and _trained(folder) > 1:
        arguments += model_flags(configuration, recipe)
    return shlex.join(["autoseg_predict", "-i", "IMAGES", "-o", "SEGMENTATIONS", *arguments, *folder.workspace_flags])


def _trained(folder: DatasetFolder) -> int:
    return sum(bool(model.finished_folds()) for model in folder.models())
