"""One fold from its plans to its validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from autoseg.dataset import Dataset
from autoseg.device import keep_large_blocks, resolve_device
from autoseg.errors import AutosegError
from autoseg.evaluation.summary import Pair, Summary, evaluate_pairs, write_summary
from autoseg.image_io import file_ending, label_ending, read_label, write_label
from autoseg.inference.model import ModelDescription, load_model
from autoseg.inference.predictor import Predictor
from autoseg.parallel import number_of_cores
from autoseg.plan import Configuration, Plans
from autoseg.preprocessing.store import StoredCase, is_complete, open_case
from autoseg.trainers.augmentation import Augmentation
from autoseg.trainers.batches import Batch, BatchStream, PatchSampler, Sample
from autoseg.trainers.checkpoint import load_state
from autoseg.trainers.loop import Report, Run, train
from autoseg.trainers.recipes import find_recipe
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.settings import Settings
from autoseg.trainers.splits import cases_of_fold, load_or_make_splits
from autoseg.versions import versions
from autoseg.workspace import DatasetFolder, FoldFolder, ModelFolder, read_model, remove_leftovers, write_json

BATCH_THREADS = 6  # on a machine with an accelerator; the CPU has its hands full with the network


@dataclass(frozen=True)
class Job:
    """What is to be trained. settings: None to go on with those that the unfinished fold was started with."""

    folder: DatasetFolder
    configuration: str
    recipe: str
    fold: str
    settings: Settings | None
    device: str = "auto"

    @property
    def model(self) -> ModelFolder:
        return self.folder.model(self.configuration, self.recipe)

    @property
    def fold_folder(self) -> FoldFolder:
        return self.model.fold(self.fold)


@dataclass(frozen=True)
class FoldData:
    """plans: with this configuration only; training and validation: case names; folds: how many there are;
    notes: what the user should know."""

    dataset: Dataset
    plans: Plans
    configuration: Configuration
    training: list[str]
    validation: list[str]
    folds: int
    notes: list[str]


def train_fold(job: Job, data: FoldData, report: Report) -> Summary | None:
    """Train a fold to its end, then predict its validation cases at full size; the summary of that (None for "all").

    Goes on where an earlier run stopped. Raises AutosegError that says what is missing or does not fit.
    """
    settings = settle_settings(job)
    device = resolve_device(job.device)
    if device.type == "cpu":
        keep_large_blocks()
    if not job.fold_folder.checkpoint_final.exists():
        configuration = effective_configuration(data.configuration, settings)
        describe_model(job, data, settings, configuration)
        remove_leftovers(job.fold_folder.root)
        train_network(job, data, settings, configuration, device, report)
    return validate_fold(job, data, device, report)


def train_network(
    job: Job, data: FoldData, settings: Settings, configuration: Configuration, device: torch.device, report: Report
) -> None:
    """Build the recipe's task and its batches, and run the loop."""
    store = job.folder.preprocessed(job.configuration)
    training = [open_case(store, name) for name in data.training]
    task = find_recipe(job.recipe)(configuration, data.dataset.labels, settings, device)
    augmentation = augmentation_for(configuration, settings)
    threads = 1 if device.type == "cpu" else min(BATCH_THREADS, number_of_cores())
    streams = [_stream(training, configuration, settings, augmentation, device, threads, seed=settings.seed)]
    if data.validation:
        validation = [open_case(store, name) for name in data.validation]
        streams.append(_stream(validation, configuration, settings, None, device, threads, seed=settings.seed + 1))
    schedule = Schedule(settings, reserve=0.1 if data.validation else 0.02)
    run = Run(
        task, streams[0], streams[1] if data.validation else None, list(data.dataset.labels.foreground), settings,
        job.fold_folder, schedule, report,
    )
    try:
        train(run)
    finally:
        for stream in streams:
            stream.close()


