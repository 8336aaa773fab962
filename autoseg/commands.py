"""Command lines that messages and the report tell a user to type."""

from __future__ import annotations

import shlex

from autoseg.workspace import DatasetFolder, Workspace


def command_line(folder: DatasetFolder, program: str, *arguments: str) -> str:
    """`program`, such as "autoseg find-best", for this dataset; names the workspace where commands would take another."""
    return shlex.join([*program.split(), folder.name, *arguments, *workspace_flags(folder)])


def model_flags(configuration: str, recipe: str) -> list[str]:
    """Which model a command means; the default recipe goes without saying."""
    return ["-c", configuration, *(["-tr", recipe] if recipe != "default" else [])]


def workspace_flags(folder: DatasetFolder) -> list[str]:
    """`--workspace DIR`, or nothing where commands that are typed here and now find this workspace by themselves."""
    root = folder.root.resolve().parent
    return [] if Workspace.at(None).root.resolve() == root else ["--workspace", str(root)]
