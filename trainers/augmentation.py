"""Augmentation: what is drawn for a sample, and how it is applied, on whatever device the sample lies.

The set of transforms, their probabilities and ranges are those of nnU-Net v2's default (Isensee et al. 2021,
supplementary note 4; batchgeneratorsv2 for the values): rotation, scaling, noise, blur, brightness, contrast, low
resolution, gamma, mirroring.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

ANISOTROPY = 3  # patches that are so much shorter along their first axis are turned in-plane only
ROTATION_3D, ROTATION_2D, ROTATION_LONG_2D = math.radians(30), math.pi, math.radians(15)


@dataclass(frozen=True)
class SpatialDraw:
    """matrix: (d, d), patch offset (z, y, x) from its centre to region offset, in voxels. region_size: voxels to read."""

    matrix: np.ndarray
    region_size: tuple[int, ...]


@dataclass(frozen=True)
class Augmentation:
    """Draws and applies. patch_size: (z, y, x) or (y, x). mirror_axes: 0 is the patch's first axis.

    masked_channels: channels whose zeros (outside of the non-zero mask) stay zero.
    """

    patch_size: tuple[int, ...]
    mirror_axes: tuple[int, ...]
    masked_channels: tuple[int, ...] = ()

    def draw_spatial(self, rng: np.random.Generator) -> SpatialDraw | None:
        """Rotation (p 0.2) and isotropic scaling (p 0.2, 0.7 to 1.4); None where neither is drawn."""
        rotate, scale = rng.random() < 0.2, rng.random() < 0.2
        if not (rotate or scale):
            return None
        factor = _evenly_around_one(rng, 0.7, 1.4) if scale else 1.0
        in_plane_only = len(self.patch_size) == 3 and max(self.patch_size) / self.patch_size[0] > ANISOTROPY
        matrix = self._rotation(rng, in_plane_only) if rotate else np.eye(len(self.patch_size))
        matrix = matrix * factor
        if in_plane_only:
            matrix[0], matrix[:, 0] = 0, 0
            matrix[0, 0] = 1
        reach = np.abs(matrix) @ ((np.array(self.patch_size) - 1) / 2)
        # the region has the patch's parity, so that their centres coincide
        region = [p + 2 * max(0, math.ceil(r - (p - 1) / 2)) for p, r in zip(self.patch_size, reach, strict=True)]
        return SpatialDraw(matrix, tuple(region))

    def _rotation(self, rng: np.random.Generator, in_plane_only: bool) -> np.ndarray:
        if len(self.patch_size) == 2 or in_plane_only:
            y, x = self.patch_size[-2:]
            limit = ROTATION_LONG_2D if len(self.patch_size) == 2 and max(y, x) / min(y, x) > 1.5 else ROTATION_2D
            turn = rng.uniform(-limit, limit)
            matrix = np.eye(len(self.patch_size))
            matrix[-2:, -2:] = _rotation_2d(turn)
            return matrix
        matrix = np.eye(3)
        for axis in range(3):
            others = [i for i in range(3) if i != axis]
            step = np.eye(3)
            step[np.ix_(others, others)] = _rotation_2d(rng.uniform(-ROTATION_3D, ROTATION_3D))
            matrix = matrix @ step
        return matrix

    def apply(
        self, image: torch.Tensor, label: torch.Tensor, spatial: SpatialDraw | None, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (C, *region) float32 and label (1, *region) int16 to (C, *patch) and (1, *patch), same dtypes."""
        rng = np.random.default_rng(seed)
        if spatial is not None:
            image, label = warp(image, label, spatial.matrix, self.patch_size)
        outside = [image[channel] == 0 for channel in self.masked_channels]
        image = change_intensities(image, rng)
        for channel, is_outside in zip(self.masked_channels, outside, strict=True):
            image[channel].masked_fill_(is_outside, 0)
        flipped = [axis + 1 for axis in self.mirror_axes if rng.random() < 0.5]
        if flipped:
            image, label = image.flip(flipped), label.flip(flipped)
        return image, label


def warp(
    image: torch.Tensor, label: torch.Tensor, matrix: np.ndarray, patch_size: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample the patch whose voxel at offset o from the centre lies at `matrix` @ o from the region's centre.

    Image linearly; label by the class with the greatest linearly interpolated share. Zeros outside of the region.
    """
    region = np.array(image.shape[1:])
    # grid_sample's own frame: x first, -1..1 between the outer voxel centres (align_corners)
    to_region = matrix * (np.array(patch_size)[None, :] - 1) / np.maximum(region[:, None] - 1, 1)
    theta = np.zeros((1, len(region), len(region) + 1))
    theta[0, :, :-1] = to_region[::-1, ::-1]
    theta_tensor = torch.as_tensor(theta, dtype=torch.float32, device=image.device)
    grid = functional.affine_grid(theta_tensor, [1, 1, *patch_size], align_corners=True)
    warped = functional.grid_sample(image[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    values = torch.unique(label)
    shares = torch.stack([(label[0] == value) for value in values]).to(torch.float32)
    shares = functional.grid_sample(shares[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    inside = shares.sum(0) > 0.5
    warped_label = torch.where(inside, values[shares.argmax(0)], torch.zeros((), dtype=label.dtype, device=label.device))
    return warped, warped_label[None]


def change_intensities(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """All transforms that leave voxels where they are, in nnU-Net's order. (C, *spatial) float32 -> same."""
    image = image.clone()
    if rng.random() < 0.1:
        image += _noise(image, rng.uniform(0, 0.1), int(rng.integers(2**31)))
    if rng.random() < 0.2:
        for channel in _half_of_the_channels(image, rng):
            image[channel] = blur(image[channel], rng.uniform(0.5, 1.0))
    if rng.random() < 0.15:
        for channel in range(len(image)):
            image[channel] *= _evenly_around_one(rng, 0.75, 1.25)
    if rng.random() < 0.15:
        for channel in range(len(image)):
            image[channel] = contrast(image[channel], _evenly_around_one(rng, 0.75, 1.25))
    if rng.random() < 0.25:
        for channel in _half_of_the_channels(image, rng):
            image[channel] = low_resolution(image[channel], rng.uniform(0.5, 1.0))
    for probability, inverted in ((0.1, True), (0.3, False)):
        if rng.random() < probability:
            for channel in range(len(image)):
                image[channel] = gamma(image[channel], _evenly_around_one(rng, 0.7, 1.5), inverted)
    return image


def blur(channel: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of `sigma` voxels along every axis, edges repeated. (*spatial) -> same."""
    radius = max(1, int(3 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=channel.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for axis in range(channel.ndim):
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


def low_resolution(channel: torch.Tensor, zoom: float) -> torch.Tensor:
    """Down to `zoom` of the size (nearest voxel) and back (linear)."""
    small = [max(1, round(size * zoom)) for size in channel.shape]
    mode = {2: "bilinear", 3: "trilinear"}[channel.ndim]
    down = functional.interpolate(channel[None, None], small, mode="nearest-exact")
    return functional.interpolate(down, channel.shape, mode=mode, align_corners=False)[0, 0]


def gamma(channel: torch.Tensor, exponent: float, inverted: bool) -> torch.Tensor:
    """x -> x^exponent on the range scaled to 0..1 (of the negative image where `inverted`); mean and std are kept."""
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


def _evenly_around_one(rng: np.random.Generator, low: float, high: float) -> float:
    """Below one or above it with equal probability, whatever the widths of the two sides."""
    return float(rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high))


def _rotation_2d(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
