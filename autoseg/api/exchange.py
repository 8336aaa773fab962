"""import_models: models from a zip archive or a folder, into the workspace. And the models that -m means, archives included."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import PathLike
from autoseg.best import Best
from autoseg.commands import model_flags, prediction_command
from autoseg.errors import AutosegError, many
from autoseg.files import atomic_folder, remove_leftovers, write_json
from autoseg.inference import packed
from autoseg.names import name_fault
from autoseg.workspace import (
    DatasetFolder,
    ModelFolder,
    Workspace,
    described,
    finished_models,
    previous_stage,
    read_model,
    task_of,
)


class Named(NamedTuple):
    """A model by what its model.json says, wherever its folder lies. called: its own name, or its recipe's."""

    dataset: str
    configuration: str
    called: str


@dataclass(frozen=True)
class ImportResult:
    """models: the folders of what was imported. notes: what the user should know. next_command: predicts with it."""

    models: tuple[ModelFolder, ...]
    notes: tuple[str, ...]
    next_command: str


def model_folders(path: Path) -> list[ModelFolder]:
    """Return the models that a path given with -m, or to import, means (see `packed.model_folders`), those of other programs that
    a task can take over among them."""
    return packed.model_folders(path, [task.foreign for task in tasks.TASKS if task.foreign is not None])


def name_of(model: ModelFolder) -> Named:
    """Return dataset, configuration and name of a model. Raises AutosegError where model.json lacks one of them, or it can be no
    folder's name."""
    if not model.model_json.is_file():
        raise AutosegError(f"{model.root} is not a trained model: it has no model.json. Give the folder that holds model.json, "
                           "or a zip archive that autoseg export wrote.")
    its = described(model)
    values = (its.get("dataset"), its.get("configuration_name"), its.get("name") or its.get("recipe"))
    named = Named(*(str(value or "") for value in values))
    for key, value in zip(("dataset", "configuration_name", "recipe"), named, strict=True):
        if fault := name_fault(value):
            raise AutosegError(f"{model.model_json} gives {value[:100]!a} as {key}, which must be a folder's name: {fault}. Get "
                               "the model again from where it was trained.")
    return named


def named_models(paths: Sequence[str], configurations: Sequence[str], recipes: Sequence[str]) -> tuple[list[ModelFolder], bool]:
    """Return the models that -m names, and whether -c and -tr told which of an archive's are meant.

    An archive of one model means that one. Of several, these are meant that -c or -tr name, else find-best's choice where the
    archive holds all of it. Raises AutosegError that lists the models where it stays open which are meant.
    """
    models, told = list[ModelFolder](), bool(paths)
    for path in map(Path, paths):
        found = model_folders(path)
        is_one = len(found) == 1 and found[0].root == path
        told = told and not is_one
        models += found if is_one else [replace(model, given=path) for model in _meant(path, found, configurations, recipes)]
    return models, told and bool(configurations or recipes)


def _meant(
    path: Path, found: Sequence[ModelFolder], configurations: Sequence[str], recipes: Sequence[str]
) -> Sequence[ModelFolder]:
    named = {model: name_of(model) for model in found}
    if configurations or recipes:
        meant = [model for model, its in named.items() if (not configurations or its.configuration in configurations)
                 and (not recipes or its.called in recipes)]
        per_name = Counter(named[model].configuration if configurations else named[model].called for model in meant)
        is_plain = bool(configurations and recipes) or max(per_name.values(), default=0) == 1
        lacking = {*configurations} - {its.configuration for its in named.values()} | (
            {*recipes} - {its.called for its in named.values()})
        if meant and is_plain and not lacking:
            return meant
    else:
        earlier = {stage.root for model in found if (stage := previous_stage(model)) is not None}
        meant = [model for model in found if model.root not in earlier] if len(found) > 1 else list(found)
        if len(meant) == 1:
            return meant
        for best in [read_model(model.best_json, Best) for model in meant if model.best_json.exists()]:
            members = {(member.configuration, member.recipe) for member in best.members}
            chosen = [model for model in meant if named[model][1:] in members]
            if len(chosen) == len(members):
                return chosen
    listed = "\n".join(f"  {' '.join(model_flags(its.configuration, its.called))}" for its in named.values())
    wrong = "None of them fits these flags, or several do." if configurations or recipes else "Say which is meant."
    raise AutosegError(f"{path} holds {many(len(found), 'model')}. {wrong} Several -c make an ensemble. There are:\n{listed}")


