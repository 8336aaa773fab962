"""What kind of model a prediction means, and which one, where that is no segmentation and the user did not have to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.commands import task_of
from autoseg.errors import AutosegError
from autoseg.inference.choice import finished_models, flags_naming
from autoseg.kinds import KINDS, Kind, Task, kind_for, kind_of
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace

NAMED_TWICE = "-m names the model already. Leave out -d, -c and -tr, or -m."


@dataclass(frozen=True)
class ChosenModel:
    """why: in words."""

    folder: ModelFolder
    why: str


def meant_kind(
    workspace: Workspace, dataset: str | None, model: Sequence[Path], configuration: Sequence[str], recipe: Sequence[str],
    recipes: Mapping[str, Task],
) -> Kind | None:
    """What kind of model a prediction means; None to segment (see `autoseg.inference.choice.choose_members`).

    A kind is meant where its model's folder is in `model`; by its configuration; by a recipe (or name) that models of the kind
    have and no finished segmentation model, trained or not; and where nothing segments but its models or plans are there.
    dataset: name of one in the workspace, or None. recipes: what each one trains, whether any was trained or not. Raises
    AutosegError where models of several kinds are named or could be meant, or flags contradict each other.
    """
    if model:
        return _kind_of_folders(model, bool(configuration))
    if of_configuration := [kind for kind in map(kind_of, configuration) if kind]:
        return _alone(of_configuration[0], configuration)
    folders = _datasets(workspace, dataset)
    named = {name: kind for name in recipe if (kind := _kind_of_name(name, folders, recipes))}
    if named:
        return _require_alone(named, configuration, recipe)
    if configuration or any(not recipe or found.recipe in recipe for folder in folders for found in finished_models(folder)):
        return None
    return _only_kind(folders)


def _kind_of_folders(model: Sequence[Path], has_configuration: bool) -> Kind | None:
    kinds = [kind for path in model if (kind := kind_for(task_of(ModelFolder(path))))]
    if kinds and has_configuration:
        raise AutosegError(NAMED_TWICE)
    return kinds[0] if kinds else None


def _alone(kind: Kind, configuration: Sequence[str]) -> Kind:
    if set(configuration) != {kind.configuration}:
        raise AutosegError(f"-c {kind.configuration} names {kind.called}, which makes no ensemble with other models. Name one or "
                           "the other.")
    return kind


def _kind_of_name(name: str, folders: Sequence[DatasetFolder], recipes: Mapping[str, Task]) -> Kind | None:
    if any(found.recipe == name for folder in folders for found in finished_models(folder)):
        return None
    having = [kind for kind in KINDS if any(found.recipe == name for folder in folders for found in folder.models_of(kind))]
    return having[0] if having else kind_for(recipes.get(name, "segmentation"))


def _require_alone(named: Mapping[str, Kind], configuration: Sequence[str], recipe: Sequence[str]) -> Kind:
    """Raises AutosegError where a configuration or recipe of another kind is named with it."""
    name, kind = next(iter(named.items()))
    if configuration:
        raise AutosegError(f"-tr {name} names {kind.called}, which takes {kind.configuration}, not {' '.join(configuration)}. "
                           "Leave out -c, or name a segmentation model's recipe.")
    others = [other for other in recipe if named.get(other) != kind]
    if others:
        raise AutosegError(f"-tr {name} names {kind.called}, which makes no ensemble with other models, but "
                           f"{' '.join(others)} is named with it. Name one or the other.")
    return kind


def _only_kind(folders: Sequence[DatasetFolder]) -> Kind | None:
    """Of which there are models, or else plans and none for segmentation."""
    trained = [kind for kind in KINDS if _models(folders, kind)]
    if len(trained) > 1:
        found = [model for kind in trained for model in _models(folders, kind)]
        raise AutosegError(f"Models of {len(trained)} kinds could be meant. Say which, with one of:\n{_listed(found)}")
    if trained:
        return trained[0]
    if any(folder.plans_json.exists() for folder in folders):
        return None
    return next((kind for kind in KINDS if any(folder.plans_of(kind).exists() for folder in folders)), None)


def choose_model(
    kind: Kind, workspace: Workspace, dataset: str | None, model: Sequence[Path], recipe: Sequence[str]
) -> ChosenModel:
    """The model in the folder `model`, or the only one of its kind in the workspace that has the dataset and the recipe (or
    name).

    dataset: name of one in the workspace; None, like an empty `model` or `recipe`, leaves open. Raises AutosegError where there
    is none, where several are named, and where several could be meant: then it lists them with the flags to type.
    """
    if model:
        return _choose_folder(kind, model, bool(dataset or recipe))
    if len(recipe) > 1:
        raise AutosegError(f"{kind.called_first} makes no ensemble with other models, but -tr names several. Name one "
                           f"{kind.noun}.")
    folders = _datasets(workspace, dataset)
    models = _models(folders, kind)
    fitting = [found for found in models if not recipe or found.recipe in recipe]
    if len(fitting) == 1:
        return ChosenModel(fitting[0], "as you named it" if recipe else f"the only {kind.noun} there is")
    if fitting:
        raise AutosegError(f"{len(fitting)} {kind.plural} could be meant. Say which, with one of:\n{_listed(fitting)}")
    if models:
        others = [found for folder in folders for found in finished_models(folder)]
        raise AutosegError(f"No model in the workspace {workspace.root} fits these flags. There are:\n"
                           + _listed([*others, *models]))
    raise AutosegError(
        f"The workspace {workspace.root} holds no {kind.noun}{f' of {dataset}' if dataset else ''} with a finished fold. "
        f"Train one with autoseg_train {dataset or 'DATASET'} 0 -tr {kind.recipe}, name another workspace with --workspace, or a "
        f"{kind.short}'s folder with -m.")


def _choose_folder(kind: Kind, model: Sequence[Path], is_named_otherwise: bool) -> ChosenModel:
    if is_named_otherwise:
        raise AutosegError(NAMED_TWICE)
    if len(model) > 1:
        raise AutosegError(f"{kind.called_first} makes no ensemble with other models, but -m names several. Name one "
                           f"{kind.short}.")
    return ChosenModel(ModelFolder(model[0]), "as you named it")


def _datasets(workspace: Workspace, dataset: str | None) -> list[DatasetFolder]:
    return [folder for folder in workspace.planned_datasets() if dataset in (None, folder.name)]


def _models(folders: Sequence[DatasetFolder], kind: Kind) -> list[ModelFolder]:
    """Those with a finished fold."""
    return [found for folder in folders for found in folder.models_of(kind) if found.finished_folds()]


def _listed(models: Sequence[ModelFolder]) -> str:
    return "\n".join(map(flags_naming, models))
