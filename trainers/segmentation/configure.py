"""The plan's configuration with the settings in it: network, patch and batch size, mirroring, batches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from autoseg.dataset import Labels
from autoseg.distributed import Share
from autoseg.errors import AutosegError
from autoseg.plan import Configuration, Sides, Topology
from autoseg.sides import Mirroring, pairs_fault, pairs_in_words, swapped_values
from autoseg.topology.pooling import SMALLEST_EDGE, pool
from autoseg.topology.shapes import reshaped, topology_of
from autoseg.topology.values import SMALLEST_BATCH, values_put_out
from autoseg.trainers.augmentation import AUGMENTATIONS, Augmentation, turned_round
from autoseg.trainers.background import BackgroundBatches
from autoseg.trainers.segmentation.batches import LABEL_BYTES, Batch, BatchStream, PatchSampler, ReadableCase, finished
from autoseg.trainers.segmentation.settings import SegmentationSettings

MOST_OF_PLAN = 1.2  # times the planned memory: a step that takes more gives a note


def effective_configuration(configuration: Configuration, settings: SegmentationSettings, classes: int) -> Configuration:
    """Return the plan's configuration with the network, patch and batch size of the settings.

    Where the settings name no batch size, fewer patches than planned are taken if the network would else need more memory
    than was planned for; two at least. classes: channels of the logits.
    Raises AutosegError for an impossible patch or network.
    """
    patch = settings.patch_size or configuration.patch_size
    topology = _network(configuration.network, settings)
    if patch != configuration.patch_size:
        topology = _for_patch(topology, patch, configuration.spacing_mm)
    effective = configuration.model_copy(update={"patch_size": patch, "network": topology})
    that_fit = int(memory_planned(configuration, classes) / _values(effective, classes))
    fewest = min(SMALLEST_BATCH, configuration.batch_size)
    batch_size = settings.batch_size or min(configuration.batch_size, max(fewest, that_fit))
    effective = effective.model_copy(update={"batch_size": batch_size})
    changed = [key for key in ("patch_size", "batch_size", "network") if getattr(effective, key) != getattr(configuration, key)]
    reasons = configuration.reasons | dict.fromkeys(changed, "As the settings of the training have it.")
    return effective.model_copy(update={"reasons": reasons})


def memory_planned(planned: Configuration, classes: int) -> float:
    """Return how many values (see `values_put_out`) a step may put out in the planned memory; at least the planned batch's."""
    return max(planned.memory_values or 0, planned.batch_size * _values(planned, classes))


def cost_note(effective: Configuration, planned: Configuration, classes: int) -> str | None:
    """Return a note where the network takes more memory than was planned for, or fewer patches for that reason."""
    ratio = _values(effective, classes) / _values(planned, classes)
    step = effective.batch_size * _values(effective, classes) / memory_planned(planned, classes)
    costs = f"A patch takes {ratio:.1f} times as much memory ({effective.network.name}) as was planned"
    if step > MOST_OF_PLAN:
        return (f"{costs}, and a step on {effective.batch_size} patches {step:.1f} times what was planned for. Where memory runs "
                "out: fewer or smaller patches (--set batch_size=, --set patch_size=), or a plan that makes room for it "
                "(autoseg_plan_and_preprocess --planner, or more --memory-gb).")
    if effective.batch_size < planned.batch_size and ratio > 1:
        return f"{costs}, so {effective.batch_size} patches make a batch instead of {planned.batch_size} (--set batch_size=)."
    return None


def _values(configuration: Configuration, classes: int) -> int:
    return values_put_out(configuration.patch_size, configuration.network, classes)


def _network(planned: Topology, settings: SegmentationSettings) -> Topology:
    """Return the plan's network as the settings change it."""
    topology = reshaped(planned, settings.network, settings.base_features, settings.norm)
    if settings.classification_guided and topology.name != "unet3plus":
        raise AutosegError(f"classification_guided=true is for the network unet3plus, but this one is {topology.name}. Add "
                           "--set network=unet3plus, or leave it out.")
    return topology.model_copy(update={
        "deep_supervision": settings.deep_supervision, "classification_guided": settings.classification_guided})