def import_models(
    source: PathLike, name: str | None = None, overwrite: bool = False, workspace: PathLike | None = None, quiet: bool = False
) -> ImportResult:
    """Bring models into the workspace, where they are predicted, ensembled and evaluated like those that were trained here.

    source: a zip archive that `export_models` wrote, or a folder (see `model_folders`). name: of the model in the workspace; None
    for that which it has. overwrite: replace a model of this name. Each model is opened first, so that none is imported that
    cannot predict. Raises AutosegError where the source holds no model, one of them cannot be opened, or its place is taken; then
    nothing is imported.
    """
    place, found = Workspace.at(workspace), model_folders(Path(source))
    named = {model: _named_anew(model, name) for model in found}
    targets = {model: place.dataset(its.dataset).model(its.configuration, its.called) for model, its in named.items()}
    for target, count in Counter(targets.values()).items():
        if count > 1:
            raise AutosegError(f"{source} holds {count} models that would become {target.root}. Import the folders of the models "
                               "one by one, each with a --name of its own.")
        if any(target.root.resolve() == model.root.resolve() for model in found):
            raise AutosegError(f"{target.root} is in this workspace already.")
        if target.root.exists() and not overwrite:
            raise AutosegError(f"{target.root} is there already. Give the model another name with --name, or replace it with "
                               "--overwrite.")
    with console.progress(f"Opening {many(len(found), 'model')}", quiet) as report:
        for count, model in enumerate(found):
            report(count / len(found), str(model.root.name))
            _require_usable(model)
    with ExitStack() as stack:
        for model, target in targets.items():
            remove_leftovers(target.root.parent)
            _copy(model, ModelFolder(stack.enter_context(atomic_folder(target.root, overwrite))), named[model])
    notes = [note for dataset in dict.fromkeys(target.dataset for target in targets.values())
             if (note := _settle_choice(dataset, [model for model in targets.values() if model.dataset == dataset]))]
    earlier = {stage.root for target in targets.values() if (stage := previous_stage(target)) is not None}
    first = next(target for target in targets.values() if target.root not in earlier)
    info = next(info for info in tasks.task_infos() if info.name == task_of(first))
    command = prediction_command(first.dataset, info, tasks.task_infos(), first.configuration, first.recipe)
    return ImportResult(tuple(targets.values()), tuple(notes), command)


def _named_anew(model: ModelFolder, name: str | None) -> Named:
    from autoseg.trainers.recipe import check_model_name

    its = name_of(model)
    check_model_name(name, str(described(model).get("recipe")), tasks.recipes_of_all())
    return its if name is None else its._replace(called=name)


def _require_usable(model: ModelFolder) -> None:
    """Raise AutosegError where a model cannot be opened: its task, model.json or weights are not what they should be."""
    from autoseg.inference.choice import Chosen
    from autoseg.options import options_from

    name = task_of(model)
    task = next((task for task in tasks.TASKS if task.info.name == name), None)
    if task is None:
        raise AutosegError(f'{model.model_json} is of the task "{name}", which this version of autoseg does not know. It knows: '
                           f"{', '.join(info.name for info in tasks.task_infos())}.")
    task.prediction.open_models(Chosen(task.info, (model,), ""), None, options_from(task.predict_options, {}), "cpu",
                                lambda labels, spacing_mm, rules: labels)
    if model.best_json.exists():
        read_model(model.best_json, Best)


def _copy(model: ModelFolder, target: ModelFolder, named: Named) -> None:
    """Copy what prediction needs of a model into an empty folder. named: the name that it gets."""
    content = described(model)
    own = {} if named.called == content.get("recipe") else {"name": named.called}
    write_json(target.model_json, {key: value for key, value in content.items() if key != "name"} | own)
    if model.best_json.exists():
        write_json(target.best_json, _renamed(read_model(model.best_json, Best), name_of(model), named))
    for fold in model.finished_folds():
        target.fold(fold).root.mkdir()
        for file, copy in ((model.fold(fold).checkpoint_final, target.fold(fold).checkpoint_final),
                           (model.fold(fold).checkpoint_best, target.fold(fold).checkpoint_best)):
            if file.exists():
                shutil.copyfile(file, copy)


def _renamed(best: Best, before: Named, now: Named) -> Best:
    """Return find-best's choice with the name that its members get; all of one name get the same."""
    members = tuple(member.model_copy(update={"recipe": now.called}) if member.recipe == before.called else member
                    for member in best.members)
    return best.model_copy(update={"members": members})


def _settle_choice(dataset: DatasetFolder, models: Sequence[ModelFolder]) -> str:
    """Make find-best's choice that came with models that of the dataset, where there are no others; return a note, or ""."""
    bests = [read_model(model.best_json, Best) for model in models if model.best_json.exists()]
    keys = {(model.configuration, model.recipe) for model in models}
    best = next((best for best in bests if {(its.configuration, its.recipe) for its in best.members} <= keys), None)
    if best is None:
        return ""
    if {model.root for model in finished_models(dataset)} == {model.root for model in models}:
        info = next(task.info for task in tasks.TASKS if task.info.name == (task_of(models[0]) or tasks.default_task().info.name))
        write_json(dataset.best_of(info), best)
        return ""
    return (f"{dataset.name} has other models, too. To predict with the imported ones and their post-processing, name them: "
            + " ".join(dict.fromkeys(word for its in best.members for word in model_flags(its.configuration, its.recipe))))
