"""The steps of one fold of a segmentation model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from autoseg.console import ShowProgress, show_unless_quiet
from autoseg.dataset import Case, Labels
from autoseg.distributed import world
from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.cross_validation import state_of
from autoseg.evaluation.summary import Pair, Summary, evaluate_pairs, without_failures, write_summary
from autoseg.files import remove_leftovers
from autoseg.image_io import file_ending, label_ending, read_label, write_label
from autoseg.networks import build_network
from autoseg.options import planning_command
from autoseg.plan import Configuration, Plans
from autoseg.tasks.segmentation.cascade import input_channels, values_seen
from autoseg.tasks.segmentation.model import load_model
from autoseg.tasks.segmentation.options import PlanOptions
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.tasks.segmentation.previous_stage import weights_of, with_previous
from autoseg.tasks.segmentation.store import StoredVolume, open_volume
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
        too_large=lambda settings: _too_large(job, data.plans, data.effective(settings), settings),
        predict=lambda settings, device: predict_validation(job, data, device, report),
        validate=lambda settings, device: evaluate_validation(job, data),
        warnings=lambda summary: lost_classes(job, summary))


def train_network(
    job: Job[SegmentationSettings], data: SegmentationData, settings: SegmentationSettings, device: torch.device,
    report: ShowProgress,
) -> None:
    """Build the recipe's learner and its batches, and run the loop. A fold that begins takes weights of a trained model where the
    settings name one; one that goes on has its own."""
    configuration, here = data.effective(settings), world()
    share = here.share_of_each(configuration.batch_size)
    starts_from = None if job.fold_folder.training_state.exists() else settings.pretrained
    if starts_from is not None:
        if here.is_main:
            begin_from(job, data, starts_from, device, report)
        here.wait()
    channels, values = len(configuration.normalization), values_seen(configuration, data.dataset.labels)
    processes = processes_for(device, batch_bytes(configuration, channels + len(values), len(share.positions)),
                              settings.batch_processes)
    with here.main_first():
        volumes = _volumes(job, data, [*data.training, *data.validation], device, report)
    training = kept_in_memory([volumes[name] for name in data.training], channels, max(1, processes) * here.local_size)
    learner = job.built_by.build(configuration, data.of_training, settings, device)
    require_predictable(learner.modules, configuration, data.dataset.labels, job.recipe)
    if starts_from is not None:
        take_weights(learner.modules["network"], configuration.network, data.dataset, starts_from, job.fold)
    augmentation = augmentation_for(configuration, settings, data.dataset.labels, data.plans.sides)
    threads = 1 if device.type == "cpu" else min(BATCH_THREADS, here.cores)
    streams = [batch_stream(
        training, configuration, settings, augmentation, device, threads, settings.seed, processes, values, share)]
    if data.validation:
        fewer = -(-processes // 4)  # a fifth of the batches, and cheap ones
        validation = kept_in_memory([volumes[name] for name in data.validation], channels, max(1, fewer) * here.local_size)
        streams.append(batch_stream(
            validation, configuration, settings, None, device, threads, settings.seed + 1, fewer, values,
            here.whole_batches(configuration.batch_size)))
    schedule = Schedule(settings, reserve=0.1 if data.validation else 0.02)
    run = Run(
        learner, streams[0], streams[1] if data.validation else None, list(data.dataset.labels.foreground), settings,
        job.fold_folder, schedule, report, settings.validation_iterations, keeps_best=True)
    try:
        train(run)
    finally:
        for stream in streams:
            stream.close()


def _volumes(
    job: Job[SegmentationSettings], data: SegmentationData, names: Sequence[str], device: torch.device, report: ShowProgress
) -> dict[str, StoredVolume]:
    """Return preprocessed cases by name, with the previous stage's predictions where the model goes on from these.

    Raises AutosegError where the fold was begun with predictions by other weights.
    """
    volumes = {name: open_volume(job.store, name) for name in names}
    stage, folder = data.configuration.previous_stage, job.fold_folder
    if stage is None:
        return volumes
    now = weights_of(job.model, stage)
    if state_of(folder) == "missing":
        if world().is_main:
            now.write(folder.previous_json)
    elif not now.holds_for(folder.previous_json):
        raise AutosegError(f"{folder.root} was begun with predictions of {stage} by other weights than those in "
                           f"{job.model.beside(stage).root}. Put these back, or begin the fold anew with --restart.")
    return with_previous(volumes, job.model, stage, data.configuration.patch_size, device, report)


def require_predictable(modules: dict[str, nn.Module], configuration: Configuration, labels: Labels, recipe: str) -> None:
    """Raise AutosegError where a recipe's network is not the one that model.json describes: nothing could predict with it."""
    with torch.device("meta"):
        described = build_network(
            configuration.network, input_channels(configuration, labels), labels.output_channels).state_dict()
    trained = modules["network"].state_dict() if "network" in modules else {}
    if {name: values.shape for name, values in trained.items()} != {name: values.shape for name, values in described.items()}:
        raise AutosegError(
            f'The recipe "{recipe}" trains another network than the configuration\'s ({configuration.network.name}), and nothing '
            'could predict with it. Its learner\'s modules must hold "network", as autoseg.networks.build_network makes it.')


