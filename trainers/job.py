"""Jobs of training: one fold, its data, its settings, and the model whose folds must agree; the same for every task."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from pydantic import ValidationError, model_validator

from autoseg.bounds import whole_number
from autoseg.commands import as_flag, described
from autoseg.dataset import Case
from autoseg.errors import AutosegError, some
from autoseg.evaluation.cross_validation import state_of
from autoseg.files import write_json
from autoseg.inference.checkpoints import Description
from autoseg.plan import Frozen
from autoseg.preprocessing.store import StoredCase, is_complete, is_from_files_of, require_unchanged
from autoseg.provenance import Origin
from autoseg.task import TaskInfo
from autoseg.trainers.checkpoint import load_state
from autoseg.trainers.recipe import Recipe
from autoseg.trainers.settings import TrainingSettings, differences
from autoseg.trainers.splits import Splits, cases_of_fold
from autoseg.training_log import TrainingRecord
from autoseg.workspace import DatasetFolder, FoldFolder, ModelFolder, read_model

OF_MACHINE = (  # how it is trained here: not what, and free when it goes on
    "accumulate", "batch_processes", "compile", "cudnn_benchmark")
MAY_DIFFER = (  # between folds
    "epochs", "iterations", "validation_iterations", "max_hours", "precision", "seed", "warmup", "pretrained", *OF_MACHINE)

OF_CONFIGURATION = re.compile(r"^plans\.configurations\.[^.]+\.(?=.)")

SettingsType = TypeVar("SettingsType", bound=TrainingSettings)
PlansType = TypeVar("PlansType", bound=Frozen)
StoredType = TypeVar("StoredType", bound=StoredCase[Any])
DescriptionType = TypeVar("DescriptionType", bound=Description)


@dataclass(frozen=True)
class Job(Generic[SettingsType]):
    """A job of training: what is trained, and how.

    task: what the model does. recipe: name of the recipe, and built_by: the recipe itself. settings: None to continue with those
    that the unfinished fold was started with. defaults: of the recipe for this dataset. name: the model's, where it differs from
    the recipe's. before: configurations that the same run trains first, and that need not be there yet.
    """

    folder: DatasetFolder
    task: TaskInfo
    configuration: str
    recipe: str
    built_by: Recipe
    fold: str
    settings: SettingsType | None
    defaults: SettingsType
    device: str = "auto"
    name: str | None = None
    before: tuple[str, ...] = ()

    @property
    def model(self) -> ModelFolder:
        """Return the folder of the model that the fold belongs to."""
        return self.folder.model(self.configuration, self.name or self.recipe)

    @property
    def fold_folder(self) -> FoldFolder:
        """Return the folder of the fold."""
        return self.model.fold(self.fold)

    @property
    def store(self) -> Path:
        """Return the folder of the preprocessed cases."""
        return self.folder.preprocessed(self.task.stored_as(self.configuration))

    @property
    def plans_json(self) -> Path:
        """Return the dataset's plans for this task."""
        return self.folder.root / self.task.plans_file

    @property
    def splits_json(self) -> Path:
        """Return the dataset's folds for this task."""
        return self.folder.root / self.task.splits_file


@dataclass(frozen=True)
class FoldData(Generic[PlansType, StoredType]):
    """The cases that a fold is trained and validated on.

    stored: preprocessed cases by name. splits: of all folds; none for fold "all". training, validation: names of this fold's
    cases. notes: what the user should know of the folds.
    """

    plans: PlansType
    stored: dict[str, StoredType]
    splits: Splits
    training: list[str]
    validation: list[str]
    notes: list[str]

    @property
    def folds(self) -> int:
        """Return the number of folds."""
        return len(self.splits)

    @property
    def plans_digest(self) -> str:
        """Return the digest of the plans that all stored cases were preprocessed by."""
        return next(iter(self.stored.values())).description.plans

    def in_words(self, settings: Any) -> str:
        """Return what a step of the training is shown, such as "8 slices a step"."""
        return f"{settings.batch_size} a step" if getattr(settings, "batch_size", None) else ""

    def cases_of(self, fold: str) -> Origin:
        """Return what a fold is made from: its cases by name, each with the digest of what it was preprocessed from."""
        training, validation = cases_of_fold(fold, self.splits, list(self.stored))
        return origin_of_cases([self.stored[name] for name in training], [self.stored[name] for name in validation])


