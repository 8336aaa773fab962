"""Which anomaly detector a prediction runs, and whether one is meant at all, where the user did not have to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.commands import is_detector
from autoseg.errors import AutosegError
from autoseg.inference.choice import finished_models, flags_naming
from autoseg.slices.plan import CONFIGURATION
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace


@dataclass(frozen=True)
class ChosenDetector:
    """why: in words."""

    folder: ModelFolder
    why: str


def is_detector_meant(
    workspace: Workspace, dataset: str | None, model: Sequence[Path], configuration: Sequence[str], recipe: Sequence[str]
) -> bool:
    """Whether a prediction is to score anomalies, and not to segment (see `autoseg.inference.choice.choose_members`).

    It is where a detector's folder is in `model`, by the configuration "slices", by a recipe (or name) that detectors have and no
    segmentation model, and, where nothing is named, if detectors are all that there is. dataset: name of one in the workspace, or
    None. Raises AutosegError where segmentation models are named with it.
    """
    if model:
        return any(is_detector(ModelFolder(path)) for path in model)
    if configuration:
        if CONFIGURATION in configuration and set(configuration) != {CONFIGURATION}:
            raise AutosegError(f"-c {CONFIGURATION} names an anomaly detector, which makes no ensemble with segmentation models. "
                               "Name one or the other.")
        return CONFIGURATION in configuration
    folders = _datasets(workspace, dataset)
    segments = any(not recipe or found.recipe in recipe for folder in folders for found in finished_models(folder))
    return not segments and any(_detectors(folders))


def choose_detector(
    workspace: Workspace, dataset: str | None, model: Sequence[Path], recipe: Sequence[str]
) -> ChosenDetector:
    """The detector in the folder `model`, or the only one in the workspace that has the dataset and the recipe (or name).

    dataset: name of one in the workspace; None, like an empty `model` or `recipe`, leaves open. Raises AutosegError where there
    is none, and where several could be meant: then it lists them with the flags to type.
    """
    if model:
        return _choose_folder(model, bool(dataset or recipe))
    folders = _datasets(workspace, dataset)
    detectors = _detectors(folders)
    fitting = [found for found in detectors if not recipe or found.recipe in recipe]
    if len(fitting) == 1:
        return ChosenDetector(fitting[0], "as you named it" if recipe else "the only anomaly detector there is")
    if fitting:
        raise AutosegError(f"{len(fitting)} anomaly detectors could be meant. Say which, with one of:\n{_listed(fitting)}")
    if detectors:
        others = [found for folder in folders for found in finished_models(folder)]
        raise AutosegError(f"No model in the workspace {workspace.root} fits these flags. There are:\n"
                           + _listed([*others, *detectors]))
    raise AutosegError(
        f"The workspace {workspace.root} holds no anomaly detector{f' of {dataset}' if dataset else ''} with a finished fold. "
        f"Train one with autoseg_train {dataset or 'DATASET'} 0 -tr anogan, name another workspace with --workspace, or a "
        "detector's folder with -m.")


def _choose_folder(model: Sequence[Path], is_named_otherwise: bool) -> ChosenDetector:
    if is_named_otherwise:
        raise AutosegError("-m names the model already. Leave out -d, -c and -tr, or -m.")
    if len(model) > 1:
        raise AutosegError("An anomaly detector makes no ensemble with other models, but -m names several. Name one detector.")
    return ChosenDetector(ModelFolder(model[0]), "as you named it")


def _datasets(workspace: Workspace, dataset: str | None) -> list[DatasetFolder]:
    return [folder for folder in workspace.planned_datasets() if dataset in (None, folder.name)]


def _detectors(folders: Sequence[DatasetFolder]) -> list[ModelFolder]:
    """Those with a finished fold."""
    return [found for folder in folders for found in folder.anomaly_models() if found.finished_folds()]


def _listed(models: Sequence[ModelFolder]) -> str:
    return "\n".join(map(flags_naming, models))
