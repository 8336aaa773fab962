"""Which models a prediction averages, where the user did not have to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.best import Best, Member, Rule, member_of
from autoseg.commands import command_line, training_flags
from autoseg.errors import AutosegError
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, read_model


@dataclass(frozen=True)
class Chosen:
    """What a prediction runs.

    members: their probabilities are averaged. rules: post-processing, in order; says: the same in words. why: in words.
    note: what the user should know about the choice; empty where there is nothing.
    """

    members: tuple[ModelFolder, ...]
    rules: tuple[Rule, ...]
    why: str
    says: tuple[str, ...] = ()
    note: str = ""


def choose_members(
    workspace: Workspace, dataset: str | None, model: Sequence[Path], configuration: Sequence[str], recipe: Sequence[str]
) -> Chosen:
    """The models in the folders `model`, those that were named by configuration and recipe, or find-best's choice.

    dataset: name of a dataset in the workspace; None, like an empty `model`, `configuration` or `recipe`, leaves open.
    Where neither configuration nor recipe is named it is `best.json`'s choice, else the only model with finished folds.
    Several configurations, or several recipes, make an ensemble. Post-processing comes with the members of `best.json`.
    Raises AutosegError where there is no such model, and where several could be meant: then it lists them with the flags
    to type.
    """
    if model:
        return _choose_folders(model, bool(dataset or configuration or recipe))
    folder = _choose_dataset(workspace, dataset, configuration, recipe)
    best = read_model(folder.best_json, Best) if folder.best_json.exists() else None
    if configuration or recipe:
        members = _choose_named(folder, configuration, recipe)
        if best is None or _keys(members) != {_key_of_member(member) for member in best.members}:
            return Chosen(members, (), "as you named it" if len(members) == 1 else "as you named them")
        return _with_rules(folder, members, best, "as you named it, which is find-best's choice, too")
    if best is not None:
        return _with_rules(folder, _members_of_best(folder, best), best, f"find-best's choice. {best.reason}")
    candidates = finished_models(folder)
    if len(candidates) > 1:
        raise AutosegError(
            f"{len(candidates)} models could be meant. Let {command_line(folder, 'autoseg find-best')} choose, or say which "
            f"(several -c or -tr make an ensemble), with one of:\n{_listed([folder])}")
    return Chosen(candidates, (), "the only model there is")


def _choose_folders(model: Sequence[Path], is_named_otherwise: bool) -> Chosen:
    if is_named_otherwise:
        raise AutosegError("-m names the models already. Leave out -d, -c and -tr, or -m.")
    twice = [str(path) for path, count in Counter(path.resolve() for path in model).items() if count > 1]
    if twice:
        raise AutosegError(f"{', '.join(twice)} was named more than once. Name each model of an ensemble once.")
    return Chosen(tuple(ModelFolder(path) for path in model), (), "as you named it" if len(model) == 1 else "as you named them")


def _choose_dataset(
    workspace: Workspace, dataset: str | None, configuration: Sequence[str], recipe: Sequence[str]
) -> DatasetFolder:
    """The only dataset with models that could be meant."""
    trained = [folder for folder in workspace.planned_datasets() if finished_models(folder)]
    if not trained:
        raise AutosegError(
            f"The workspace {workspace.root} holds no model with a finished fold. Train one with autoseg_train, name "
            "another workspace with --workspace, or a model's folder with -m."
        )
    fitting = [folder for folder in trained if dataset in (None, folder.name) and _fitting(folder, configuration, recipe)]
    if not fitting:
        raise AutosegError(f"No model in the workspace {workspace.root} fits these flags. There are:\n{_listed(trained)}")
    if len(fitting) > 1:
        raise AutosegError(
            f"Models of {len(fitting)} datasets could be meant. Say which dataset with -d:\n"
            + "\n".join(f"  -d {folder.name}" for folder in fitting))
    return fitting[0]


def _choose_named(folder: DatasetFolder, configuration: Sequence[str], recipe: Sequence[str]) -> tuple[ModelFolder, ...]:
    """All that fit, where every name has its model and, of what was left open, none has several."""
    fitting = _fitting(folder, configuration, recipe)
    lacking = [name for name in configuration if name not in {found.configuration for found in fitting}]
    lacking += [name for name in recipe if name not in {found.recipe for found in fitting}]
    if lacking:
        raise AutosegError(f"{folder.name} has no model {', '.join(lacking)} with a finished fold that fits these flags. "
                           f"There are:\n{_listed([folder])}")
    per_name = Counter(found.configuration if configuration else found.recipe for found in fitting)
    if not (configuration and recipe) and max(per_name.values()) > 1:
        raise AutosegError(f"{len(fitting)} models could be meant. Say which (several make an ensemble), with one of:\n"
                           + "\n".join(map(flags_naming, fitting)))
    return fitting


def _with_rules(folder: DatasetFolder, members: tuple[ModelFolder, ...], best: Best, why: str) -> Chosen:
    accepted = [tried for tried in best.rules if tried.accepted]
    changed = {_of_today(found) for found in members} != set(best.members)
    note = f"best.json was chosen for other weights than those there are now; run: {command_line(folder, 'autoseg find-best')}"
    return Chosen(members, best.postprocessing, why, tuple(tried.says for tried in accepted), note if changed else "")


def _members_of_best(folder: DatasetFolder, best: Best) -> tuple[ModelFolder, ...]:
    there = {(found.configuration, found.recipe): found for found in finished_models(folder)}
    for member in best.members:
        if _key_of_member(member) not in there:
            missing = folder.model(member.configuration, member.recipe)
            raise AutosegError(
                f"{folder.best_json} names the model {member.name}, but {missing.root} holds none with a finished fold. "
                f"Train it with {command_line(folder, 'autoseg_train', *member.weights, *training_flags(missing))}, choose anew "
                f"with {command_line(folder, 'autoseg find-best')}, or name another:\n{_listed([folder])}")
    return tuple(there[_key_of_member(member)] for member in best.members)


def finished_models(folder: DatasetFolder) -> tuple[ModelFolder, ...]:
    """Those that segment and have a finished fold."""
    return tuple(found for found in folder.models() if found.finished_folds())


def _fitting(folder: DatasetFolder, configuration: Sequence[str], recipe: Sequence[str]) -> tuple[ModelFolder, ...]:
    return tuple(found for found in finished_models(folder)
                 if (not configuration or found.configuration in configuration) and (not recipe or found.recipe in recipe))


def _of_today(model: ModelFolder) -> Member:
    """With the weights that its cross-validation has now."""
    return member_of(model, [fold for fold in model.finished_folds() if fold != "all"] or model.finished_folds())


def _keys(models: Sequence[ModelFolder]) -> set[tuple[str, str]]:
    return {(model.configuration, model.recipe) for model in models}


def _key_of_member(member: Member) -> tuple[str, str]:
    return member.configuration, member.recipe


def _listed(folders: Sequence[DatasetFolder]) -> str:
    return "\n".join(flags_naming(found) for folder in folders for found in finished_models(folder))


def flags_naming(model: ModelFolder) -> str:
    """A line of flags that name the model."""
    dataset = model.root.parents[2].name
    return f"  -d {dataset} -c {model.configuration} -tr {model.recipe}"
