"""Choice of the task and the models that a prediction runs, where the user did not have to say."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from autoseg.best import Best, Member, Rule, TriedRule, member_of
from autoseg.commands import command_line, training_flags
from autoseg.errors import AutosegError, did_you_mean
from autoseg.task import TaskInfo
from autoseg.ways import Ways
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


@dataclass(frozen=True)
class Chosen:
    """The models that a prediction runs, and its post-processing.

    task: of the members. members: their outputs are averaged where there are several. why: the reason, in words. rules:
    post-processing, in order; says: the same in words. ways: how they can predict, and how they do, where find-best measured
    it. note: what the user should know about the choice; empty where there is nothing.
    """

    task: TaskInfo
    members: tuple[ModelFolder, ...]
    why: str
    rules: tuple[Rule, ...] = ()
    says: tuple[str, ...] = ()
    note: str = ""
    ways: Ways | None = None


def resolve_task(
    tasks: Sequence[TaskInfo], workspace: Workspace, dataset: str | None, model: Sequence[Path], configuration: Sequence[str],
    recipe: Sequence[str], recipes: Mapping[str, str],
) -> TaskInfo:
    """Return the task of the models that a prediction means.

    It is the task of the folders in `model`, else the one that the configurations and recipes (or names of models) belong to.
    Where these leave several open, it is the default task, if there are finished models of it, else the only one that has
    finished models, else one that a dataset was planned for. tasks: all that there are. dataset: name of one in the workspace, or
    None. recipes: name to the task that it trains, trained or not. Raises AutosegError where models of several tasks are named
    together or could be meant.
    """
    if model:
        return _task_of_folders(tasks, model)
    folders = [folder for folder in workspace.datasets() if dataset in (None, folder.name)]
    models = {task: [found for folder in folders for found in folder.models_of(task)] for task in tasks}
    named = {f"-c {name}": _tasks_with_configuration(name, models) for name in configuration}
    named |= {f"-tr {name}": _tasks_with_recipe(name, models, recipes) for name in recipe}
    possible = [task for task in tasks if all(task in those for those in named.values())]
    if not possible:
        raise AutosegError(_contradiction(named))
    trained = [task for task in possible if any(found.finished_folds() for found in models[task])]
    if len(trained) > 1 and not any(task.is_default for task in trained):
        raise AutosegError(f"Models of {len(trained)} tasks could be meant. Say which, with one of:\n"
                           + _listed(found for task in trained for found in models[task] if found.finished_folds()))
    planned = [task for task in possible if any(folder.plans_of(task).exists() for folder in folders)]
    return _preferred(trained or planned or possible)


def _task_of_folders(tasks: Sequence[TaskInfo], model: Sequence[Path]) -> TaskInfo:
    """Return the first task that models of `model` have and that makes no ensemble, else any that they have."""
    names = [task_of(ModelFolder(path)) for path in model]
    there = [task for name in names for task in tasks if task.name == name]
    return next((task for task in there if not task.averages), there[0] if there else _preferred(tasks))


def _tasks_with_configuration(name: str, models: Mapping[TaskInfo, Sequence[ModelFolder]]) -> list[TaskInfo]:
    """Return all tasks where no one knows the name."""
    return [task for task, there in models.items()
            if name in task.configurations or any(found.configuration == name for found in there)] or list(models)


def _tasks_with_recipe(
    name: str, models: Mapping[TaskInfo, Sequence[ModelFolder]], recipes: Mapping[str, str]
) -> list[TaskInfo]:
    """Return those of finished models, else of begun ones, else what the recipe trains, else all tasks."""
    having = {task: [found for found in there if found.recipe == name] for task, there in models.items()}
    return ([task for task, there in having.items() if any(found.finished_folds() for found in there)]
            or [task for task, there in having.items() if there]
            or [task for task in models if task.name == recipes.get(name)] or list(models))


def _contradiction(named: Mapping[str, Sequence[TaskInfo]]) -> str:
    """Return what to say of two flags that no task fits both of."""
    pairs = list(combinations(named, 2))
    one, other = next((pair for pair in pairs if not set(named[pair[0]]) & set(named[pair[1]])), pairs[0])
    return (f"{one} names {named[one][0].a_model}, but {other} names {named[other][0].a_model}. Leave one of them out: models of "
            "several tasks make no ensemble.")


def _preferred(tasks: Sequence[TaskInfo]) -> TaskInfo:
    return next((task for task in tasks if task.is_default), tasks[0])


def choose_members(
    task: TaskInfo, tasks: Sequence[TaskInfo], workspace: Workspace, dataset: str | None, model: Sequence[Path],
    configuration: Sequence[str], recipe: Sequence[str],
) -> Chosen:
    """Return the models in the folders `model`, those named by configuration and recipe (or name), or find-best's choice.

    task: of the models; tasks: all that there are. dataset: name of one in the workspace; None, like an empty `model`,
    `configuration` or `recipe`, leaves open. Where models of the task can be averaged, several configurations, or several
    recipes, make an ensemble; where neither is named it is the choice in `best.json`, whose members come with their
    post-processing. Else it is the only model that fits.
    Raises AutosegError where there is no such model, where several are named and cannot be averaged, and where several could be
    meant: then it lists them with the flags to type.
    """
    _require_one(task, {"-m": model, "-c": configuration, "-tr": recipe})
    if model:
        return _choose_folders(task, model, bool(dataset or configuration or recipe))
    fitting = _fitting(task, tasks, workspace, dataset, configuration, recipe)
    if task.averages:
        return _choose_to_average(task, fitting, configuration, recipe)
    if len(fitting) > 1:
        raise AutosegError(f"{len(fitting)} {task.plural} could be meant. Say which, with one of:\n{_listed(fitting)}")
    return Chosen(task, fitting, _why(task, 1, bool(configuration or recipe)))


def _require_one(task: TaskInfo, named: Mapping[str, Sequence[object]]) -> None:
    """Raise AutosegError where several models are named that cannot be averaged."""
    several = [flag for flag, names in named.items() if len(names) > 1]
    if several and not task.averages:
        raise AutosegError(f"{task.a_model_first} makes no ensemble with other models, but "
                           f"{several[0]} names several. Name one {task.noun}.")


def _choose_folders(task: TaskInfo, model: Sequence[Path], is_named_otherwise: bool) -> Chosen:
    if is_named_otherwise:
        raise AutosegError("-m names the models already. Leave out -d, -c and -tr, or -m.")
    twice = [str(path) for path, count in Counter(path.resolve() for path in model).items() if count > 1]
    if twice:
        raise AutosegError(f"{', '.join(twice)} was named more than once. Name each model of an ensemble once.")
    return _with_own_rules(task, tuple(map(ModelFolder, model)), _why(task, len(model), True))


def _with_own_rules(task: TaskInfo, members: tuple[ModelFolder, ...], why: str, others: Sequence[Best] = ()) -> Chosen:
    """Return the models with the post-processing that lies in their folders, where it was chosen for just these. others: further
    choices of find-best."""
    bests = [*others, *(read_model(member.best_json, Best) for member in members if member.best_json.exists())]
    names = sorted(map(_key_by_itself, members)) if bests else []
    best = next((best for best in bests if sorted(map(_key_of_member, best.members)) == names), None)
    if best is None:
        return Chosen(task, members, why, note=_without_rules(bests))
    return _with_rules(task, members, best, f"{why}, which is find-best's choice, too",
                       "run autoseg find-best where it was trained, and copy the models anew")


def _without_rules(bests: Sequence[Best]) -> str:
    """Return a note where find-best chose post-processing, but for other models than those that are meant."""
    names = dict.fromkeys(best.name for best in bests if best.postprocessing)
    if not names:
        return ""
    return f"no post-processing is applied: find-best chose it for {' and for '.join(names)}, and not for what is meant here"


def _fitting(
    task: TaskInfo, tasks: Sequence[TaskInfo], workspace: Workspace, dataset: str | None, configuration: Sequence[str],
    recipe: Sequence[str],
) -> tuple[ModelFolder, ...]:
    """Return the finished models of the task that the flags leave. Raises AutosegError where there are none."""
    folders = workspace.datasets()
    models = [found for folder in folders for found in finished_models(folder, task)]
    if not models:
        flags = "" if task.is_default else f" -tr {task.recipe}"
        raise AutosegError(
            f"The workspace {workspace.root} holds no {task.noun} with a finished fold. Train one with autoseg_train "
            f"{dataset or 'DATASET'} 0{flags}, name another workspace with --workspace, or a model's folder with -m.")
    fitting = tuple(found for found in models if dataset in (None, found.dataset.name)
                    and (not configuration or found.configuration in configuration) and (not recipe or found.recipe in recipe))
    if not fitting:
        every = [found for folder in folders for one in tasks for found in finished_models(folder, one)]
        raise AutosegError(f"No model in the workspace {workspace.root} fits these flags. There are:\n{_listed(every)}")
    return fitting


def _choose_to_average(
    task: TaskInfo, fitting: tuple[ModelFolder, ...], configuration: Sequence[str], recipe: Sequence[str]
) -> Chosen:
    names = dict.fromkeys(found.dataset.name for found in fitting)
    if len(names) > 1:
        raise AutosegError(f"Models of {len(names)} datasets could be meant. Say which dataset with -d:\n"
                           + "\n".join(f"  -d {name}" for name in names))
    folder = fitting[0].dataset
    path = folder.best_of(task)
    best = read_model(path, Best) if path.exists() else None
    if len(task.configurations) == 1:  # naming it says no more than which task is meant
        configuration = ()
    anew = f"run: {_comparison(task, folder)}"
    if configuration or recipe:
        _require_named(task, folder, fitting, configuration, recipe)
        if best is None or set(map(_key, fitting)) != set(map(_key_of_member, best.members)):
            return _with_own_rules(task, fitting, _why(task, len(fitting), True), [best] if best else [])
        return _with_rules(task, fitting, best, "as you named it, which is find-best's choice, too", anew)
    if best is not None:
        return _with_rules(task, _members_of_best(task, folder, best), best, f"find-best's choice. {best.reason}", anew)
    if len(fitting) > 1:
        fitting = _without_first_stages(fitting)
    if len(fitting) > 1:
        raise AutosegError(
            f"{len(fitting)} models could be meant. Let {_comparison(task, folder)} choose, or say which "
            f"(several -c or -tr make an ensemble), with one of:\n{_listed(fitting)}")
    return _with_own_rules(task, fitting, _why(task, 1, False))


def _without_first_stages(models: tuple[ModelFolder, ...]) -> tuple[ModelFolder, ...]:
    """Return the models but for those that cascades among them run themselves; one with a damaged model.json is none."""
    earlier = set()
    for model in models:
        with contextlib.suppress(AutosegError):
            if stage := previous_stage(model):
                earlier.add(stage.root)
    return tuple(model for model in models if model.root not in earlier)


def _require_named(
    task: TaskInfo, folder: DatasetFolder, fitting: Sequence[ModelFolder], configuration: Sequence[str], recipe: Sequence[str]
) -> None:
    """Raise AutosegError where a named model does not exist, or several models fit what the user left open."""
    lacking = [name for name in configuration if name not in {found.configuration for found in fitting}]
    lacking += [name for name in recipe if name not in {found.recipe for found in fitting}]
    if lacking:
        there = [name for found in fitting or finished_models(folder, task) for name in (found.configuration, found.recipe)]
        raise AutosegError(f"{folder.name} has no model {', '.join(lacking)} with a finished fold that fits these flags."
                           f"{did_you_mean(lacking[0], there)} "
                           f"There are:\n{_listed(finished_models(folder, task))}")
    per_name = Counter(found.configuration if configuration else found.recipe for found in fitting)
    if not (configuration and recipe) and max(per_name.values()) > 1:
        raise AutosegError(f"{len(fitting)} models could be meant. Say which (several make an ensemble), with one of:\n"
                           + _listed(fitting))


def _with_rules(task: TaskInfo, members: tuple[ModelFolder, ...], best: Best, why: str, anew: str) -> Chosen:
    """Return the models with their post-processing. anew: what to do where it was chosen for other weights."""
    accepted = [tried for tried in best.rules if tried.accepted]
    today = [_of_today(found).weights for found in members]
    changed = sorted(map(sorted, map(dict.items, today))) != sorted(sorted(member.weights.items()) for member in best.members)
    note = f"best.json was chosen for other weights than those there are now; {anew}"
    return Chosen(task, members, why, best.postprocessing, tuple(_said(tried) for tried in accepted), note if changed else "",
                  best.ways)


def _said(tried: TriedRule) -> str:
    return f"{tried.says} ({tried.evidence})" if tried.is_weak else tried.says


def _members_of_best(task: TaskInfo, folder: DatasetFolder, best: Best) -> tuple[ModelFolder, ...]:
    there = {_key(found): found for found in finished_models(folder, task)}
    for member in best.members:
        if _key_of_member(member) not in there:
            missing = folder.model(member.configuration, member.recipe)
            raise AutosegError(
                f"{folder.best_of(task)} names the model {member.name}, but {missing.root} holds none with a finished fold. "
                f"Train it with {command_line(folder, 'autoseg_train', *member.weights, *training_flags(missing))}, choose anew "
                f"with {_comparison(task, folder)}, or name another:\n{_listed(there.values())}")
    return tuple(there[_key_of_member(member)] for member in best.members)


def _of_today(model: ModelFolder) -> Member:
    """Return the model with the weights that its cross-validation has now."""
    return member_of(model, [fold for fold in model.finished_folds() if fold != "all"] or model.finished_folds())


def _comparison(task: TaskInfo, folder: DatasetFolder) -> str:
    """Return the command line that compares the models of a task."""
    return command_line(folder, "autoseg find-best", *(() if task.is_default else ("-c", task.configurations[0])))


def _key(model: ModelFolder) -> tuple[str, str]:
    return model.configuration, model.recipe


def _key_by_itself(model: ModelFolder) -> tuple[str, str]:
    """Return the key that model.json says, wherever the folder was copied to."""
    its = described(model)
    return str(its.get("configuration_name", model.configuration)), str(its.get("name") or its.get("recipe") or model.recipe)


def _key_of_member(member: Member) -> tuple[str, str]:
    return member.configuration, member.recipe


def _why(task: TaskInfo, count: int, is_named: bool) -> str:
    return ("as you named it" if count == 1 else "as you named them") if is_named else f"the only {task.noun} there is"


def _listed(models: Iterable[ModelFolder]) -> str:
    """Return a line for each model, of the flags that name it."""
    return "\n".join(f"  -d {found.dataset.name} -c {found.configuration} -tr {found.recipe}" for found in models)
