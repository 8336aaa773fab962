"""What is to be trained: a fold's place, its cases, its settings, and the model that it belongs to."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from pydantic import ValidationError

from autoseg.commands import as_flag, command_line, described, planning_command
from autoseg.dataset import Dataset, require_there
from autoseg.device import resolve_device
from autoseg.errors import AutosegError, some
from autoseg.files import write_json
from autoseg.plan import Configuration, Plans
from autoseg.preprocessing.store import is_complete
from autoseg.provenance import Origin
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.tasks.segmentation.store import StoredVolume, described_volume, plans_digest
from autoseg.trainers.cases import changed_cases, origin_of_cases
from autoseg.trainers.checkpoint import load_state
from autoseg.trainers.configure import cost_note, effective_configuration, mirror_axes_of
from autoseg.trainers.data import TrainingData
from autoseg.trainers.losses import build_loss
from autoseg.trainers.recipes import RECIPES, find_recipe, segmentation_defaults
from autoseg.trainers.settings import Settings, TrainingSettings, differences, flags_of, notes_on
from autoseg.trainers.splits import MadeSplits, Splits, cases_of_fold, load_or_make_splits
from autoseg.versions import versions
from autoseg.workspace import DatasetFolder, FoldFolder, ModelFolder, read_model

MUST_AGREE = ("recipe", "channel_names", "labels", "plans", "mirror_axes")  # among the folds of a model
MAY_DIFFER = ("epochs", "iterations", "validation_iterations", "max_hours", "precision", "seed", "warmup")  # between folds


SettingsType = TypeVar("SettingsType", bound=TrainingSettings)


@dataclass(frozen=True)
class Job(Generic[SettingsType]):
    """What is to be trained. settings: None to go on with those that the unfinished fold was started with.

    name: of the model, where it is not that of its recipe.
    """

    folder: DatasetFolder
    configuration: str
    recipe: str
    fold: str
    settings: SettingsType | None
    device: str = "auto"
    name: str | None = None

    @property
    def model(self) -> ModelFolder:
        return self.folder.model(self.configuration, self.name or self.recipe)

    @property
    def fold_folder(self) -> FoldFolder:
        return self.model.fold(self.fold)


@dataclass(frozen=True)
class FoldData:
    """plans: with this configuration only. stored: preprocessed cases by name. splits: of all folds; none for fold "all".
    training, validation: names of this fold's cases. notes: what the user should know."""

    dataset: Dataset
    plans: Plans
    configuration: Configuration
    stored: dict[str, StoredVolume]
    splits: Splits
    training: list[str]
    validation: list[str]
    notes: list[str]

    @property
    def folds(self) -> int:
        """How many there are."""
        return len(self.splits)

    @property
    def known(self) -> TrainingData:
        """What the recipe may know of the training cases."""
        cases = [self.stored[name] for name in self.training]
        return TrainingData.of(self.dataset.labels, [(math.prod(case.shape), case.foreground_counts) for case in cases])

    def cases_of(self, fold: str) -> Origin:
        """Which cases a fold trains and validates on."""
        training, validation = cases_of_fold(fold, self.splits, list(self.stored))
        return origin_of_cases([self.stored[name] for name in training], [self.stored[name] for name in validation])


def load_fold_data(job: Job[Settings]) -> FoldData:
    """Dataset, plans and the fold's cases. Raises AutosegError where planning or preprocessing is missing."""
    if not (job.folder.plans_json.exists() and job.folder.dataset_json.exists()):
        raise AutosegError(
            f"{job.folder.name} has no plans in {job.folder.root}. Run: {command_line(job.folder, 'autoseg_plan_and_preprocess')}"
        )
    dataset = read_model(job.folder.dataset_json, Dataset)
    plans = read_model(job.folder.plans_json, Plans)
    if job.configuration not in plans.configurations:
        raise AutosegError(
            f'{job.folder.name} has no configuration "{job.configuration}". '
            f"There are: {', '.join(plans.configurations)}."
        )
    require_there(dataset.folder, job.folder)
    store = job.folder.preprocessed(job.configuration)
    usable = [case.name for case in dataset.training if is_complete(store, case.name)]
    missing = [case.name for case in dataset.training if case.name not in set(usable)]
    if missing:
        raise AutosegError(
            f"{len(missing)} of {len(dataset.training)} cases are not preprocessed for {job.configuration}: "
            f"{some(missing)}. "
            f"Run: {planning_command(job.folder, plans, '-c', job.configuration)}"
        )
    configuration = plans.configurations[job.configuration]
    stored = {name: described_volume(store, name) for name in usable}
    _require_these_plans(job, plans, plans_digest(dataset.labels, plans, configuration), stored)
    made = MadeSplits([], []) if job.fold == "all" else load_or_make_splits(job.folder, dataset, usable)
    training, validation = cases_of_fold(job.fold, made.splits, usable)
    only = plans.model_copy(update={"configurations": {job.configuration: configuration}})
    return FoldData(dataset, only, configuration, stored, made.splits, training, validation, made.notes)


