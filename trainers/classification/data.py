"""Data that a fold of a classifier is trained on, and the model that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from autoseg.dataset import require_there
from autoseg.device import resolve_device
from autoseg.digests import file_digest
from autoseg.errors import AutosegError, many
from autoseg.groups import patients_of
from autoseg.options import planning_command, planning_words
from autoseg.tasks.classification.covariates import encoded
from autoseg.tasks.classification.model import ClassifierDescription
from autoseg.tasks.classification.plan import ClassPlans
from autoseg.tasks.classification.pretrained import Pretrained
from autoseg.tasks.classification.store import StoredView, case_origin, open_view, plans_digest
from autoseg.trainers.classification.learner import classifier_shape
from autoseg.trainers.classification.settings import ClassificationSettings
from autoseg.trainers.job import Agreement, FoldData, Job, load_stored
from autoseg.trainers.settings import flags_of
from autoseg.trainers.splits import NO_SPLITS, cases_of_fold, load_or_make_splits
from autoseg.versions import versions
from autoseg.workspace import read_model

AGREEMENT = Agreement(
    ClassifierDescription, fields=("recipe", "plans", "shape", "sampling", "loss", "prior"),
    may_differ={"plans": {"versions": True, "reasons": True, "epochs": True, "batch_size": True, "images": True}},
    plans_digest=lambda its: plans_digest(its.plans))


@dataclass(frozen=True)
class ClassificationData(FoldData[ClassPlans, StoredView]):
    """A fold's data (see `FoldData`). stored: the cases that have a target."""

    def covariates(self, names: list[str]) -> dict[str, np.ndarray]:
        """Return the encoded covariates of cases, (D,) float32 each, nan where missing."""
        its = self.plans.covariates
        return {name: encoded(its, self.plans.cells.get(name) or ("",) * len(its)) for name in names}

    def patients(self) -> dict[str, str]:
        """Return the patient of each case."""
        groups = patients_of(list(self.stored), self.plans.source.groups).groups(list(self.stored))
        return {case: group[0] for group in groups for case in group}


def load_data(job: Job[ClassificationSettings]) -> ClassificationData:
    """Return plans and the fold's cases.

    Raises AutosegError where planning or preprocessing is missing, the table of targets has changed since planning, or the fold
    has fewer than two classes to train on.
    """
    plans = read_model(job.plans_json, ClassPlans)
    require_there(plans.source.folder, job.folder, *planning_words(job.task, plans.options))
    command = planning_command(job.folder, job.task, plans.options)
    _require_same_table(plans, command)
    stored = load_stored(
        job, plans.source.training, open_view,
        partial(case_origin, configuration=job.configuration, dataset=plans.source, plans=plans),
        plans_digest(plans), "framed", command)
    target = plans.target
    made = NO_SPLITS if job.fold == "all" else load_or_make_splits(
        job.splits_json, plans.source, list(stored), {name: target.words(name) for name in stored})
    training, validation = cases_of_fold(job.fold, made.splits, list(stored))
    there = {word for name in training for word in target.words(name)}
    if target.kind != "labels" and len(there) < 2:
        raise AutosegError(f"The {many(len(training), 'training case')} of fold {job.fold} have one class only "
                           f"({', '.join(there)}). Correct {job.splits_json.name}, or remove it to have it made anew.")
    return ClassificationData(plans, stored, made.splits, training, validation, made.notes)


def _require_same_table(plans: ClassPlans, command: str) -> None:
    """Raise AutosegError where the table is another one than was planned with: its targets would not count."""
    table = plans.table
    if table is None or not table.path.is_file() or file_digest(table.path) == table.digest:
        return
    raise AutosegError(f"{table.path} has changed since planning. To have its targets and covariates of today, plan again: "
                       f"{command}; or put the table back as it was.")


def check(job: Job[ClassificationSettings], data: ClassificationData, begins: bool = True) -> list[str]:
    """Return what the user should know before the fold is trained.

    begins: it begins with `job.settings`; else it continues with those that it was started with. Raises AutosegError where it
    could not begin: before an older one is thrown away for it.
    """
    resolve_device(job.device)
    settings = job.settings or job.defaults
    if settings.sampling == "balanced" and data.plans.target.kind == "labels":
        raise AutosegError("sampling=balanced draws each class equally often, but there are several labels at once. Take "
                           "loss=weighted.")
    shape, start = classifier_shape(data.plans, settings), settings.pretrained
    if start is not None:
        Pretrained.at(start).require_fitting(shape.encoder)
    if job.settings is None or not begins:
        return []
    starts = [] if start is None else [f"The encoder starts from {start}."]
    return [_trained_on(data), *starts, *AGREEMENT.check(job, description(job, data, settings))]


def _trained_on(data: ClassificationData) -> str:
    words = [word for name in data.training for word in data.plans.target.words(name)]
    return "Trained on " + ", ".join(f"{words.count(name)} {name}" for name in data.plans.target.classes) + "."


def description(
    job: Job[ClassificationSettings], data: ClassificationData, settings: ClassificationSettings
) -> ClassifierDescription:
    """Return what model.json says of the model that these settings train."""
    return ClassifierDescription(
        dataset=data.plans.dataset, plans=data.plans.without_cases(), shape=classifier_shape(data.plans, settings),
        recipe=job.recipe,
        settings=settings.settled().model_dump(mode="json"), flags=flags_of(settings, job.defaults), versions=versions(),
        name=job.name)
