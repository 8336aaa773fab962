"""What the plan's configuration and the settings make together: patch and batch size, mirroring, batches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from autoseg.errors import AutosegError
from autoseg.plan import Configuration
from autoseg.trainers.augmentation import Augmentation
from autoseg.trainers.batches import Batch, BatchStream, PatchSampler, ReadableCase, Sample
from autoseg.trainers.settings import Settings


def effective_configuration(configuration: Configuration, settings: Settings) -> Configuration:
    """The plan's configuration with the batch and patch size of the settings. Raises AutosegError for a bad patch."""
    patch = settings.patch_size or configuration.patch_size
    if len(patch) != configuration.dimensions:
        raise AutosegError(f"patch_size={patch} has {len(patch)} entries, but the configuration {configuration.dimensions} axes.")
    factors = [math.prod(stride[axis] for stride in configuration.network.strides) for axis in range(len(patch))]
    for axis, (size, factor) in enumerate(zip(patch, factors, strict=True)):
        if size < factor or size % factor:
            raise AutosegError(
                f"patch_size={patch}: axis {axis} is pooled by {factor} in all, so its size must be a multiple of {factor}, "
                f"such as {max(1, round(size / factor)) * factor}."
            )
    if tuple(patch) == tuple(factors):
        raise AutosegError(
            f"patch_size={patch}: a single voxel would be left of it where it is pooled most, and the network needs two or more. "
            f"Give twice as much along one axis at least, such as {','.join(str(2 * factor) for factor in factors)}.")
    return configuration.model_copy(update={
        "patch_size": tuple(patch), "batch_size": settings.batch_size or configuration.batch_size,
        "network": configuration.network.model_copy(update={"deep_supervision": settings.deep_supervision}),
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


def batch_stream(
    cases: Sequence[ReadableCase], configuration: Configuration, settings: Settings, augmentation: Augmentation | None,
    device: torch.device, threads: int, seed: int,
) -> BatchStream:
    """Batches of these cases, augmented on `device` where an augmentation is given. threads: that read in the background."""
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
