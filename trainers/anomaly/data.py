"""Data that a fold of an anomaly detector is trained on, and the model that it belongs to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

from autoseg.dataset import Dataset, require_there
from autoseg.device import resolve_device
from autoseg.errors import AutosegError, many
from autoseg.options import planning_command, planning_words
from autoseg.tasks.anomaly.model import AnomalyDescription
from autoseg.tasks.anomaly.options import SearchSettings
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.anomaly.store import StoredSlices, case_origin, open_slices, plans_digest
from autoseg.trainers.anomaly.learner import gan_shape
from autoseg.trainers.anomaly.settings import AnomalySettings
from autoseg.trainers.job import Agreement, FoldData, Job, load_stored
from autoseg.trainers.settings import flags_of
from autoseg.trainers.splits import NO_SPLITS, MadeSplits, cases_of_fold, load_or_make_splits
from autoseg.versions import versions
from autoseg.workspace import read_model

AGREEMENT = Agreement(
    AnomalyDescription,
    # a gate takes as many slices as a validation, and compares with the scores of all folds
    fields=("recipe", "plans", "gan", "spectral_norm", "has_encoder", "validation_slices"),
    may_differ={"plans": {"versions": True, "reasons": True, "images": True}}, plans_digest=lambda its: plans_digest(its.plans))


@dataclass(frozen=True)
class AnomalyData(FoldData[SlicePlans, StoredSlices]):
    """A fold's data (see `FoldData`). stored: slices of each case. Of the training cases only normal slices are trained on."""

    @property
    def training_cases(self) -> list[StoredSlices]:
        """Return those of the fold's training cases that hold a slice to train on."""
        return [self.stored[name] for name in self.training if any(self.stored[name].normal)]


def load_data(job: Job[AnomalySettings]) -> AnomalyData:
    """Return plans and the fold's slices.

    Raises AutosegError where planning or preprocessing is missing, or no training slice is normal.
    """
    plans = read_model(job.plans_json, SlicePlans)
    names = [case.name for case in plans.source.training]
    command = planning_command(job.folder, job.task, plans.options)
    require_there(plans.source.folder, job.folder, *planning_words(job.task, plans.options))
    origin = partial(case_origin, configuration=job.configuration, dataset=plans.source, plans=plans)
    stored = load_stored(
        job, plans.source.training, open_slices, origin, plans_digest(plans), "cut into slices", command)
    made = NO_SPLITS if job.fold == "all" else _splits(job, plans.source, stored)
    training, validation = cases_of_fold(job.fold, made.splits, names)
    data = AnomalyData(plans, stored, made.splits, training, validation, made.notes)
    if not data.training_cases:
        raise AutosegError(
            f"Fold {job.fold} has no normal slice to train on: none of its {many(len(training), 'training case')} holds one. "
            "Check case_labels in dataset.json (or the labels: slices without foreground count as normal), and "
            f"{job.splits_json.name}.")
    return data


def _splits(job: Job[AnomalySettings], dataset: Dataset, stored: dict[str, StoredSlices]) -> MadeSplits:
    """Return splits by case, never by slice; abnormal cases are spread over the folds."""
    truths = {name: [case.case_truth] if case.case_truth == "abnormal" else [] for name, case in stored.items()}
    return load_or_make_splits(job.splits_json, dataset, list(stored), truths)


def check(job: Job[AnomalySettings], data: AnomalyData, begins: bool = True) -> list[str]:
    """Return what the user should know before the fold is trained.

    begins: it begins with `job.settings`; else it continues with those that it was started with. Raises AutosegError where it
    could not begin: before an older one is thrown away for it.
    """
    resolve_device(job.device)
    settings = job.settings or job.defaults
    gan_shape(data.plans, settings)
    if settings.start == "encoder" and not settings.encoder:
        raise AutosegError("start=encoder begins the search with an encoder's proposal, but none is trained. Add --set "
                           "encoder=true, or leave start out.")
    if settings.precision == "float16":
        raise AutosegError("precision=float16 does not hold a GAN's losses. Take auto, bfloat16 or float32.")
    if job.settings is None or not begins:
        return []
    return [_trained_on(data), *_notes(data), *AGREEMENT.check(job, description(job, data, settings))]


def _trained_on(data: AnomalyData) -> str:
    chosen = data.training_cases
    count = sum(sum(case.normal) for case in chosen)
    kinds = Counter(
        "blank" if blank else truth or "of unknown kind" for case in map(data.stored.__getitem__, data.training)
        for truth, blank, normal in zip(case.truths, case.blank, case.normal, strict=True) if not normal)
    rest = f" Left out: {', '.join(f'{number} {kind}' for kind, number in kinds.items())}." if kinds else ""
    return f"Trained on {many(count, 'normal slice')} of {many(len(chosen), 'case')}.{rest}"


def _notes(data: AnomalyData) -> list[str]:
    held_out = [data.stored[name] for name in data.validation]
    if held_out and not any(case.case_truth == "normal" or "normal" in case.truths for case in held_out):
        return ["No validation case is known to be normal, so that nothing tells which scores are usual (a gate needs that)."]
    return []


def description(job: Job[AnomalySettings], data: AnomalyData, settings: AnomalySettings) -> AnomalyDescription:
    """Return what model.json says of the model that these settings train."""
    search = {field.alias or name for name, field in SearchSettings.model_fields.items()}
    content = settings.model_dump(mode="json")
    return AnomalyDescription(
        dataset=data.plans.dataset, plans=data.plans.without_cases(), gan=gan_shape(data.plans, settings),
        spectral_norm=settings.spectral_norm, has_encoder=settings.encoder,
        search=SearchSettings.model_validate({key: value for key, value in content.items() if key in search}),
        recipe=job.recipe, settings=content, flags=flags_of(settings, job.defaults), versions=versions(),
        name=job.name)