def _require_these_plans(job: Job[Settings], plans: Plans, digest: str, cases: dict[str, StoredVolume]) -> None:
    """Raises AutosegError where cases were preprocessed by other plans: planning anew was stopped before they were remade."""
    other = [name for name, case in cases.items() if case.description.plans != digest]
    if other:
        raise AutosegError(
            f"{len(other)} of {len(cases)} cases were preprocessed by other plans than those in {job.folder.plans_json}: "
            f"{some(other)}. "
            f"Run: {planning_command(job.folder, plans, '-c', job.configuration)}"
        )


def settle_settings(job: Job[SettingsType], defaults: SettingsType) -> SettingsType:
    """The fold's settings: those given, or those that it was started with. defaults: of the recipe.

    Raises AutosegError where an unfinished fold was started with others, and where there is nothing to go on with.
    """
    state = job.fold_folder.training_state
    if not state.exists():
        if job.settings is None and not job.fold_folder.checkpoint_final.exists():
            raise AutosegError(f"Fold {job.fold} has nothing to continue: {state} does not exist. Leave out --continue.")
        return job.settings or defaults
    started_with = _settings_of(state, type(defaults))
    if job.settings is None or job.fold_folder.checkpoint_final.exists():
        return started_with
    if different := differences(started_with, job.settings):
        listed = ", ".join(f"{key}={as_flag(then)} (now {as_flag(now)})" for key, (then, now) in different.items())
        raise AutosegError(
            f"Fold {job.fold} was started with other settings and is not finished: {listed}. "
            "Finish it as it was started with --continue, or start it anew with --restart."
        )
    return started_with


def _settings_of(state: Path, kind: type[SettingsType]) -> SettingsType:
    """Raises AutosegError where the recipe has other settings now than when the fold was begun."""
    content = load_state(state, torch.device("cpu"))["settings"]
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        keys = ", ".join(".".join(map(str, wrong["loc"])) for wrong in error.errors())
        raise AutosegError(f"{state} was begun with settings that the recipe does not have, or not so, any more ({keys}). Start "
                           "the fold anew with --restart, or put the recipe back as it was.") from error


def check_begun_folds(job: Job[Settings], data: FoldData) -> list[str]:
    """What the user should know of the model's folds that were begun before.

    Raises AutosegError where these were begun with other plans, labels or cases than there are now: a run that goes on would
    otherwise end with what was found of those.
    """
    begun = [fold for fold in job.model.begun_folds() if fold != "all"]
    if begun and job.model.model_json.exists():
        there = read_model(job.model.model_json, ModelDescription)
        digests = [plans_digest(labels, plans, configuration) for labels, plans, configuration in (
            (there.labels, there.plans, there.configuration), (data.dataset.labels, data.plans, data.configuration))]
        if digests[0] != digests[1]:
            raise AutosegError(
                f"{job.model.root} holds folds ({', '.join(begun)}) that were begun with other labels or plans than "
                f"{job.folder.name} has now. Move that folder away to have them trained anew, or plan the dataset as it was.")
    known = [fold for fold in begun if fold.isdigit() and int(fold) < data.folds]
    return [note for fold in known for note in changed_cases(job.model.fold(fold), data.cases_of(fold))]