def _for_patch(topology: Topology, patch: tuple[int, ...], spacing_mm: Sequence[float]) -> Topology:
    """Return the network for another patch than the planned one.

    It is as deep as planned where that halves the patch evenly and leaves two voxels or more of it, else as deep as the planner's
    rule has it. Raises AutosegError for a patch that no depth fits.
    """
    axes = "z,y,x"[-2 * topology.dimensions + 1:]
    if len(patch) != topology.dimensions:
        raise AutosegError(
            f"patch_size={patch} has {len(patch)} entries, but the configuration {topology.dimensions} axes ({axes}).")
    if min(patch) < 1:
        raise AutosegError(f"patch_size={patch} ({axes}): each axis needs a voxel at least.")
    factors = [math.prod(stride[axis] for stride in topology.strides) for axis in range(len(patch))]
    if all(size % factor == 0 for size, factor in zip(patch, factors, strict=True)) and math.prod(patch) > math.prod(factors):
        return topology
    pooling = pool(spacing_mm, patch)
    if pooling.stages == 1:
        raise AutosegError(f"patch_size={patch} ({axes}) is too small: two axes of {2 * SMALLEST_EDGE} voxels, or one of "
                           f"{3 * SMALLEST_EDGE}, are needed to be halved once.")
    if pooling.patch_size != patch:
        raise AutosegError(f"patch_size={patch} ({axes}) cannot be halved evenly as often as a network of this size would. The "
                           f"next one up that can is {','.join(map(str, pooling.patch_size))}.")
    return topology_of(topology.name, pooling, topology.features[0]).model_copy(update={
        "norm": topology.norm, "deep_supervision": topology.deep_supervision,
        "classification_guided": topology.classification_guided})


def mirroring_of(
    configuration: Configuration, settings: SegmentationSettings, labels: Labels, sides: Sides | None
) -> Mirroring:
    """Return the axes of the patch that are flipped, and which labels change places then. sides: of the plans.

    Raises AutosegError for an axis that the patch does not have, where the axis from left to right is to be left out and nothing
    says which one it is, and for pairs, which a user may edit, that are not of these labels.
    """
    every, choice = tuple(range(configuration.dimensions)), settings.mirror
    sides = sides or Sides()
    across = None if sides.axis is None else sides.axis + configuration.dimensions - 3  # negative: from slice to slice
    if choice == "no_left_right" and across is None:
        why = sides.reason or "Not all training images say how their axes run."
        raise AutosegError(f"mirror=no_left_right: the plans do not say which axis runs from left to right. {why} Name the axes "
                           f"that are mirrored: --set mirror={','.join(map(str, every[:-1]))}, for example, leaves out the last.")
    if isinstance(choice, tuple) and not set(choice) <= set(every):
        raise AutosegError(f"mirror={','.join(map(str, choice))}: the patch has the axes {','.join(map(str, every))}.")
    if settings.augmentation == "none" or choice == "none":
        return Mirroring()
    if choice == "no_left_right":
        return Mirroring(tuple(axis for axis in every if axis != across))
    axes = tuple(sorted(set(choice))) if isinstance(choice, tuple) else every
    if choice == "no_swap" or across not in axes or not sides.pairs:
        return Mirroring(axes)
    if fault := pairs_fault(labels, sides.pairs):
        raise AutosegError(f"The plans pair {pairs_in_words(sides.pairs)}, but {fault}. Correct the pairs under sides in "
                           "plans.json, or plan again.")
    around = turned_round(configuration.patch_size) if AUGMENTATIONS[settings.augmentation].rotation else ()
    return Mirroring(axes, tuple(axis for axis in around if axis in axes) if across in around else (across,), sides.pairs)


def augmentation_for(
    configuration: Configuration, settings: SegmentationSettings, labels: Labels, sides: Sides | None
) -> Augmentation | None:
    """Return the augmentation that the settings name; None for no augmentation. sides: of the plans."""
    if settings.augmentation == "none":
        return None
    mirroring = mirroring_of(configuration, settings, labels, sides)
    masked = tuple(channel for channel, inside in enumerate(configuration.normalize_inside_mask) if inside)
    swapped = swapped_values(labels, mirroring.swapped) or {}
    return Augmentation(configuration.patch_size, mirroring.axes, masked, AUGMENTATIONS[settings.augmentation],
                        mirroring.swap_axes, tuple(swapped.items()))


def batch_stream(
    cases: Sequence[ReadableCase], configuration: Configuration, settings: SegmentationSettings,
    augmentation: Augmentation | None, device: torch.device, threads: int, seed: int, processes: int = 0,
    values: Sequence[int] = (), share: Share | None = None,
) -> BatchStream | BackgroundBatches[Batch]:
    """Return batches of these cases, augmented where an augmentation is given.

    processes: number that make batches; 0 for threads that read cases, `threads` of them, and augmentation on `device`.
    values: labels of the previous stage that the network sees. share: of the batches that this process takes; None for all."""
    sampler = PatchSampler(
        cases, configuration.patch_size, configuration.batch_size, settings.foreground_share, augmentation, seed,
        settings.sampling == "rare", values, share)

    if not processes:
        return BatchStream(sampler, lambda samples: finished(samples, augmentation, device, values), threads)

    def on_device(tensors: dict[str, torch.Tensor]) -> Batch:
        return Batch(**{name: values.to(device, non_blocking=True) for name, values in tensors.items()})

    return BackgroundBatches(sampler.make, on_device, processes, is_pinned=device.type == "cuda")


def batch_bytes(configuration: Configuration, channels: int, samples: int) -> int:
    """Return the bytes of so many patches. channels: of the network's input."""
    values = LABEL_BYTES + 4 * channels
    return samples * math.prod(configuration.patch_size) * values