def predict_validation(
    job: Job[SegmentationSettings], data: SegmentationData, device: torch.device, report: ShowProgress
) -> None:
    """Predict this process's share of the validation cases at full size into `validation/`.

    Predictions that are there already stay. Raises AutosegError where a case cannot be predicted.
    """
    if not data.validation:
        return
    here = world()
    remove_leftovers(job.fold_folder.validation)
    pairs = _pairs(job, data)
    waiting = set(here.tell([pair.case for pair in pairs if not pair.prediction.exists()])[here.rank::here.size])
    cases = {case.name: case for case in data.dataset.training}
    volumes = _volumes(job, data, sorted(waiting), device, report) if waiting else {}
    predictor = Predictor([load_model(job.model, [job.fold], device=device)], device)
    for number, (name, reference, output) in enumerate(pairs):
        if name in volumes:
            segmentation = predictor.predict_preprocessed(*predictor.members[0].read_preprocessed(
                job.store, name, volumes[name].previous))
            write_label(output, segmentation, like=read_label(reference, cases[name].images[0]))
        report(1.0, f"validation: case {number + 1}/{len(pairs)}")


def evaluate_validation(job: Job[SegmentationSettings], data: SegmentationData) -> Summary | None:
    """Compare the predictions of the validation cases, and write their `summary.json` in nnU-Net's form.

    Raises AutosegError where a case cannot be evaluated.
    """
    if not data.validation:
        return None
    summary = without_failures(evaluate_pairs(_pairs(job, data), data.dataset.labels))
    write_summary(job.fold_folder.summary_json, summary)
    if missed := {name: data.stored[name].description.cropped_away for name in data.validation
                  if data.stored[name].description.cropped_away}:
        show_unless_quiet(
            f"Note: {sum(missed.values())} labelled voxels of {many(len(missed), 'validation case')} ({some(missed)}) lie where "
            "preprocessing crops the image, as all channels are 0 there. No model can find them: Dice counts them as missed.")
    return summary


def _pairs(job: Job[SegmentationSettings], data: SegmentationData) -> list[Pair]:
    cases = {case.name: case for case in data.dataset.training}
    return [_pair(job, cases[name]) for name in data.validation]


def _pair(job: Job[SegmentationSettings], case: Case) -> Pair:
    """Return a validation case's label, and where its prediction is written. Raises AutosegError where it has no label."""
    if case.label is None:
        raise AutosegError(f"case {case.name}: it has no label to be validated against. Correct {job.splits_json.name}.")
    output = job.fold_folder.validation / f"{case.name}{label_ending(file_ending(case.label))}"
    return Pair(case.name, case.label, output)


def _too_large(
    job: Job[SegmentationSettings], plans: Plans, configuration: Configuration, settings: SegmentationSettings
) -> str:
    patch = " × ".join(map(str, configuration.patch_size))
    fewer = max(1, configuration.batch_size // 2)
    parts = min(configuration.batch_size, 2 * settings.accumulate)
    in_parts = f"compute a batch in parts (--set accumulate={parts}); or " if parts > settings.accumulate else ""
    said = (f"{configuration.batch_size} patches of {patch} at a time. Close other programs; or {in_parts}take fewer "
            f"(--set batch_size={fewer})")
    if plans.pretrained is not None:  # the patch is that model's
        return f"{said}."
    less = PlanOptions(planner=plans.planner, memory_gb=(plans.memory_gb or USUAL_GB) / 2)
    return f"{said}; or plan for less: {planning_command(job.folder, job.task, less)}"