def check_job(job: Job[Settings], data: FoldData, begins: bool = True) -> list[str]:
    """What the user should know before the fold is trained.

    begins: it begins with `job.settings`; else it goes on with those that it was begun with. Raises AutosegError where it
    could not begin: before an older one is thrown away for it.
    """
    resolve_device(job.device)
    check_name(job)
    defaults = segmentation_defaults(job.recipe)
    settings = job.settings or defaults
    classes = data.dataset.labels.output_channels
    effective = effective_configuration(data.configuration, settings, classes)
    mirror_axes_of(effective, settings)
    build_loss(settings, data.known, effective.dimensions)
    others = [fold for fold in job.model.begun_folds() if fold != job.fold]
    if job.settings is None or not begins:
        return []
    if others and job.model.model_json.exists():
        _require_same_model(job, _description(job, data, settings, effective), others)
    cost = cost_note(effective, data.configuration, classes)
    told = notes_on(settings, defaults)
    return [*([cost] if cost else []), *told, *other_settings(job, others)]


def check_name(job: Job[Any]) -> None:
    """Raises AutosegError for a model's name that no folder can have, or that means something else."""
    if job.name is None or job.name == job.recipe:
        return
    if not re.fullmatch(r"[\w+-][\w.+-]*", job.name):
        raise AutosegError(f'--name "{job.name}" is to become a folder: give letters, digits, "_", "-", "+" and "." only.')
    if job.name in RECIPES:
        raise AutosegError(f'--name {job.name} is the name of a recipe, but the recipe is {job.recipe}. Choose another name.')


def other_settings(job: Job[Any], others: list[str]) -> list[str]:
    """A note where the model's other folds were trained with other settings: such folds are hard to compare."""
    if not others or not job.model.model_json.exists():
        return []
    there = described(job.model).get("settings", {})
    now = job.settings.model_dump(mode="json") if job.settings is not None else {}
    changed = [key for key in now if key in there and now[key] != there[key] and key not in MAY_DIFFER]
    if not changed:
        return []
    return [f"The model's other folds ({', '.join(others)}) were trained with another {', '.join(changed)}: "
            f"{job.model.model_json} says which. --name keeps models apart."]


def describe_model(job: Job[Settings], data: FoldData, settings: Settings, configuration: Configuration) -> None:
    """Write `model.json`, or check that the one that is there describes the same model."""
    description = _description(job, data, settings, configuration)
    begun = job.model.begun_folds()
    if begun and job.model.model_json.exists():
        _require_same_model(job, description, begun)
    else:
        write_json(job.model.model_json, description)


def _description(job: Job[Settings], data: FoldData, settings: Settings, configuration: Configuration) -> ModelDescription:
    return ModelDescription(
        dataset=data.dataset.name, channel_names=data.dataset.channel_names, labels=data.dataset.labels,
        file_ending=data.dataset.file_ending, configuration_name=job.configuration,
        plans=data.plans.model_copy(update={"configurations": {job.configuration: configuration}}),
        recipe=job.recipe, settings=settings.model_dump(mode="json"),
        flags=flags_of(settings, find_recipe(job.recipe).settings),
        mirror_axes=mirror_axes_of(configuration, settings) if settings.augmentation != "none" else (),
        versions=versions(), name=job.name,
    )


def _require_same_model(job: Job[Settings], description: ModelDescription, folds: list[str]) -> None:
    """Raises AutosegError where model.json, which `folds` were trained by, describes another model."""
    there = read_model(job.model.model_json, ModelDescription)
    different = [field for field in MUST_AGREE if _differ(there, description, field)]
    if different:
        raise AutosegError(
            f"{job.model.root} holds folds ({', '.join(folds)}) of a model with other {', '.join(different)}. "
            "Folds of one model must agree: give this one a name of its own (--name), or train with the recipe, settings "
            "and plans that the others were made with; where no other fold was begun, --restart begins this one anew."
        )


def _differ(one: ModelDescription, other: ModelDescription, field: str) -> bool:
    def plain(description: ModelDescription) -> Any:
        content = description.model_dump(mode="json")[field]
        if field != "plans":
            return content
        for configuration in content["configurations"].values():
            del configuration["reasons"], configuration["memory_values"]
        return {k: v for k, v in content.items() if k not in ("versions", "planner", "memory_gb")}

    return bool(plain(one) != plain(other))
