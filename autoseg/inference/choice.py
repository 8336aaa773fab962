"""Which model a prediction uses, where the user did not have to say."""

from __future__ import annotations

from pathlib import Path

from autoseg.errors import AutosegError
from autoseg.workspace import ModelFolder, Workspace


def choose_model(
    workspace: Workspace, dataset: str | None, model: Path | None, configuration: str | None, recipe: str | None
) -> ModelFolder:
    """The model in the folder `model`, or the only one with finished folds that fits what was named.

    dataset: name of a dataset in the workspace. None leaves open.
    Raises AutosegError where there is none, and where there are several: then it lists them with the flags to type.
    """
    if model is not None:
        return ModelFolder(model)
    finished = [
        (folder.name, found) for folder in workspace.planned_datasets() for found in folder.models() if found.finished_folds()
    ]
    fitting = [
        (name, found) for name, found in finished
        if dataset in (None, name) and configuration in (None, found.configuration) and recipe in (None, found.recipe)
    ]
    if len(fitting) == 1:
        return fitting[0][1]
    if not finished:
        raise AutosegError(
            f"The workspace {workspace.root} holds no model with a finished fold. Train one with autoseg_train, name "
            "another workspace with --workspace, or a model's folder with -m."
        )
    listed = "\n".join(f"  -d {name} -c {found.configuration} -tr {found.recipe}" for name, found in fitting or finished)
    if not fitting:
        raise AutosegError(f"No model in the workspace {workspace.root} fits these flags. There are:\n{listed}")
    raise AutosegError(f"{len(fitting)} models could be meant. Say which, with one of:\n{listed}")