def validate_fold(job: Job, data: FoldData, device: torch.device, report: Report) -> Summary | None:
    """Full-size predictions of the validation cases in `validation/`, and their `summary.json` in nnU-Net's form."""
    if not data.validation:
        return None
    folder = job.fold_folder.validation
    remove_leftovers(folder)
    cases = {case.name: case for case in data.dataset.training}
    store = job.folder.preprocessed(job.configuration)
    predictor = Predictor(load_model(job.model, [job.fold], device=device), device)
    pairs = []
    for number, name in enumerate(data.validation):
        reference = cases[name].label
        if reference is None:
            raise AutosegError(f"case {name}: it has no label to be validated against. Correct splits.json.")
        output = folder / f"{name}{label_ending(file_ending(reference))}"
        if not output.exists():
            stored = open_case(store, name)
            segmentation = predictor.predict_preprocessed(stored.read_data(), stored.properties)
            write_label(output, segmentation, like=read_label(reference))
        pairs.append(Pair(name, reference, output))
        report(1.0, f"validation: case {number + 1}/{len(data.validation)}")
    summary = evaluate_pairs(pairs, data.dataset.labels)
    write_summary(folder / "summary.json", summary)
    return summary


def load_fold_data(job: Job) -> FoldData:
    """Dataset, plans and the fold's cases. Raises AutosegError where planning or preprocessing is missing."""
    if not job.folder.plans_json.exists():
        raise AutosegError(
            f"{job.folder.name} has no plans in {job.folder.root}. Run: autoseg_plan_and_preprocess {job.folder.name}"
        )
    dataset = read_model(job.folder.dataset_json, Dataset)
    plans = read_model(job.folder.plans_json, Plans)
    if job.configuration not in plans.configurations:
        raise AutosegError(
            f'{job.folder.name} has no configuration "{job.configuration}". '
            f"There are: {', '.join(plans.configurations)}."
        )
    store = job.folder.preprocessed(job.configuration)
    usable = [case.name for case in dataset.training if is_complete(store, case.name)]
    missing = [case.name for case in dataset.training if case.name not in set(usable)]
    if missing:
        raise AutosegError(
            f"{len(missing)} of {len(dataset.training)} cases are not preprocessed for {job.configuration}: "
            f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}. "
            f"Run: autoseg_plan_and_preprocess {job.folder.name} -c {job.configuration}"
        )
    splits = [] if job.fold == "all" else load_or_make_splits(job.folder, dataset, usable)
    training, validation = cases_of_fold(job.fold, splits, usable)
    notes = []
    if splits and len(splits) != 5:
        notes.append(f"{len(usable)} cases: {len(splits)} folds instead of 5.")
    configuration = plans.configurations[job.configuration]
    only = plans.model_copy(update={"configurations": {job.configuration: configuration}})
    return FoldData(dataset, only, configuration, training, validation, len(splits), notes)


def settle_settings(job: Job) -> Settings:
    """The fold's settings: those given, or those that it was started with.

    Raises AutosegError where an unfinished fold was started with others, and where there is nothing to go on with.
    """
    state = job.fold_folder.training_state
    if not state.exists():
        if job.settings is None and not job.fold_folder.checkpoint_final.exists():
            raise AutosegError(f"Fold {job.fold} has nothing to continue: {state} does not exist. Leave out --continue.")
        return job.settings or Settings()
    started_with = Settings.model_validate(load_state(state, torch.device("cpu"))["settings"])
    if job.settings is None or job.fold_folder.checkpoint_final.exists():
        return started_with
    different = [
        f"{key}={getattr(started_with, key)} (now {value})" for key, value in job.settings if value != getattr(started_with, key)
    ]
    if different:
        raise AutosegError(
            f"Fold {job.fold} was started with other settings and is not finished: {', '.join(different)}. "
            "Finish it as it was started with --continue, or start it anew with --restart."
        )
    return started_with


