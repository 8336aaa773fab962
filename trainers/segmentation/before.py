"""How well a trained model segments a fold's validation cases before a training that starts from it, and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from autoseg.console import ShowProgress, show_unless_quiet
from autoseg.dataset import Case, read_case
from autoseg.errors import AutosegError, many
from autoseg.evaluation.summary import Summary
from autoseg.files import write_json
from autoseg.tasks.segmentation.model import load_model
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.tasks.segmentation.pretrained import LOST, FoldStart, Pretrained, start_of
from autoseg.trainers.job import Job
from autoseg.trainers.segmentation.data import SegmentationData
from autoseg.trainers.segmentation.settings import SegmentationSettings
from autoseg.voxels import joint_counts
from autoseg.workspace import read_model


def begin_from(
    job: Job[SegmentationSettings], data: SegmentationData, path: str, device: torch.device, report: ShowProgress
) -> None:
    """Write the fold's `started_from.json`: the model, and how well it segments the validation cases before the training.

    What an earlier run wrote of the same model stays.
    """
    model, file = Pretrained.at(path), start_of(job.fold_folder)
    begun = FoldStart(model=model.record(data.dataset.channel_names, data.dataset.labels), fold=model.fold_for(job.fold))
    if file.exists() and (there := read_model(file, FoldStart)).model == begun.model and there.fold == begun.fold:
        begun = there
    shared = [name for name in data.dataset.labels.foreground if name in model.description.labels.foreground]
    if not data.validation or begun.skipped:
        write_json(file, begun)
        return
    if skipped := _why_not_before(model, data, shared):
        show_unless_quiet(f"Note: how well the model segments before the training is not measured: {skipped}.")
        write_json(file, begun.model_copy(update={"skipped": skipped}))
        return
    predictor = Predictor([load_model(model.folder, [begun.fold], device=device)], device)
    cases = {case.name: case for case in data.dataset.training}
    for number, name in enumerate(data.validation):
        report(0.0, f"before training: case {number + 1}/{len(data.validation)}")
        if name not in begun.before:
            found = _dice_before(predictor, data, model, cases[name], shared)
            begun = begun.model_copy(update={"before": begun.before | {name: found}})
            write_json(file, begun)


def _why_not_before(model: Pretrained, data: SegmentationData, shared: list[str]) -> str:
    """Return why the model cannot be measured on the dataset, as the end of a sentence; "" where it can."""
    if not shared:
        return "no class of it has the name of one of the dataset's"
    there = model.channels_of(data.dataset.channel_names)
    missing = [name for place, name in enumerate(model.description.channel_names) if place not in there]
    return f"the dataset lacks its {', '.join(missing)}" if missing else ""


def _dice_before(
    predictor: Predictor, data: SegmentationData, model: Pretrained, case: Case, shared: list[str]
) -> dict[str, float | None]:
    """Return the model's Dice of each class of a case that both know by one name."""
    image, label = read_case(case, data.dataset)
    if label is None:
        raise AutosegError(f"{case} has no label to be validated against.")
    there = model.channels_of(data.dataset.channel_names)
    own = [there.index(place) for place in range(len(model.description.channel_names))]
    joint = joint_counts(label.array[0], predictor.predict_image(replace(image, array=image.array[own]), case.name))
    pairs = {pair: number for pair, number in joint.items() if pair[0] != data.dataset.labels.ignore}
    return {name: _dice(pairs, data.dataset.labels.foreground[name], model.description.labels.foreground[name])
            for name in shared}


def _dice(pairs: Mapping[tuple[int, int], int], reference: Sequence[int], prediction: Sequence[int]) -> float | None:
    """Return the Dice of what has some values in the reference, and others in the prediction; None where neither has them.

    pairs: number of voxels of each (reference value, predicted value).
    """
    both = sum((r in reference) * (p in prediction) * number for (r, p), number in pairs.items())
    either = sum(((r in reference) + (p in prediction)) * number for (r, p), number in pairs.items())
    return 2 * both / either if either else None


def lost_classes(job: Job[SegmentationSettings], summary: Summary) -> list[str]:
    """Return in sentences which classes of the model that the fold started from became worse by its training."""
    file = start_of(job.fold_folder)
    if not file.exists():
        return []
    compared = read_model(file, FoldStart).compared(summary)
    return [f"{name} is segmented worse than by the model that the training started from: mean Dice {before:.3f} before, "
            f"{after:.3f} after, over {many(cases, 'validation case')}"
            for name, (before, after, cases) in compared.items() if before - after > LOST]
