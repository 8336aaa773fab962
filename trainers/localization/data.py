"""Data that a fold of a locator is trained on, and the model that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from autoseg.dataset import require_there
from autoseg.device import resolve_device
from autoseg.errors import AutosegError, many, some
from autoseg.options import planning_command, planning_words
from autoseg.tasks.localization.model import LocatorDescription
from autoseg.tasks.localization.options import LocationSettings
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.localization.store import StoredProjection, case_origin, open_projection, plans_digest
from autoseg.trainers.job import Agreement, FoldData, Job, load_stored
from autoseg.trainers.localization.learner import locator_network, sees_position
from autoseg.trainers.localization.settings import LocalizationSettings
from autoseg.trainers.settings import flags_of
from autoseg.trainers.splits import NO_SPLITS, cases_of_fold, load_or_make_splits
from autoseg.versions import versions
from autoseg.workspace import read_model

AGREEMENT = Agreement(
    LocatorDescription, fields=("recipe", "plans", "network", "position", "band", "location"),
    may_differ={"plans": {"versions": True, "reasons": True, "epochs": True, "batch_size": True,
                          "images": True}},  # last two: only for training
    plans_digest=lambda its: plans_digest(its.plans))


@dataclass(frozen=True)
class LocalizationData(FoldData[ProjectionPlans, StoredProjection]):
    """A fold's data (see `FoldData`). stored: projections of the cases of which it is known whether and where the level is."""


def load_data(job: Job[LocalizationSettings]) -> LocalizationData:
    """Return plans and the fold's projections.

    Raises AutosegError where planning or preprocessing is missing, or no training case has the level.
    """
    plans = read_model(job.plans_json, ProjectionPlans)
    require_there(plans.source.folder, job.folder, *planning_words(job.task, plans.options))
    origin = partial(case_origin, configuration=job.configuration, dataset=plans.source, plans=plans)
    stored = load_stored(job, plans.source.training, open_projection, origin, plans_digest(plans), "projected",
                         planning_command(job.folder, job.task, plans.options))
    unknown = [name for name, case in stored.items() if not case.is_known]
    known = {name: case for name, case in stored.items() if case.is_known}
    target = plans.target.name
    made = NO_SPLITS if job.fold == "all" else load_or_make_splits(
        job.splits_json, plans.source, list(known), _spread(known, target), left_out=unknown)
    training, validation = cases_of_fold(job.fold, made.splits, list(known))
    if not any(known[name].level for name in training):
        raise AutosegError(f"{target} is in none of the {many(len(training), 'training case')} of fold {job.fold}. "
                           f"Correct {job.splits_json.name}, or remove it to have it made anew.")
    return LocalizationData(plans, known, made.splits, training, validation, [*made.notes, *_left_out(unknown, target)])


def _spread(stored: Mapping[str, StoredProjection], target: str) -> dict[str, list[str]]:
    """Return labels for the splits, so that cases without the level are spread over the folds."""
    return {name: [] if case.level else [f"without {target}"] for name, case in stored.items()}


def _left_out(unknown: Sequence[str], target: str) -> list[str]:
    if not unknown:
        return []
    return [f"Left out, as it is not known where {target} is in them: {many(len(unknown), 'case')} ({some(unknown)})."]


def check(job: Job[LocalizationSettings], data: LocalizationData, begins: bool = True) -> list[str]:
    """Return what the user should know before the fold is trained.

    begins: it begins with `job.settings`; else it continues with those that it was started with. Raises AutosegError where it
    could not begin: before an older one is thrown away for it.
    """
    resolve_device(job.device)
    settings = job.settings or job.defaults
    locator_network(data.plans, settings)
    if 2 * settings.band > data.plans.size[0]:
        raise AutosegError(f"band={settings.band:g} is more than half of the {data.plans.size[0]} rows of a projection, so that "
                           "it marks no level. Take a lower one, such as 7.")
    if settings.absent_share + settings.window_share > 1:
        raise AutosegError(f"absent_share={settings.absent_share:g} and window_share={settings.window_share:g} are shares of one "
                           "batch, but more than 1 together. Lower one of them.")
    if job.settings is None or not begins:
        return []
    return [_trained_on(data), *AGREEMENT.check(job, description(job, data, settings))]


def _trained_on(data: LocalizationData) -> str:
    there = sum(data.stored[name].level is not None for name in data.training)
    without = len(data.training) - there
    return f"Trained on {many(there, 'case')} with {data.plans.target.name}" + (f", {without} without." if without else ".")


def description(
    job: Job[LocalizationSettings], data: LocalizationData, settings: LocalizationSettings
) -> LocatorDescription:
    """Return what model.json says of the model that these settings train."""
    return LocatorDescription(
        dataset=data.plans.dataset, plans=data.plans.without_cases(), network=locator_network(data.plans, settings),
        position=sees_position(data.plans, settings), band=settings.band,
        location=LocationSettings(threshold=settings.threshold, zooms=settings.zooms), recipe=job.recipe,
        settings=settings.settled().model_dump(mode="json"), flags=flags_of(settings, job.defaults),
        versions=versions(), name=job.name)