def origin_of_cases(train: Iterable[StoredCase[Any]], val: Iterable[StoredCase[Any]]) -> Origin:
    """Return what a fold is made from (see `FoldData.cases_of`)."""
    return Origin.of(train={case.name: case.origin for case in train}, val={case.name: case.origin for case in val})


def load_stored(
    job: Job[Any], cases: Sequence[Case], open_case: Callable[[Path, str], StoredType], origin: Callable[[Case], str],
    plans_digest: str, preprocessed: str, command: str,
) -> dict[str, StoredType]:
    """Return these cases as they are stored.

    open_case: opens a case of the task in a folder. origin: digest of all that a case is made from today. plans_digest: of the
    plans that cases must have been preprocessed by. preprocessed: the verb of messages, such as "preprocessed". command: that
    preprocesses the dataset.
    Raises AutosegError where cases are missing, or were preprocessed by other plans: planning was stopped too early; and where
    images or labels have changed since, or are gone.
    """
    folder, names = job.store, [case.name for case in cases]
    if missing := [name for name in names if not is_complete(folder, name)]:
        raise AutosegError(f"{len(missing)} of {len(names)} cases are not {preprocessed}: {some(missing)}. Run: {command}")
    stored = {name: open_case(folder, name) for name in names}
    if other := [name for name, case in stored.items() if case.description.plans != plans_digest]:
        raise AutosegError(f"{len(other)} of {len(names)} cases were {preprocessed} by other plans than those in "
                           f"{job.plans_json}: {some(other)}. Run: {command}")
    require_unchanged(cases, {name: case.origin for name, case in stored.items()}, origin, command)
    return stored


def pin_settings(job: Job[SettingsType]) -> SettingsType:
    """Return the fold's settings: those that it was started with, or else those given, as those of the machine always are.

    Raises AutosegError where an unfinished fold was started with others, and where there is nothing to continue.
    """
    folder = job.fold_folder
    is_trained = folder.checkpoint_final.exists()
    if not folder.training_state.exists() and not (is_trained and folder.training_json.exists()):
        if job.settings is None and not is_trained:
            raise AutosegError(f"Fold {job.fold} has nothing to continue: {folder.training_state} does not exist. Leave out "
                               "--continue.")
        return job.settings or job.defaults
    started_with = _settings_of(folder, type(job.defaults))
    if job.settings is None or is_trained:
        return started_with
    started_with = started_with.model_copy(update={
        key: value for key, value in job.settings.model_dump().items() if key in OF_MACHINE})
    if different := differences(started_with, job.settings):
        listed = ", ".join(f"{key}={as_flag(then)} (now {as_flag(now)})" for key, (then, now) in different.items())
        raise AutosegError(
            f"Fold {job.fold} was started with other settings and is not finished: {listed}. "
            "Finish it as it was started with --continue, or start it anew with --restart.")
    return started_with


def record_training(job: Job[SettingsType], settings: SettingsType, machine: str) -> None:
    """Write the settings of a fold that is trained now, and the machines that have trained it; `machine` is the present one."""
    folder = job.fold_folder
    goes_on = folder.training_state.exists() and folder.training_json.exists()
    earlier = read_model(folder.training_json, TrainingRecord).machines if goes_on else ()
    machines = earlier if machine in earlier else (*earlier, machine)
    write_json(folder.training_json, TrainingRecord(settings=settings.model_dump(mode="json"), machines=machines))


