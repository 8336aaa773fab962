"""What a locator's fold trains on, and the model that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoseg.commands import command_line
from autoseg.device import resolve_device
from autoseg.errors import AutosegError, many, some
from autoseg.kinds import LOCATION
from autoseg.options import options_flags
from autoseg.preprocessing.store import is_complete
from autoseg.provenance import Origin
from autoseg.tasks.localization.model import LocatorDescription
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.localization.settings import LocationSettings
from autoseg.tasks.localization.store import StoredProjection, open_projection, plans_digest
from autoseg.trainers.apart import Agreement
from autoseg.trainers.cases import origin_of_cases
from autoseg.trainers.job import Job, check_name
from autoseg.trainers.locator.task import locator_network, sees_position
from autoseg.trainers.recipes import locator_defaults
from autoseg.trainers.settings import flags_of
from autoseg.trainers.settings.locator import LocatorSettings
from autoseg.trainers.splits import MadeSplits, Splits, cases_of_fold, splits_at
from autoseg.versions import versions
from autoseg.workspace import read_model

AGREEMENT = Agreement(
    LOCATION, LocatorDescription, fields=("recipe", "plans", "network", "position", "band", "location"),
    plans_may_differ=("versions", "reasons", "epochs", "batch_size"))  # the latter two only say how it is trained


@dataclass(frozen=True)
class LocatorData:
    """stored: projections by name, of the cases of which it is known whether and where the level is. splits: of all folds; none
    for fold "all". training, validation: names of this fold's cases. notes: what the user should know."""

    plans: ProjectionPlans
    stored: dict[str, StoredProjection]
    splits: Splits
    training: list[str]
    validation: list[str]
    notes: list[str]

    def cases_of(self, fold: str) -> Origin:
        """Which cases a fold trains and validates on."""
        training, validation = cases_of_fold(fold, self.splits, list(self.stored))
        return origin_of_cases([self.stored[name] for name in training], [self.stored[name] for name in validation])


def load_locator_data(job: Job[LocatorSettings]) -> LocatorData:
    """Plans and the fold's projections. Raises AutosegError where planning or preprocessing is missing, or no level is there."""
    plans = read_model(job.folder.projection_json, ProjectionPlans)
    again = planning_again(job, plans)
    store, names = job.folder.preprocessed(job.configuration), [case.name for case in plans.source.training]
    missing = [name for name in names if not is_complete(store, name)]
    if missing:
        raise AutosegError(f"{len(missing)} of {len(names)} cases are not projected: {some(missing)}. Run: {again}")
    stored = {name: open_projection(store, name) for name in names}
    if other := [name for name, case in stored.items() if case.description.plans != plans_digest(plans)]:
        raise AutosegError(f"{len(other)} of {len(names)} cases were projected by other plans than those in "
                           f"{job.folder.projection_json}: {some(other)}. Run: {again}")
    unknown = [name for name, case in stored.items() if not case.is_known]
    known = {name: case for name, case in stored.items() if case.is_known}
    made = MadeSplits([], []) if job.fold == "all" else splits_at(
        job.folder.splits_of(LOCATION), plans.source, list(known), _spread(known, plans.target.name), left_out=unknown)
    training, validation = cases_of_fold(job.fold, made.splits, list(known))
    data = LocatorData(plans, known, made.splits, training, validation, [*made.notes, *_left_out(unknown, plans.target.name)])
    if not any(known[name].level for name in training):
        raise AutosegError(f"{plans.target.name} is in none of the {many(len(training), 'training case')} of fold {job.fold}. "
                           f"Correct {job.folder.splits_of(LOCATION).name}, or remove it to have it made anew.")
    return data


def planning_again(job: Job[LocatorSettings], plans: ProjectionPlans) -> str:
    """Return the command line that plans the projections as they were planned."""
    flags = options_flags(plans.options)
    return command_line(job.folder, "autoseg_plan_and_preprocess", "--planner", LOCATION.configuration, *flags)


def _spread(stored: Mapping[str, StoredProjection], target: str) -> dict[str, list[str]]:
    """By case; those without the level are spread over the folds."""
    return {name: [] if case.level else [f"without {target}"] for name, case in stored.items()}


def _left_out(unknown: Sequence[str], target: str) -> list[str]:
    if not unknown:
        return []
    return [f"Left out, as it is not known where {target} is in them: {many(len(unknown), 'case')} ({some(unknown)})."]


def check_locator_job(job: Job[LocatorSettings], data: LocatorData, begins: bool = True) -> list[str]:
    """What the user should know before the fold is trained.

    begins: it begins with `job.settings`; else it goes on with those that it was begun with. Raises AutosegError where it
    could not begin: before an older one is thrown away for it.
    """
    resolve_device(job.device)
    check_name(job)
    settings = job.settings or locator_defaults(job.recipe, data.plans)
    locator_network(data.plans, settings)
    if 2 * settings.band > data.plans.size[0]:
        raise AutosegError(f"band={settings.band:g} is more than half of the {data.plans.size[0]} rows of a projection, so that "
                           "it marks no level. Take a lower one, such as 7.")
    if settings.absent_share + settings.window_share > 1:
        raise AutosegError(f"absent_share={settings.absent_share:g} and window_share={settings.window_share:g} are shares of one "
                           "batch, but more than 1 together. Lower one of them.")
    if job.settings is None or not begins:
        return []
    return [_trained_on(data), *AGREEMENT.check(job, _description(job, data, settings))]


def _trained_on(data: LocatorData) -> str:
    there = sum(data.stored[name].level is not None for name in data.training)
    without = len(data.training) - there
    return f"Trained on {many(there, 'case')} with {data.plans.target.name}" + (f", {without} without." if without else ".")


def describe_locator(job: Job[LocatorSettings], data: LocatorData, settings: LocatorSettings) -> None:
    """Write `model.json`, or check that the one that is there describes the same model."""
    AGREEMENT.describe(job, _description(job, data, settings))


def _description(job: Job[LocatorSettings], data: LocatorData, settings: LocatorSettings) -> LocatorDescription:
    return LocatorDescription(
        dataset=data.plans.dataset, plans=data.plans.without_cases(), network=locator_network(data.plans, settings),
        position=sees_position(data.plans, settings), band=settings.band,
        location=LocationSettings(threshold=settings.threshold, zooms=settings.zooms), recipe=job.recipe,
        settings=settings.model_dump(mode="json"), flags=flags_of(settings, locator_defaults(job.recipe, data.plans)),
        versions=versions(), name=job.name)


def require_same_projections(job: Job[LocatorSettings], there: LocatorDescription, plans: ProjectionPlans) -> None:
    """Raises AutosegError where a trained locator saw other projections than those that there are now."""
    now = there.model_copy(update={"plans": plans.without_cases()})
    if not AGREEMENT.are_same_plans(there, now):
        raise AutosegError(
            f"{job.fold_folder.root} was trained on projections by other plans than those in {job.folder.projection_json}, and "
            "cannot be validated on these. Plan the projections as they were, or begin the fold anew with --restart.")
