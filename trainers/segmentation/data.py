"""Data that a fold of a segmentation model is trained on, and the model that it belongs to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from autoseg.commands import command_line, model_flags
from autoseg.dataset import Dataset, Labels, require_there
from autoseg.device import resolve_device
from autoseg.errors import AutosegError, did_you_mean, many, some
from autoseg.evaluation.cross_validation import USUAL_FOLDS, missing_folds, number_of_folds, state_of
from autoseg.fingerprint import Fingerprint
from autoseg.options import planning_command
from autoseg.plan import Configuration, Plans
from autoseg.sides import Mirroring
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.tasks.segmentation.options import PlanOptions
from autoseg.tasks.segmentation.risk import risks_in_words
from autoseg.tasks.segmentation.store import ANNOTATED, StoredVolume, case_origin, described_volume, plans_digest
from autoseg.trainers.job import Agreement, FoldData, Job, load_stored
from autoseg.trainers.losses import build_loss
from autoseg.trainers.losses.targets import TrainingData
from autoseg.trainers.segmentation.configure import cost_note, effective_configuration, mirroring_of
from autoseg.trainers.segmentation.pretrained import notes_on_start, started_from
from autoseg.trainers.segmentation.settings import SegmentationSettings, notes_on
from autoseg.trainers.settings import flags_of
from autoseg.trainers.splits import NO_SPLITS, MadeSplits, cases_of_fold, load_or_make_splits
from autoseg.versions import versions
from autoseg.wording import times
from autoseg.workspace import DatasetFolder, read_model

AGREEMENT = Agreement(
    ModelDescription,
    fields=("recipe", "channel_names", "labels", "plans", "mirror_axes", "swap_axes", "swapped", "started_from"),
    may_differ={
        "plans": {"versions": True, "planner": True, "memory_gb": True, "images": True, "sides": True, "pretrained": True,
                  "configurations": {"__all__": {"reasons": True, "memory_values": True, "visibility": True}}},
        "started_from": {"weights": True}},  # see `started_from`
    plans_digest=lambda its: plans_digest(its.labels, its.plans, its.configuration))


@dataclass(frozen=True)
class SegmentationData(FoldData[Plans, StoredVolume]):
    """The data of a fold (see `FoldData`). plans: with one configuration only, `configuration`."""

    dataset: Dataset
    configuration: Configuration

    @property
    def of_training(self) -> TrainingData:
        """Return what the recipe may know of the training cases."""
        cases = [self.stored[name] for name in self.training]
        return training_data(self.dataset.labels, [(math.prod(case.shape), case.foreground_counts) for case in cases])

    def in_words(self, settings: SegmentationSettings) -> str:
        its = self.effective(settings)
        sides = self.plans.sides
        behind = f", with the segmentation by {its.previous_stage}" if its.previous_stage else ""
        mirrored = f", mirrored along {self.mirroring(settings).in_words}" if sides and sides.pairs else ""
        return f"{its.batch_size} patches of {times(its.patch_size)} voxels a step{behind}{mirrored}"

    def effective(self, settings: SegmentationSettings) -> Configuration:
        """Return the configuration with the settings in it (see `effective_configuration`)."""
        return effective_configuration(self.configuration, settings, self.dataset.labels.output_channels)

    def mirroring(self, settings: SegmentationSettings) -> Mirroring:
        """Return the axes that are flipped with these settings, and which labels change places (see `mirroring_of`)."""
        return mirroring_of(self.effective(settings), settings, self.dataset.labels, self.plans.sides)


def training_data(labels: Labels, cases: Iterable[tuple[int, Mapping[int, int]]]) -> TrainingData:
    """Sum up each stored case's number of voxels and its `foreground_counts` (see `StoredVolume`)."""
    cases = list(cases)
    voxels = sum(size if labels.ignore is None else counts.get(ANNOTATED, 0) for size, counts in cases)

    def total(key: int) -> int:
        return sum(counts.get(key, 0) for _, counts in cases)

    if labels.has_regions:
        return TrainingData(labels, voxels, tuple(total(region) for region in range(labels.output_channels)))
    foreground = [total(value) for value in range(1, labels.output_channels)]
    return TrainingData(labels, voxels, (voxels - sum(foreground), *foreground))


def load_data(job: Job[SegmentationSettings]) -> SegmentationData:
    """Return dataset, plans and the fold's cases. Raises AutosegError where planning or preprocessing is missing."""
    if not (job.plans_json.exists() and job.folder.dataset_json.exists()):
        raise AutosegError(
            f"{job.folder.name} has no plans in {job.folder.root}. Run: {command_line(job.folder, 'autoseg_plan_and_preprocess')}"
        )
    dataset = read_model(job.folder.dataset_json, Dataset)
    plans = read_model(job.plans_json, Plans)
    if job.configuration not in plans.configurations:
        raise AutosegError(
            f'{job.folder.name} has no configuration "{job.configuration}".'
            f"{'' if job.configuration in job.task.configurations else did_you_mean(job.configuration, plans.configurations)} "
            f"There are: {', '.join(plans.configurations)}.")
    require_there(dataset.folder, job.folder)
    configuration = plans.configurations[job.configuration]
    names = [case.name for case in dataset.training]
    stored = load_stored(
        job, dataset.training, described_volume,
        partial(case_origin, configuration=job.configuration, dataset=dataset, plans=plans),
        plans_digest(dataset.labels, plans, configuration), f"preprocessed for {job.configuration}",
        planning_command(job.folder, job.task, PlanOptions(
            configurations=(job.configuration,), planner=plans.planner, memory_gb=plans.memory_gb,
            pretrained=plans.pretrained)))
    made = NO_SPLITS if job.fold == "all" else _splits(job, dataset, names)
    training, validation = cases_of_fold(job.fold, made.splits, names)
    only = plans.model_copy(update={"configurations": {job.configuration: configuration}})
    return SegmentationData(only, stored, made.splits, training, validation, made.notes, dataset, configuration)


