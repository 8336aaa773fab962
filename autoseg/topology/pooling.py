"""Pooling and kernels of a network, from patch size and spacing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SMALLEST_EDGE = 4  # least voxels that pooling leaves along an axis
SIMILAR_RATIO = 2  # spacings that differ by less than this count as equal


@dataclass(frozen=True)
class Pooling:
    """The strides and kernels by stage, finest first, for a patch that all strides divide.

    patch_size: voxels. divisors: product of the strides along each axis.
    """

    patch_size: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernel_sizes: tuple[tuple[int, ...], ...]
    divisors: tuple[int, ...]

    @property
    def stages(self) -> int:
        return len(self.strides)


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


def _axes_to_pool(spacings_mm: Sequence[float], sizes: Sequence[float]) -> list[int]:
    """Return the axes to halve next; empty when the network is deep enough."""
    long_enough = [axis for axis, size in enumerate(sizes) if size >= 2 * SMALLEST_EDGE]
    if not long_enough:
        return []
    finest = min(spacings_mm[axis] for axis in long_enough)
    axes = [axis for axis in long_enough if spacings_mm[axis] / finest < SIMILAR_RATIO]
    if len(axes) == 1 and sizes[axes[0]] < 3 * SMALLEST_EDGE:
        return []
    return axes
