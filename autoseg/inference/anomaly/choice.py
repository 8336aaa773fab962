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


def choose_detector(
    workspace: Workspace, dataset: str | None, model: Sequence[Path], configuration: Sequence[str], recipe: Sequence[str]
) -> ChosenDetector | None:
    """The detector that is meant; None where a segmentation is (see `autoseg.inference.choice.choose_members`).

    A detector is meant by its folder in `model`, by the configuration "slices", by a recipe (or name) that no segmentation model
    there has, and, where nothing is named, if detectors are all that there is. dataset: name of one in the workspace, or None.
    Raises AutosegError where none fits, several do, or other models are named with it.
    """
    if model:
        return _choose_folder(model, bool(dataset or configuration or recipe))
    if configuration and CONFIGURATION not in configuration:
        return None
    if set(configuration) - {CONFIGURATION}:
        raise AutosegError(f"-c {CONFIGURATION} names an anomaly detector, which makes no ensemble with segmentation models. "
                           "Name one or the other.")
    folders = [folder for folder in workspace.planned_datasets() if dataset in (None, folder.name)]
    detectors = [found for folder in folders for found in _finished_detectors(folder)]
    segmenting = [found for folder in folders for found in finished_models(folder)]
    if not configuration and (not detectors or any(not recipe or found.recipe in recipe for found in segmenting)):
        return None
    fitting = [found for found in detectors if not recipe or found.recipe in recipe]
    if len(fitting) == 1:
        return ChosenDetector(fitting[0], "as you named it" if configuration or recipe else "the only model there is")
    if fitting:
        raise AutosegError(f"{len(fitting)} anomaly detectors could be meant. Say which, with one of:\n{_listed(fitting)}")
    if detectors:
        raise AutosegError(f"No model in the workspace {workspace.root} fits these flags. There are:\n"
                           + _listed([*segmenting, *detectors]))
    raise AutosegError(
        f"The workspace {workspace.root} holds no anomaly detector with a finished fold. Train one with autoseg_train DATASET 0 "
        "-tr anogan, name another workspace with --workspace, or a detector's folder with -m.")


def _choose_folder(model: Sequence[Path], is_named_otherwise: bool) -> ChosenDetector | None:
    detectors = [path for path in model if is_detector(ModelFolder(path))]
    if not detectors:
        return None
    if is_named_otherwise:
        raise AutosegError("-m names the model already. Leave out -d, -c and -tr, or -m.")
    if len(model) > 1:
        raise AutosegError(f"{detectors[0]} is an anomaly detector, which makes no ensemble with other models. Name it alone.")
    return ChosenDetector(ModelFolder(detectors[0]), "as you named it")


def _finished_detectors(folder: DatasetFolder) -> list[ModelFolder]:
    return [found for found in folder.anomaly_models() if found.finished_folds()]


def _listed(models: Sequence[ModelFolder]) -> str:
    return "\n".join(map(flags_naming, models))