def _splits(job: Job[SegmentationSettings], dataset: Dataset, names: list[str]) -> MadeSplits:
    """Return splits that spread labels over the folds as far as the fingerprint knows of them."""
    labels, notes = labels_of_cases(job.folder, names)
    made = load_or_make_splits(job.splits_json, dataset, names, labels)
    return MadeSplits(made.splits, notes + made.notes)


def check(job: Job[SegmentationSettings], data: SegmentationData, begins: bool = True) -> list[str]:
    """Return what the user should know before the fold is trained.

    begins: it begins with `job.settings`; else it continues with those that it was started with. Raises AutosegError where it
    could not begin: before an older one is thrown away for it.
    """
    resolve_device(job.device)
    if begins or state_of(job.fold_folder) != "complete":
        require_stage(job, data)
    settings = job.settings or job.defaults
    effective = data.effective(settings)
    data.mirroring(settings)
    build_loss(settings, data.of_training, effective.pools_batch)
    if job.settings is None or not begins:
        return []
    notes = notes_on_start(job, settings, data.dataset, data.plans, effective, data.validation)
    of_other_folds = AGREEMENT.check(job, description(job, data, settings, begins=True))
    cost = cost_note(effective, data.configuration, data.dataset.labels.output_channels)
    notes += [cost] if cost else []
    if settings.sampling == "even" and (risks := risks_in_words(data.plans)):
        notes.append(f"Warning: {risks}")
    return [*notes, *notes_on(settings, job.defaults), *of_other_folds]


def require_stage(job: Job[SegmentationSettings], data: SegmentationData) -> None:
    """Raise AutosegError, with the command to type, where the stage that the model goes on from is not trained.

    Every fold of it is needed, as each case is to be predicted by the one that had not seen it.
    """
    stage = data.configuration.previous_stage
    if stage is None or stage in job.before:
        return
    first, folds = job.model.beside(stage), number_of_folds(job.splits_json)
    if first.model_json.exists() and folds:
        missing = missing_folds(job.folder, first, folds)
        lacks, commands = "; ".join(lack.words for lack in missing), [lack.command for lack in missing]
    else:
        name = ["--name", job.name] if job.name else []
        lacks = f"{first.root} holds none"
        commands = [command_line(job.folder, "autoseg_train", *map(str, range(folds or USUAL_FOLDS)),
                                 *model_flags(stage, job.recipe), *name)]
    if commands:
        raise AutosegError(f"{job.configuration} goes on from what {stage} segments, so each fold of that must be trained first: "
                           f"{lacks}. Run: {', then '.join(commands)}")


def description(
    job: Job[SegmentationSettings], data: SegmentationData, settings: SegmentationSettings, begins: bool = False
) -> ModelDescription:
    """Return what model.json says of the model that these settings train. begins: the fold begins anew, whatever is there of it.
    """
    effective, mirroring = data.effective(settings), data.mirroring(settings)
    return ModelDescription(
        dataset=data.dataset.name, channel_names=data.dataset.channel_names, labels=data.dataset.labels,
        file_ending=data.dataset.file_ending, configuration_name=job.configuration,
        plans=data.plans.model_copy(update={"configurations": {job.configuration: effective}, "pretrained": None}),
        recipe=job.recipe, settings=settings.settled().model_dump(mode="json"), flags=flags_of(settings, job.defaults),
        mirror_axes=mirroring.axes, swap_axes=mirroring.swap_axes, swapped=mirroring.swapped,
        started_from=started_from(job, settings, data.dataset, begins), versions=versions(), name=job.name,
        dicom_codes=data.dataset.dicom_codes,
    )


def labels_of_cases(folder: DatasetFolder, cases: list[str]) -> tuple[dict[str, list[str]] | None, list[str]]:
    """Return names of the labels that each case holds, by the fingerprint; or None and a note where it does not know."""
    try:
        fingerprint = read_model(folder.fingerprint_json, Fingerprint)
    except AutosegError as error:
        return None, [f"Folds do not take into account which labels a case holds: {error} Plan the dataset again to fix that."]
    missing = [name for name in cases if name not in fingerprint.cases]
    if missing:
        return None, [
            f"Folds do not take into account which labels a case holds: {folder.fingerprint_json} lacks "
            f"{many(len(missing), 'case')}: {some(missing)}. Plan the dataset again to fix that."]
    names = {value: label.name for value, label in fingerprint.labels.items()}
    return {case: [names.get(value, value) for value in fingerprint.cases[case].labels] for case in cases}, []
