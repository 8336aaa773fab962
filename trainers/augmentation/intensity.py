"""Transforms that change intensities and leave voxels where they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from autoseg.trainers.augmentation.transforms import TransformSet, evenly_around_one


def change_intensities(
    image: torch.Tensor, rng: np.random.Generator, transforms: TransformSet, spared: tuple[int, ...] = ()
) -> torch.Tensor:
    """Apply those of the set that are drawn, in nnU-Net's order. (C, *spatial) float32 -> same. spared: axes of the patch that
    keep their resolution."""
    image = image.clone()
    if rng.random() < transforms.noise:
        image += _noise(image, rng.uniform(0, 0.1), int(rng.integers(2**31)))
    if rng.random() < transforms.blur:
        for channel in _half_of_the_channels(image, rng):
            image[channel] = blur(image[channel], rng.uniform(0.5, 1.0, image.ndim - 1).tolist())
    if rng.random() < transforms.brightness:
        for channel in range(len(image)):
            image[channel] *= evenly_around_one(rng, 0.75, 1.25)
    if rng.random() < transforms.contrast:
        for channel in range(len(image)):
            image[channel] = contrast(image[channel], evenly_around_one(rng, 0.75, 1.25))
    if rng.random() < transforms.low_resolution:
        for channel in _half_of_the_channels(image, rng):
            image[channel] = low_resolution(image[channel], rng.uniform(0.5, 1.0), spared)
    for probability, inverted in ((transforms.inverted_gamma, True), (transforms.gamma, False)):
        if rng.random() < probability:
            for channel in range(len(image)):
                image[channel] = gamma(image[channel], evenly_around_one(rng, 0.7, 1.5), inverted)
    return image


def blur(channel: torch.Tensor, sigmas: Sequence[float]) -> torch.Tensor:
    """Apply a Gaussian blur of so many voxels along each axis, edges repeated. (*spatial) -> same."""
    for axis, sigma in enumerate(sigmas):
        radius = max(1, int(3 * sigma + 0.5))
        offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=channel.device)
        kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
        kernel = kernel / kernel.sum()
        lines = channel.movedim(axis, -1)
        flat = lines.reshape(-1, 1, lines.shape[-1])
        padded = torch.cat((flat[..., :1].expand(-1, -1, radius), flat, flat[..., -1:].expand(-1, -1, radius)), dim=-1)
        smooth = sum(weight * padded[..., i:i + flat.shape[-1]] for i, weight in enumerate(kernel))
        channel = smooth.reshape(lines.shape).movedim(-1, axis)  # type: ignore[union-attr]
    return channel


def contrast(channel: torch.Tensor, factor: float) -> torch.Tensor:
    """Stretch about the mean by `factor`, within the range that the channel had."""
    mean = channel.mean()
    return torch.clamp((channel - mean) * factor + mean, channel.min(), channel.max())


def low_resolution(channel: torch.Tensor, zoom: float, spared: tuple[int, ...] = ()) -> torch.Tensor:
    """Resample to `zoom` of the size (nearest voxel) and back (linear), but for the axes that are `spared`."""
    small = [size if axis in spared else max(1, round(size * zoom)) for axis, size in enumerate(channel.shape)]
    mode = {2: "bilinear", 3: "trilinear"}[channel.ndim]
    down = functional.interpolate(channel[None, None], small, mode="nearest-exact")
    return functional.interpolate(down, channel.shape, mode=mode, align_corners=False)[0, 0]


def gamma(channel: torch.Tensor, exponent: float, inverted: bool) -> torch.Tensor:
    """Map x to x^exponent on the range scaled to 0..1 (of the negative image where `inverted`); mean and std are kept."""
    if inverted:
        return -gamma(-channel, exponent, False)
    low, mean, std = channel.min(), channel.mean(), channel.std()
    extent = (channel.max() - low).clamp_min(1e-7)
    changed = ((channel - low) / extent) ** exponent * extent + low
    return (changed - changed.mean()) / changed.std().clamp_min(1e-7) * std + mean


def _noise(image: torch.Tensor, std: float, seed: int) -> torch.Tensor:
    generator = torch.Generator(image.device).manual_seed(seed)
    return torch.randn(image.shape, generator=generator, device=image.device) * std


def _half_of_the_channels(image: torch.Tensor, rng: np.random.Generator) -> list[int]:
    return [channel for channel in range(len(image)) if rng.random() < 0.5]
