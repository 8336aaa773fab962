"""Network depth from patch size and spacing: where to pool, and how wide the kernels are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.plan import Topology

SMALLEST_EDGE = 4  # voxels that pooling leaves of an axis, at least
SIMILAR_RATIO = 2  # spacings that differ by less than this count as equal
FIRST_PATCH_EDGE = {2: 2048, 3: 256}  # of the square or cube with as many voxels as the first patch
BASE_FEATURES = 32
MOST_FEATURES = {2: 512, 3: 320}
CONVS_PER_STAGE = 2


@dataclass(frozen=True)
class Pooling:
    """Strides and kernels by stage, finest first, for a patch that all strides divide.

    patch_size: voxels. divisors: product of the strides along each axis.
    """

    patch_size: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernel_sizes: tuple[tuple[int, ...], ...]
    divisors: tuple[int, ...]

    @property
    def stages(self) -> int:
        return len(self.strides)


def first_patch_size(spacing_mm: Sequence[float], median_shape: Sequence[float]) -> tuple[float, ...]:
    """The patch to start from: of equal extent in mm along all axes, 256³ (2D: 2048²) voxels, within the median shape.

    spacing_mm: (z, y, x) or (y, x). median_shape: voxels, same axes; may end in .5. So may the result.
    """
    dimensions = len(spacing_mm)
    per_mm = 1 / np.array(spacing_mm, dtype=float)
    edges = per_mm * (FIRST_PATCH_EDGE[dimensions] ** dimensions / per_mm.prod()) ** (1 / dimensions)
    return tuple(min(round(float(edge)), size) for edge, size in zip(edges, median_shape, strict=True))


def pool(spacing_mm: Sequence[float], size: Sequence[float]) -> Pooling:
    """Halve the axes of a patch again and again, while they are long enough and about as fine as the finest of these.

    An axis can be pooled while it has 8 voxels or more; if it would be the only one, 12 or more. Pooling doubles its
    spacing. Its kernel is 1 until its spacing is below twice the finest, then 3; the bottleneck's is 3 throughout.
    The patch grows to a multiple of the strides.

    spacing_mm: (z, y, x) or (y, x). size: voxels, same axes; may end in .5.
    """
    dimensions = len(spacing_mm)
    spacings, sizes, kernel = list(spacing_mm), list(size), (1,) * dimensions
    strides, kernels = [(1,) * dimensions], []
    while axes := _axes_to_pool(spacings, sizes):
        finest = min(spacings)
        kernel = tuple(3 if k == 3 or s / finest < SIMILAR_RATIO else 1 for k, s in zip(kernel, spacings, strict=True))
        kernels.append(kernel)
        strides.append(tuple(2 if axis in axes else 1 for axis in range(dimensions)))
        for axis in axes:
            spacings[axis] *= 2
            sizes[axis] = math.ceil(sizes[axis] / 2)
    kernels.append((3,) * dimensions)
    divisors = tuple(math.prod(stride[axis] for stride in strides) for axis in range(dimensions))
    patch_size = tuple(math.ceil(n / divisor) * divisor for n, divisor in zip(size, divisors, strict=True))
    return Pooling(patch_size, tuple(strides), tuple(kernels), divisors)


def unet_topology(pooling: Pooling) -> Topology:
    """A plain U-Net over this pooling: 32 features, doubled at each stage up to 320 (3D) or 512 (2D)."""
    most = MOST_FEATURES[len(pooling.patch_size)]
    return Topology(
        features=tuple(min(most, BASE_FEATURES * 2**stage) for stage in range(pooling.stages)),
        strides=pooling.strides,
        kernel_sizes=pooling.kernel_sizes,
        convs_per_stage=(CONVS_PER_STAGE,) * pooling.stages,
    )


def _axes_to_pool(spacings_mm: Sequence[float], sizes: Sequence[float]) -> list[int]:
    """Axes to halve next; empty when the network is deep enough."""
    long_enough = [axis for axis, size in enumerate(sizes) if size >= 2 * SMALLEST_EDGE]
    if not long_enough:
        return []
    finest = min(spacings_mm[axis] for axis in long_enough)
    axes = [axis for axis in long_enough if spacings_mm[axis] / finest < SIMILAR_RATIO]
    if len(axes) == 1 and sizes[axes[0]] < 3 * SMALLEST_EDGE:
        return []
    return axes
