"""Which anomaly detector a prediction runs, and whether one is meant at all, where the user did not have to say."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.commands import is_detector
from autoseg.errors import AutosegError
from autoseg.inference.choice import finished_models, flags_naming
from autoseg.slices.plan import CONFIGURATION
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace

NAMED_TWICE = "-m names the model already. Leave out -d, -c and -tr, or -m."


@dataclass(frozen=True)
class ChosenDetector:
    """why: in words."""

    folder: ModelFolder
    why: str


def is_detector_meant(
    workspace: Workspace, dataset: str | None, model: Sequence[Path], configuration: Sequence[str], recipe: Sequence[str],
    detector_recipes: Collection[str],
) -> bool:
    """Whether a prediction is to score anomalies, and not to segment (see `autoseg.inference.choice.choose_members`).

    It is where a detector's folder is in `model`, by the configuration "slices", by a recipe (or name) that detectors have and no
    finished segmentation model, trained or not, and where nothing segments but detectors or slices for them are there. dataset:
    name of one in the workspace, or None. detector_recipes: that train detectors, whether any was trained or not. Raises
    AutosegError where segmentation models are named with it, or flags contradict each other.
    """
    if model:
        is_meant = any(is_detector(ModelFolder(path)) for path in model)
        if is_meant and configuration:
            raise AutosegError(NAMED_TWICE)
        return is_meant
    if CONFIGURATION in configuration:
        if set(configuration) != {CONFIGURATION}:
            raise AutosegError(f"-c {CONFIGURATION} names an anomaly detector, which makes no ensemble with segmentation models. "
                               "Name one or the other.")
        return True
    folders = _datasets(workspace, dataset)
    detecting = [name for name in recipe if _names_a_detector(name, folders, detector_recipes)]
    if detecting:
        _require_detector_alone(detecting, configuration, recipe)
        return True
    if configuration or any(not recipe or found.recipe in recipe for folder in folders for found in finished_models(folder)):
        return False
    is_planned = any(folder.plans_json.exists() for folder in folders)
    return bool(_detectors(folders)) or (bool(folders) and not is_planned)


def _names_a_detector(name: str, folders: Sequence[DatasetFolder], detector_recipes: Collection[str]) -> bool:
    if any(found.recipe == name for folder in folders for found in finished_models(folder)):
        return False
    return name in detector_recipes or any(found.recipe == name for folder in folders for found in folder.anomaly_models())


def _require_detector_alone(detecting: Sequence[str], configuration: Sequence[str], recipe: Sequence[str]) -> None:
    """Raises AutosegError where a configuration or recipe of segmentation is named with those of detectors."""
    if configuration:
        raise AutosegError(f"-tr {detecting[0]} names an anomaly detector, which takes slices, not {' '.join(configuration)}. "
                           "Leave out -c, or name a segmentation model's recipe.")
    others = [name for name in recipe if name not in detecting]
    if others:
        raise AutosegError(f"-tr {detecting[0]} names an anomaly detector, which makes no ensemble with other models, but "
                           f"{' '.join(others)} is named with it. Name one or the other.")


def choose_detector(
    workspace: Workspace, dataset: str | None, model: Sequence[Path], recipe: Sequence[str]
) -> ChosenDetector:
    """The detector in the folder `model`, or the only one in the workspace that has the dataset and the recipe (or name).

    dataset: name of one in the workspace; None, like an empty `model` or `recipe`, leaves open. Raises AutosegError where there
    is none, where several are named, and where several could be meant: then it lists them with the flags to type.
    """
    if model:
        return _choose_folder(model, bool(dataset or recipe))
    if len(recipe) > 1:
        raise AutosegError("An anomaly detector makes no ensemble with other models, but -tr names several. Name one detector.")
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
        raise AutosegError(NAMED_TWICE)
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
