"""meant_task: what kind of model flags or arguments of a prediction mean."""

from __future__ import annotations

from autoseg.api.common import OneOrSeveral, PathLike, model_folders, name_in, several
from autoseg.api.training import all_recipes, trained_by
from autoseg.kinds import Task
from autoseg.workspace import Workspace


def meant_task(
    dataset: PathLike | None = None, model: OneOrSeveral = None, configuration: OneOrSeveral = None, recipe: OneOrSeveral = None,
    workspace: PathLike | None = None,
) -> Task:
    """What the model does that is named, or that is all there is: "segmentation", so that `predict_files` is meant, "anomaly"
    (`predict_anomalies`) or "localization" (`predict_locations`).

    Raises AutosegError where models of several kinds are named together or could be meant.
    """
    from autoseg.inference.kind_choice import meant_kind

    place = Workspace.at(workspace)
    recipes: dict[str, Task] = {name: trained_by(name).task.name for name in all_recipes()}  # type: ignore[misc]
    kind = meant_kind(place, name_in(dataset, place), model_folders(model), [*map(str, several(configuration))],
                      [*map(str, several(recipe))], recipes)
    return kind.task if kind else "segmentation"
