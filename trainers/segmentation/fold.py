"""The steps of one fold of a segmentation model."""

from __future__ import annotations

import torch
from torch import nn

from autoseg.console import ShowProgress, show_unless_quiet
from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.summary import Pair, Summary, evaluate_pairs, without_failures, write_summary
from autoseg.files import remove_leftovers
from autoseg.image_io import file_ending, label_ending, read_label, write_label
from autoseg.networks import build_network
from autoseg.options import planning_command
from autoseg.parallel import number_of_cores
from autoseg.plan import Configuration, Plans
from autoseg.tasks.segmentation.model import load_model
from autoseg.tasks.segmentation.options import PlanOptions
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.tasks.segmentation.store import open_volume
from autoseg.trainers.background import processes_for
from autoseg.trainers.fold import FoldSteps
from autoseg.trainers.job import Job
from autoseg.trainers.loop import Run, train
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.segmentation.batches import kept_in_memory
from autoseg.trainers.segmentation.before import begin_from, lost_classes
from autoseg.trainers.segmentation.configure import augmentation_for, batch_bytes, batch_stream
from autoseg.trainers.segmentation.data import AGREEMENT, SegmentationData, description
from autoseg.trainers.segmentation.pretrained import take_weights
from autoseg.trainers.segmentation.settings import SegmentationSettings

USUAL_GB = 8  # memory that most plans are for
BATCH_THREADS = 6  # on a machine with an accelerator; on the CPU the network takes all cores


def steps(
    job: Job[SegmentationSettings], data: SegmentationData, report: ShowProgress
) -> FoldSteps[SegmentationSettings, Summary]:
    """Return the steps that train a fold to its end, then predict its validation cases at full size."""
    return FoldSteps(
        cases=data.cases_of(job.fold),
        describe=lambda settings: AGREEMENT.describe(job, description(job, data, settings)),
        train=lambda settings, device: train_network(job, data, settings, device, report),
        too_large=lambda settings: _too_large(job, data.plans, data.effective(settings)),
        validate=lambda settings, device: validate_fold(job, data, device, report),
        warnings=lambda summary: lost_classes(job, summary))


def train_network(
    job: Job[SegmentationSettings], data: SegmentationData, settings: SegmentationSettings, device: torch.device,
    report: ShowProgress,
) -> None:
    """Build the recipe's learner and its batches, and run the loop. A fold that begins takes weights of a trained model where the
    settings name one; one that goes on has its own."""
    configuration = data.effective(settings)
    starts_from = None if job.fold_folder.training_state.exists() else settings.pretrained
    if starts_from is not None:
        begin_from(job, data, starts_from, device, report)
    store = job.folder.preprocessed(job.configuration)
    channels = len(configuration.normalization)
    processes = processes_for(device, batch_bytes(configuration), settings.batch_processes)
    training = kept_in_memory([open_volume(store, name) for name in data.training], channels, processes)
    learner = job.built_by.build(configuration, data.of_training, settings, device)
    require_predictable(learner.modules, configuration, data.dataset.labels.output_channels, job.recipe)
    if starts_from is not None:
        take_weights(learner.modules["network"], configuration.network, data.dataset, starts_from, job.fold)
    augmentation = augmentation_for(configuration, settings, data.dataset.labels, data.plans.sides)
    threads = 1 if device.type == "cpu" else min(BATCH_THREADS, number_of_cores())
    streams = [batch_stream(training, configuration, settings, augmentation, device, threads, settings.seed, processes)]
    if data.validation:
        fewer = -(-processes // 4)  # a fifth of the batches, and cheap ones
        validation = kept_in_memory([open_volume(store, name) for name in data.validation], channels, fewer)
        streams.append(batch_stream(validation, configuration, settings, None, device, threads, settings.seed + 1, fewer))
    schedule = Schedule(settings, reserve=0.1 if data.validation else 0.02)
    run = Run(
        learner, streams[0], streams[1] if data.validation else None, list(data.dataset.labels.foreground), settings,
        job.fold_folder, schedule, report, settings.validation_iterations, keeps_best=True)
    try:
        train(run)
    finally:
        for stream in streams:
            stream.close()


def require_predictable(modules: dict[str, nn.Module], configuration: Configuration, classes: int, recipe: str) -> None:
    """Raise AutosegError where a recipe's network is not the one that model.json describes: nothing could predict with it."""
    with torch.device("meta"):
        described = build_network(configuration.network, len(configuration.normalization), classes).state_dict()
    trained = modules["network"].state_dict() if "network" in modules else {}
    if {name: values.shape for name, values in trained.items()} != {name: values.shape for name, values in described.items()}:
        raise AutosegError(
            f'The recipe "{recipe}" trains another network than the configuration\'s ({configuration.network.name}), and nothing '
            'could predict with it. Its learner\'s modules must hold "network", as autoseg.networks.build_network makes it.')


def validate_fold(
    job: Job[SegmentationSettings], data: SegmentationData, device: torch.device, report: ShowProgress
) -> Summary | None:
    """Predict the validation cases at full size into `validation/`, and write their `summary.json` in nnU-Net's form.

    Predictions that are there already stay. Raises AutosegError where a case cannot be predicted or evaluated.
    """
    if not data.validation:
        return None
    folder = job.fold_folder.validation
    remove_leftovers(folder)
    cases = {case.name: case for case in data.dataset.training}
    store = job.folder.preprocessed(job.configuration)
    predictor = Predictor([load_model(job.model, [job.fold], device=device)], device)
    pairs = []
    for number, name in enumerate(data.validation):
        reference = cases[name].label
        if reference is None:
            raise AutosegError(f"case {name}: it has no label to be validated against. Correct {job.splits_json.name}.")
        output = folder / f"{name}{label_ending(file_ending(reference))}"
        if not output.exists():
            segmentation = predictor.predict_preprocessed(*predictor.members[0].read_preprocessed(store, name))
            write_label(output, segmentation, like=read_label(reference))
        pairs.append(Pair(name, reference, output))
        report(1.0, f"validation: case {number + 1}/{len(data.validation)}")
    summary = without_failures(evaluate_pairs(pairs, data.dataset.labels))
    write_summary(job.fold_folder.summary_json, summary)
    if missed := {name: data.stored[name].description.cropped_away for name in data.validation
                  if data.stored[name].description.cropped_away}:
        show_unless_quiet(
            f"Note: {sum(missed.values())} labelled voxels of {many(len(missed), 'validation case')} ({some(missed)}) lie where "
            "preprocessing crops the image, as all channels are 0 there. No model can find them: Dice counts them as missed.")
    return summary


def _too_large(job: Job[SegmentationSettings], plans: Plans, configuration: Configuration) -> str:
    patch = " × ".join(map(str, configuration.patch_size))
    fewer = max(1, configuration.batch_size // 2)
    said = (f"{configuration.batch_size} patches of {patch} at a time. Close other programs; or take fewer "
            f"(--set batch_size={fewer})")
    if plans.pretrained is not None:  # the patch is that model's
        return f"{said}."
    less = PlanOptions(planner=plans.planner, memory_gb=(plans.memory_gb or USUAL_GB) / 2)
    return f"{said}; or plan for less: {planning_command(job.folder, job.task, less)}"
