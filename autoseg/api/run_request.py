"""Requests for a run: what is asked for this time, and what the latest run of the same models was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import PathLike
from autoseg.api.tasks import Task
from autoseg.api.training import job_for
from autoseg.commands import as_flag
from autoseg.errors import AutosegError
from autoseg.evaluation.cross_validation import state_of
from autoseg.steps import Asked, read_record
from autoseg.wording import moment
from autoseg.workspace import DatasetFolder, ModelFolder

if TYPE_CHECKING:
    from autoseg.trainers.job import Job

KEPT_FOR_THE_END, KEPT_FOR_WAYS = 0.05, 0.05  # shares of --max-hours: comparing and the report; and measuring ways to predict


@dataclass(frozen=True)
class Fold:
    """A fold of one model that is to be trained. stage_before: the model all of whose folds must be trained before."""

    model: ModelFolder
    fold: str
    stage_before: ModelFolder | None = None

    @property
    def step(self) -> str:
        return f"{self.model.configuration} {self.model.recipe} fold {self.fold}"

    @property
    def is_complete(self) -> bool:
        """Tell whether it is trained and validated, and usable: the model is described."""
        return state_of(self.model.fold(self.fold)) == "complete" and self.model.model_json.exists()

    @property
    def is_begun(self) -> bool:
        """Tell whether it goes on with the settings that it was started with."""
        return state_of(self.model.fold(self.fold)) != "missing"


@dataclass(frozen=True)
class Wanted:
    """A request for a run. asked: all that is to be trained. given: the part of it that was given this time. workers: at most so
    many processes."""

    asked: Asked
    given: Asked
    device: str
    workspace: PathLike | None
    workers: int | None = None

    @property
    def recipes(self) -> tuple[str, ...]:
        return self.asked.recipes

    @property
    def cheaper_ways(self) -> bool:
        """Tell whether find-best measures cheaper ways to predict."""
        return self.asked.cheaper_ways is not False

    def hours_for_folds(self, task: Task) -> float | None:
        """Return the hours that training may take: those that were asked for, without what is kept for the end."""
        if self.asked.max_hours is None:
            return None
        ways = KEPT_FOR_WAYS if task.ways is not None and self.cheaper_ways else 0.0
        return self.asked.max_hours * (1 - KEPT_FOR_THE_END - ways)

    @property
    def device_flags(self) -> list[str]:
        return [] if self.device == "auto" else ["--device", self.device]

    @property
    def find_best_flags(self) -> list[str]:
        """Return the flags of `autoseg find-best` for this run, but the models and the device."""
        asked = self.asked
        return [*([] if self.cheaper_ways else ["--no-cheaper-ways"]),
                *([] if asked.not_worse is None else ["--not-worse", as_flag(asked.not_worse)]),
                *([] if self.workers is None else ["-np", str(self.workers)])]

    def recipe_of(self, fold: Fold) -> str:
        """Return the recipe that a fold's model is trained with, whose name may be another."""
        return self.asked.recipes[0] if self.asked.name else fold.model.recipe

    def job(self, folder: DatasetFolder, configuration: str, recipe: str) -> Job[Any]:
        """Return the job of fold 0 with these settings. Raises AutosegError that names what is wrong."""
        task, found = tasks.find_recipe(recipe)
        asked = self.asked
        flags = {"epochs": asked.epochs, "iterations": asked.iterations, "max_hours": asked.max_hours}
        return job_for(folder, task, found, configuration, recipe, "0", asked.settings, flags, device=self.device,
                       name=asked.name)


def as_begun(folder: DatasetFolder, given: Asked, resume: bool, restart: bool, quiet: bool) -> Asked:
    """Return what is asked for: what is given, the rest as the latest run of the same models was asked for it.

    Raises AutosegError where folds of these models were begun with other settings, which it names.
    """
    if resume and restart:
        raise AutosegError("--continue and --restart contradict each other. Give one of them.")
    if given.name is not None and len(given.recipes) > 1:
        raise AutosegError("--name names one model, but several recipes are given with -tr. Run them one after the other.")
    now = given.model_copy(update={"at": datetime.now().astimezone().isoformat(timespec="seconds")})
    earlier = [read_record(folder.run_of(info)).asked for info in tasks.task_infos()]
    same = [asked for asked in earlier if asked.recipes and given.recipes in ((), asked.recipes) and given.name in (
        (asked.name,) if given.recipes else (None, asked.name))]
    if not same:
        latest = max(earlier, key=lambda asked: asked.at).recipes if given.name else ()  # a name beside the run that was begun
        recipes = given.recipes or (latest if len(latest) == 1 else (tasks.default_task().info.recipe,))
        return now.model_copy(update={"recipes": recipes})
    then = max(same, key=lambda asked: asked.at)
    wanted = now.after(then)
    begun = [model for model in folder.models() if model.recipe in names(wanted) and model.begun_folds()]
    if begun and resume:
        wanted = wanted.model_copy(update={"epochs": then.epochs, "iterations": then.iterations, "settings": then.settings})
    elif begun and not restart and (changed := then.training.differences(wanted.training)):
        raise AutosegError(
            f"The run of {folder.name} was begun with other settings: {', '.join(changed)}. Go on as it was begun: autoseg run "
            f"{folder.name}; train a model of its own beside it with --name; or throw away its folds and begin anew with "
            "--restart.")
    if not quiet:
        console.show(f"Goes on as the run of {moment(then.at)} was asked for: {in_words(wanted)}.")
    return wanted


def names(asked: Asked) -> tuple[str, ...]:
    """Return the names of the models' folders."""
    return asked.recipes if asked.name is None else (asked.name,)


def in_words(asked: Asked) -> str:
    """Return what is asked for as flags."""
    settings = dict(asked.settings)
    facts = {"-tr": asked.recipes, "--name": asked.name, "--from": settings.pop("pretrained", None),
             "-c": asked.options.get("configurations"), "--epochs": asked.epochs, "--iterations": asked.iterations,
             "--max-hours": asked.max_hours, "--no-cheaper-ways": asked.cheaper_ways is False, "--not-worse": asked.not_worse}
    flags = [flag if value is True else f"{flag} {' '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"
             for flag, value in facts.items() if value]
    return " ".join([*flags, *(f"--set {key}={value}" for key, value in settings.items())])


def but_planner(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "planner"}