def _settings_of(folder: FoldFolder, settings: type[SettingsType]) -> SettingsType:
    """Raise AutosegError where the recipe has other settings now than when the fold was started."""
    if folder.training_json.exists():
        content: object = read_model(folder.training_json, TrainingRecord).settings
    else:  # begun by an earlier version
        content = load_state(folder.training_state, torch.device("cpu")).get("settings")
    try:
        return settings.model_validate(content)
    except ValidationError as error:
        keys = ", ".join(".".join(map(str, entry["loc"])) or "none at all" for entry in error.errors())
        raise AutosegError(f"{folder.root} was started with settings that the recipe no longer has in this form ({keys}). Start "
                           "the fold anew with --restart, or restore the recipe as it was.") from error


class CasesOfFold(Origin):
    """The content of `cases.json`: the cases that a fold was begun with."""

    remedy: ClassVar[str] = "Begin this fold anew with --restart."

    facts: dict[Literal["train", "val"], dict[str, str]]  # type: ignore[assignment]

    @model_validator(mode="after")
    def _of_both(self) -> CasesOfFold:
        if len(self.facts) != 2:
            raise ValueError("facts must hold train and val")
        return self


def pin_cases(job: Job[Any], now: Origin) -> None:
    """Write the cases of a fold that is started now. Raises AutosegError as `changed_cases` for one that was started before."""
    changed_cases(job, now)
    if state_of(job.fold_folder) == "missing":
        now.write(job.fold_folder.cases_json)


def changed_cases(job: Job[Any], now: Origin) -> list[str]:
    """Return a note where images, labels or plans of a fold that was started have changed since.

    now: see `FoldData.cases_of`. Raises AutosegError where it was started with other cases: it may have trained on some that it
    would be validated on.
    """
    folder = job.fold_folder
    if state_of(folder) == "missing":
        return []
    if not folder.cases_json.exists():
        if job.model.is_imported:
            raise AutosegError(f"{folder.root} was imported, and it is not known which cases it was trained on: it cannot be "
                               "validated here. Train a model of your own, with a --name, or this fold anew with --restart.")
        return []
    begun = read_model(folder.cases_json, CasesOfFold).facts
    sides = [(set(begun[part]), set(now.facts[part])) for part in ("train", "val")]
    if other := sorted(name for then, today in sides for name in then ^ today):
        splits = job.task.splits_file
        raise AutosegError(
            f"{folder.root} was begun with other cases than the folds have now ({some(dict.fromkeys(other))}): {splits} or the "
            "dataset changed since, and it may have trained on cases that it would now be validated on. Begin all folds of this "
            f"model again with --restart, or put {splits} and the cases back.")
    digests = now.facts["train"] | now.facts["val"]
    changed = sorted(name for name, digest in (begun["train"] | begun["val"]).items() if digests[name] != digest)
    if not changed:
        return []
    return [f"{folder.root} was begun before the images, labels or plans of {len(changed)} cases changed ({some(changed)}). To "
            "have it trained and validated on those of today, begin it again with --restart."]


def changed_sources(fold_folder: FoldFolder, cases: Sequence[Case]) -> list[str]:
    """Return the names of those of the cases whose images or labels are others than those that a fold was begun with."""
    begun = read_model(fold_folder.cases_json, CasesOfFold).facts if fold_folder.cases_json.exists() else {}
    origins = {**begun.get("train", {}), **begun.get("val", {})}
    return [case.name for case in cases if case.name in origins and not is_from_files_of(case, origins[case.name])]