def effective_configuration(configuration: Configuration, settings: Settings) -> Configuration:
    """The plan's configuration with the batch and patch size of the settings. Raises AutosegError for a bad patch."""
    patch = settings.patch_size or configuration.patch_size
    if len(patch) != configuration.dimensions:
        raise AutosegError(f"patch_size={patch} has {len(patch)} entries, but the configuration {configuration.dimensions} axes.")
    for axis, size in enumerate(patch):
        factor = 1
        for stride in configuration.network.strides:
            factor *= stride[axis]
        if size % factor:
            raise AutosegError(
                f"patch_size={patch}: axis {axis} is pooled by {factor} in all, so its size must be a multiple of {factor}, "
                f"such as {max(1, round(size / factor)) * factor}."
            )
    return configuration.model_copy(update={
        "patch_size": tuple(patch), "batch_size": settings.batch_size or configuration.batch_size,
    })


def mirror_axes_of(configuration: Configuration, settings: Settings) -> tuple[int, ...]:
    """Spatial axes of the patch that are flipped. Raises AutosegError for an axis that it does not have."""
    every = tuple(range(configuration.dimensions))
    if settings.mirror_axes is None:
        return every
    if not set(settings.mirror_axes) <= set(every):
        raise AutosegError(f"mirror_axes={settings.mirror_axes}: the patch has the axes {every}.")
    return tuple(sorted(set(settings.mirror_axes)))


def augmentation_for(configuration: Configuration, settings: Settings) -> Augmentation | None:
    """What the settings ask for; None for no augmentation."""
    if settings.augmentation == "none":
        return None
    masked = tuple(channel for channel, inside in enumerate(configuration.normalize_inside_mask) if inside)
    return Augmentation(configuration.patch_size, mirror_axes_of(configuration, settings), masked)


def describe_model(job: Job, data: FoldData, settings: Settings, configuration: Configuration) -> None:
    """Write `model.json`, or check that the one that is there describes the same model."""
    description = ModelDescription(
        dataset=data.dataset.name, channel_names=data.dataset.channel_names, labels=data.dataset.labels,
        file_ending=data.dataset.file_ending, configuration_name=job.configuration,
        plans=data.plans.model_copy(update={"configurations": {job.configuration: configuration}}),
        recipe=job.recipe, settings=settings.model_dump(mode="json"),
        mirror_axes=mirror_axes_of(configuration, settings) if settings.augmentation == "default" else (),
        versions=versions(),
    )
    if not job.model.finished_folds() or not job.model.model_json.exists():
        write_json(job.model.model_json, description)
        return
    there = read_model(job.model.model_json, ModelDescription)
    different = [field for field in ("channel_names", "labels", "plans", "mirror_axes") if _differ(there, description, field)]
    if different:
        raise AutosegError(
            f"{job.model.root} holds finished folds of a model with other {', '.join(different)}. Folds of one model must "
            "agree: move that folder away, or train with the settings and plans that it was trained with."
        )


def _differ(one: ModelDescription, other: ModelDescription, field: str) -> bool:
    def plain(description: ModelDescription) -> Any:
        content = description.model_dump(mode="json")[field]
        return {k: v for k, v in content.items() if k != "versions"} if field == "plans" else content

    return bool(plain(one) != plain(other))


def _stream(
    cases: list[StoredCase], configuration: Configuration, settings: Settings, augmentation: Augmentation | None,
    device: torch.device, threads: int, seed: int,
) -> BatchStream:
    sampler = PatchSampler(
        cases, configuration.patch_size, configuration.batch_size, settings.foreground_share, augmentation, seed
    )

    def finish(samples: list[Sample]) -> Batch:
        images, labels = [], []
        for sample in samples:
            image, label = sample.image.to(device), sample.label.to(device)
            if augmentation is not None:
                image, label = augmentation.apply(image, label, sample.spatial, sample.seed)
            images.append(image)
            labels.append(label)
        return Batch(torch.stack(images), torch.stack(labels))

    return BatchStream(sampler, finish, threads)
