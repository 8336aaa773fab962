"""Transforms that move voxels: rotation, scaling and elastic deformation, all in one interpolation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from autoseg.trainers.augmentation.elastic import ElasticField, draw_elastic
from autoseg.trainers.augmentation.transforms import TransformSet, evenly_around_one

ANISOTROPY = 3  # patches that are so much shorter along their first axis are turned and deformed in-plane only
ROTATION_2D, ROTATION_LONG_2D = math.pi, math.radians(15)


@dataclass(frozen=True)
class SpatialDraw:
    """A transform. matrix: (d, d), patch offset (z, y, x) from its centre to region offset, in voxels. region_size: to be read.

    elastic: the field that is added to the patch's offset before that; None for nothing.
    """

    matrix: np.ndarray
    region_size: tuple[int, ...]
    elastic: ElasticField | None = None


def is_flat(patch_size: tuple[int, ...]) -> bool:
    """Tell whether a patch is so much shorter along its first axis, that of the slices, that these are taken one by one."""
    return len(patch_size) == 3 and max(patch_size) / patch_size[0] > ANISOTROPY


def turned_round(patch_size: tuple[int, ...]) -> tuple[int, ...]:
    """Return the two axes of the plane in which a patch is turned all the way round; () where it is turned less."""
    if len(patch_size) == 3:
        return (1, 2) if is_flat(patch_size) else ()
    return () if _is_long(*patch_size) else (0, 1)


def _is_long(y: int, x: int) -> bool:
    return max(y, x) / min(y, x) > 1.5


def draw_spatial(patch_size: tuple[int, ...], transforms: TransformSet, rng: np.random.Generator) -> SpatialDraw | None:
    """Draw rotation, isotropic scaling and elastic deformation; None where none of them is drawn."""
    rotate, scale = rng.random() < transforms.rotation, rng.random() < transforms.scaling
    deform = transforms.elastic > 0 and rng.random() < transforms.elastic
    if not (rotate or scale or deform):
        return None
    draw_factor = evenly_around_one if transforms.scaling_around_one else np.random.Generator.uniform
    factor = draw_factor(rng, *transforms.scaling_range) if scale else 1.0
    in_plane_only = is_flat(patch_size)
    matrix = _rotation(patch_size, transforms, rng, in_plane_only) if rotate else np.eye(len(patch_size))
    matrix = matrix * factor
    if in_plane_only:
        matrix[0], matrix[:, 0] = 0, 0
        matrix[0, 0] = 1
    moved = patch_size[1:] if in_plane_only else patch_size
    alpha = transforms.elastic_alpha if len(moved) == 3 else transforms.elastic_alpha_2d
    elastic = draw_elastic(moved, alpha, transforms.elastic_sigma, rng) if deform else None
    margin = elastic.bound(len(patch_size)) if elastic else 0
    reach = np.abs(matrix) @ ((np.array(patch_size) - 1) / 2 + margin)
    # the region has the patch's parity, so that their centres coincide
    region = [p + 2 * max(0, math.ceil(r - (p - 1) / 2)) for p, r in zip(patch_size, reach, strict=True)]
    return SpatialDraw(matrix, tuple(region), elastic)


def warp(
    image: torch.Tensor, label: torch.Tensor, matrix: np.ndarray, patch_size: Sequence[int], elastic: ElasticField | None = None,
    border: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample the patch whose voxel at offset o from the centre lies at `matrix` @ (o + its elastic displacement) from the
    region's centre.

    The image is interpolated linearly; the label is the class of the greatest interpolated share. Outside of the region, the
    image is 0 and the label `border`.
    """
    region = np.array(image.shape[1:])
    # grid_sample's own frame: x first, -1..1 between the outer voxel centres (align_corners)
    to_region = matrix * (np.array(patch_size)[None, :] - 1) / np.maximum(region[:, None] - 1, 1)
    theta = np.zeros((1, len(region), len(region) + 1))
    theta[0, :, :-1] = to_region[::-1, ::-1]
    theta_tensor = torch.as_tensor(theta, dtype=torch.float32, device=image.device)
    grid = functional.affine_grid(theta_tensor, [1, 1, *patch_size], align_corners=True)
    if elastic is not None:
        moved = torch.as_tensor(2 * matrix / np.maximum(region[:, None] - 1, 1), dtype=torch.float32, device=image.device)
        grid = grid + torch.einsum("ij,j...->...i", moved.flip(0), elastic.displacement(patch_size, image.device))[None]
    warped = functional.grid_sample(image[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    return warped, torch.stack([_warp_label(its, grid, border) for its in label.split(1)])


def _warp_label(label: torch.Tensor, grid: torch.Tensor, border: int) -> torch.Tensor:
    """Return the class of the greatest interpolated share, of equal ones the smallest; one class at a time, so that the memory
    does not grow with their number; `border` where half or more lies outside."""
    shape = grid.shape[1:-1]
    greatest, total = (torch.zeros(shape, device=label.device) for _ in range(2))
    warped = torch.zeros(shape, dtype=label.dtype, device=label.device)
    for value in torch.unique(label).tolist():
        is_here = (label == value).to(torch.float32)[None]
        share = functional.grid_sample(is_here, grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0, 0]
        total += share
        warped.masked_fill_(share > greatest, value)
        torch.maximum(greatest, share, out=greatest)
    return warped.masked_fill_(total <= 0.5, border)


def _rotation(
    patch_size: tuple[int, ...], transforms: TransformSet, rng: np.random.Generator, in_plane_only: bool
) -> np.ndarray:
    if len(patch_size) == 2 or in_plane_only:
        y, x = patch_size[-2:]
        limit = ROTATION_LONG_2D if len(patch_size) == 2 and _is_long(y, x) else ROTATION_2D
        matrix = np.eye(len(patch_size))
        matrix[-2:, -2:] = _rotation_2d(rng.uniform(-limit, limit))
        return matrix
    matrix = np.eye(3)
    for axis in range(3):
        others = [i for i in range(3) if i != axis]
        step = np.eye(3)
        step[np.ix_(others, others)] = _rotation_2d(rng.uniform(-transforms.rotation_limit, transforms.rotation_limit))
        matrix = step @ matrix
    return matrix


def _rotation_2d(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
