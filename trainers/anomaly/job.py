"""What a detector's fold trains on, and the model that it belongs to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from autoseg.commands import command_line
from autoseg.dataset import Dataset
from autoseg.device import resolve_device
from autoseg.errors import AutosegError, many, some
from autoseg.kinds import ANOMALY
from autoseg.preprocessing.store import is_complete
from autoseg.provenance import Origin
from autoseg.tasks.anomaly.model import AnomalyDescription
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.anomaly.settings import SearchSettings
from autoseg.tasks.anomaly.store import StoredSlices, open_slices, plans_digest
from autoseg.trainers.anomaly.task import gan_shape
from autoseg.trainers.apart import Agreement
from autoseg.trainers.cases import origin_of_cases
from autoseg.trainers.job import Job, check_name
from autoseg.trainers.recipes import anomaly_defaults
from autoseg.trainers.settings import flags_of
from autoseg.trainers.settings.anomaly import AnomalySettings
from autoseg.trainers.splits import MadeSplits, Splits, cases_of_fold, splits_at
from autoseg.versions import versions
from autoseg.workspace import read_model

AGREEMENT = Agreement(
    ANOMALY, AnomalyDescription,
    # a gate takes as many slices as a validation, and compares with the scores of all folds
    fields=("recipe", "plans", "gan", "spectral_norm", "has_encoder", "validation_slices"),
    plans_may_differ=("versions", "reasons"))


@dataclass(frozen=True)
class DetectorData:
    """stored: slices of each case, by name. splits: of all folds; none for fold "all". training, validation: names of this fold's
    cases; of the former, the normal slices alone are trained on. notes: what the user should know."""

    plans: SlicePlans
    stored: dict[str, StoredSlices]
    splits: Splits
    training: list[str]
    validation: list[str]
    notes: list[str]

    @property
    def training_cases(self) -> list[StoredSlices]:
        """Those of the fold's training cases that hold a slice to train on."""
        return [self.stored[name] for name in self.training if any(self.stored[name].normal)]

    def cases_of(self, fold: str) -> Origin:
        """Which cases a fold trains and validates on."""
        training, validation = cases_of_fold(fold, self.splits, list(self.stored))
        return origin_of_cases([self.stored[name] for name in training], [self.stored[name] for name in validation])


def load_detector_data(job: Job[AnomalySettings]) -> DetectorData:
    """Plans and the fold's slices. Raises AutosegError where planning or preprocessing is missing, or nothing normal is there."""
    plans = read_model(job.folder.slices_json, SlicePlans)
    again = command_line(job.folder, "autoseg_plan_and_preprocess", "--planner", "slices")
    store, names = job.folder.preprocessed(job.configuration), [case.name for case in plans.source.training]
    missing = [name for name in names if not is_complete(store, name)]
    if missing:
        raise AutosegError(f"{len(missing)} of {len(names)} cases are not cut into slices: {some(missing)}. Run: {again}")
    stored = {name: open_slices(store, name) for name in names}
    if other := [name for name, case in stored.items() if case.description.plans != plans_digest(plans)]:
        raise AutosegError(f"{len(other)} of {len(names)} cases were cut by other plans than those in {job.folder.slices_json}: "
                           f"{some(other)}. Run: {again}")
    made = MadeSplits([], []) if job.fold == "all" else _splits(job, plans.source, stored)
    training, validation = cases_of_fold(job.fold, made.splits, names)
    data = DetectorData(plans, stored, made.splits, training, validation, made.notes)
    if not data.training_cases:
        raise AutosegError(
            f"Fold {job.fold} has no normal slice to train on: none of its {many(len(training), 'training case')} holds one. "
            "Check case_labels in dataset.json (or the labels: slices without foreground count as normal), and "
            f"{job.folder.splits_of(ANOMALY).name}.")
    return data


def _splits(job: Job[AnomalySettings], dataset: Dataset, stored: dict[str, StoredSlices]) -> MadeSplits:
    """By case and never by slice, as for segmentation; abnormal cases are spread over the folds."""
    truths = {name: [case.case_truth] if case.case_truth == "abnormal" else [] for name, case in stored.items()}
    return splits_at(job.folder.splits_of(ANOMALY), dataset, list(stored), truths)


def check_detector_job(job: Job[AnomalySettings], data: DetectorData, begins: bool = True) -> list[str]:
    """What the user should know before the fold is trained.

    begins: it begins with `job.settings`; else it goes on with those that it was begun with. Raises AutosegError where it
    could not begin: before an older one is thrown away for it.
    """
    resolve_device(job.device)
    check_name(job)
    settings = job.settings or anomaly_defaults(job.recipe)
    gan_shape(data.plans, settings)
    if settings.start == "encoder" and not settings.encoder:
        raise AutosegError("start=encoder begins the search with an encoder's proposal, but none is trained. Add --set "
                           "encoder=true, or leave start out.")
    if settings.precision == "float16":
        raise AutosegError("precision=float16 does not hold a GAN's losses. Take auto, bfloat16 or float32.")
    if job.settings is None or not begins:
        return []
    return [_trained_on(data), *_notes(data), *AGREEMENT.check(job, _description(job, data, settings))]


def _trained_on(data: DetectorData) -> str:
    chosen = data.training_cases
    count = sum(sum(case.normal) for case in chosen)
    kinds = Counter(
        "blank" if blank else truth or "of unknown kind" for case in map(data.stored.__getitem__, data.training)
        for truth, blank, normal in zip(case.truths, case.blank, case.normal, strict=True) if not normal)
    rest = f" Left out: {', '.join(f'{number} {kind}' for kind, number in kinds.items())}." if kinds else ""
    return f"Trained on {many(count, 'normal slice')} of {many(len(chosen), 'case')}.{rest}"


def _notes(data: DetectorData) -> list[str]:
    held_out = [data.stored[name] for name in data.validation]
    if held_out and not any(case.case_truth == "normal" or "normal" in case.truths for case in held_out):
        return ["No validation case is known to be normal, so that nothing tells which scores are usual (a gate needs that)."]
    return []


def describe_detector(job: Job[AnomalySettings], data: DetectorData, settings: AnomalySettings) -> None:
    """Write `model.json`, or check that the one that is there describes the same model."""
    AGREEMENT.describe(job, _description(job, data, settings))


def _description(job: Job[AnomalySettings], data: DetectorData, settings: AnomalySettings) -> AnomalyDescription:
    search = {field.alias or name for name, field in SearchSettings.model_fields.items()}
    content = settings.model_dump(mode="json")
    return AnomalyDescription(
        dataset=data.plans.dataset, plans=data.plans.without_cases(), gan=gan_shape(data.plans, settings),
        spectral_norm=settings.spectral_norm, has_encoder=settings.encoder,
        search=SearchSettings.model_validate({key: value for key, value in content.items() if key in search}),
        recipe=job.recipe, settings=content, flags=flags_of(settings, anomaly_defaults(job.recipe)), versions=versions(),
        name=job.name)


def require_same_slices(job: Job[AnomalySettings], there: AnomalyDescription, plans: SlicePlans) -> None:
    """Raises AutosegError where a trained detector saw other slices than those that there are now."""
    now = there.model_copy(update={"plans": plans.without_cases()})
    if not AGREEMENT.are_same_plans(there, now):
        raise AutosegError(
            f"{job.fold_folder.root} was trained on slices that were cut by other plans than those in {job.folder.slices_json}, "
            "and cannot be validated on these. Plan the slices as they were, or begin the fold anew with --restart.")