@dataclass(frozen=True)
class Agreement(Generic[DescriptionType]):
    """The entries in which the folds of a model of one task must agree.

    description: the class of its `model.json`. fields: of the description, or of the settings in it, that must be equal.
    may_differ: entries of these fields that need not be equal, as pydantic's `exclude` names them. plans_digest: returns the
    digest of the plans that the described model's cases were preprocessed by.
    """

    description: type[DescriptionType]
    fields: tuple[str, ...]
    may_differ: Mapping[str, Any]
    plans_digest: Callable[[DescriptionType], str]

    def describe(self, job: Job[Any], description: DescriptionType) -> None:
        """Write `model.json`, or check that the existing one describes the same model."""
        begun = job.model.begun_folds()
        if begun and job.model.model_json.exists():
            self._require_same_model(job, description, begun)
        else:
            write_json(job.model.model_json, description)

    def check(self, job: Job[Any], description: DescriptionType) -> list[str]:
        """Return what the user should know of the model's other folds. Raises AutosegError where they are of another model."""
        others = [fold for fold in job.model.begun_folds() if fold != job.fold]
        if not others or not job.model.model_json.exists():
            return []
        self._require_same_model(job, description, others)
        return _other_settings(job, others)

    def check_begun(self, job: Job[Any], data: FoldData[Any, Any]) -> list[str]:
        """Return what the user should know of the model's folds that were started before.

        Raises AutosegError where these were started with other plans, labels or cases than there are now: a run that continues
        would fail there in the end.
        """
        begun = [fold for fold in job.model.begun_folds() if fold != "all"]
        if begun and job.model.model_json.exists():
            described_plans = self.plans_digest(read_model(job.model.model_json, self.description))
            if described_plans != data.plans_digest:
                raise AutosegError(
                    f"{job.model.root} holds folds ({', '.join(begun)}) that were begun with other labels or plans than "
                    f"{job.folder.name} has now. Move that folder away to have them trained anew, or plan the dataset as it was.")
        numbered = [fold for fold in begun if (number := whole_number(fold)) is not None and number < data.folds]
        return [note for fold in numbered for note in changed_cases(replace(job, fold=fold), data.cases_of(fold))]

    def require_same_plans(self, job: Job[Any], trained: DescriptionType, plans: Frozen) -> None:
        """Raise AutosegError where a fold that is to be validated was trained with other plans than there are now.

        plans: of now, without cases.
        """
        now = trained.model_copy(update={"plans": plans})
        if self._compared(trained, "plans") != self._compared(now, "plans"):
            raise AutosegError(
                f"{job.fold_folder.root} was trained on cases that were preprocessed by other plans than those in "
                f"{job.plans_json}, and cannot be validated on the present ones. Plan the dataset as it was, or begin the fold "
                "anew with --restart.")

    def _require_same_model(self, job: Job[Any], description: DescriptionType, folds: Sequence[str]) -> None:
        """Raise AutosegError where model.json, which `folds` were trained by, describes another model."""
        there = read_model(job.model.model_json, self.description)
        different = {name: values for field in self.fields
                     for name, values in _entries(field, self._compared(there, field), self._compared(description, field))}
        if different:
            listed = [f"{name}={as_flag(then)} (now {as_flag(now)})" for name, (then, now) in different.items()]
            raise AutosegError(
                f"{job.model.root} holds folds ({', '.join(folds)}) of another model: {some(listed)}. "
                "Folds of one model must agree: give this one a name of its own (--name), or train with the recipe, settings "
                "and plans that the others were made with; where no other fold was begun, --restart begins this one anew."
            )

    def _compared(self, description: DescriptionType, field: str) -> Any:
        if field not in self.description.model_fields:
            return description.settings.get(field)
        return description.model_dump(mode="json", include={field}, exclude=dict(self.may_differ))[field]


def _entries(name: str, then: Any, now: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield each entry that differs, with both values. A configuration's own go by the names that settings have."""
    if then != now and all(isinstance(value, dict | None) for value in (then, now)):
        then, now = then or {}, now or {}
        for key in dict.fromkeys((*then, *now)):
            inner = f"{name}.{key}"
            yield from _entries(OF_CONFIGURATION.sub("", inner), then.get(key), now.get(key))
    elif then != now:
        yield name, (then, now)


def _other_settings(job: Job[Any], others: Sequence[str]) -> list[str]:
    """Return a note where the model's other folds were trained with other settings: such folds are hard to compare."""
    there = described(job.model).get("settings", {})
    now = job.settings.settled().model_dump(mode="json") if job.settings is not None else {}
    changed = [key for key in now if key in there and now[key] != there[key] and key not in MAY_DIFFER]
    if not changed:
        return []
    return [f"The model's other folds ({', '.join(others)}) were trained with another {', '.join(changed)}: "
            f"{job.model.model_json} says which. --name keeps models apart."]
