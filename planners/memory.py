"""What a patch costs: how large it may be, and how many fit into a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.errors import AutosegError
from autoseg.plan import Topology
from autoseg.planners.patch import first_patch_size
from autoseg.topology.pooling import Pooling, pool
from autoseg.topology.shapes import topology_of
from autoseg.topology.values import values_put_out

REFERENCE_GB = 8
REFERENCE_VALUES = {2: 85_000_000, 3: 560_000_000}  # put out for one patch, at 8 GB and the reference batch
REFERENCE_BATCH = {2: 12, 3: 2}
SMALLEST_BATCH = 2
LARGEST_SHARE_OF_DATASET = 0.05


@dataclass(frozen=True)
class Fit:
    """A patch that fits: its pooling and network, and how it came about.

    values: that the network puts out for one patch. shrunk: steps that it took from `first`, the patch before any.
    """

    pooling: Pooling
    topology: Topology
    values: int
    first: tuple[int, ...]
    shrunk: int


def budget(dimensions: int, memory_gb: float) -> float:
    """Values that may be put out for each patch of a batch of 2 (3D) or 12 (2D), in proportion to the memory in GB."""
    return REFERENCE_VALUES[dimensions] * (memory_gb / REFERENCE_GB)


def fit_patch(spacing_mm: Sequence[float], median_shape: Sequence[float], classes: int, memory_gb: float) -> Fit:
    """The largest patch of which a batch of two fits, with its network.

    While it is too much, the axis whose patch : median ratio is largest (the last one of equals) shrinks by one
    divisor, and the depth is computed anew.

    spacing_mm, median_shape: (z, y, x) or (y, x), mm and voxels. classes: channels of the logit head.
    Raises AutosegError where memory_gb is too small for any patch.
    """
    dimensions = len(spacing_mm)
    pooling = pool(spacing_mm, first_patch_size(spacing_mm, median_shape))
    first, shrunk = pooling.patch_size, 0
    topology = topology_of("unet", pooling)
    values = values_put_out(pooling.patch_size, topology, classes)
    while values / REFERENCE_BATCH[dimensions] * SMALLEST_BATCH > budget(dimensions, memory_gb):
        pooling = _shrink(spacing_mm, pooling, _largest_share(pooling.patch_size, median_shape), memory_gb)
        topology = topology_of("unet", pooling)
        values = values_put_out(pooling.patch_size, topology, classes)
        shrunk += 1
    return Fit(pooling, topology, values, first, shrunk)


def batch_that_fits(fit: Fit, memory_gb: float) -> int:
    """Patches that the memory holds, rounded."""
    dimensions = len(fit.first)
    return round(budget(dimensions, memory_gb) / fit.values * REFERENCE_BATCH[dimensions])


def batch_of_dataset_share(patch_size: Sequence[int], voxels_of_dataset: float) -> int:
    """Patches that together hold 5 % of the dataset's voxels, rounded: more would make steps too much alike."""
    return round(voxels_of_dataset * LARGEST_SHARE_OF_DATASET / math.prod(patch_size))


def batch_size(fit: Fit, memory_gb: float, voxels_of_dataset: float) -> int:
    """What the memory holds, at most 5 % of the dataset's voxels, at least 2."""
    by_dataset = batch_of_dataset_share(fit.pooling.patch_size, voxels_of_dataset)
    return max(SMALLEST_BATCH, min(batch_that_fits(fit, memory_gb), by_dataset))


def _largest_share(patch_size: Sequence[int], median_shape: Sequence[float]) -> int:
    """The axis along which the patch covers most of the median shape; the last one of equals."""
    shares = [n / median for n, median in zip(patch_size, median_shape, strict=True)]
    return max(range(len(shares)), key=lambda axis: (shares[axis], axis))


def _shrink(spacing_mm: Sequence[float], pooling: Pooling, axis: int, memory_gb: float) -> Pooling:
    """The pooling of the next smaller patch along `axis`.

    A smaller patch may be pooled less often, and so be divisible by less: from 256 = 8·32 the next is 224 = 7·32, not
    192 = 3·64. So the step is the divisor that one step down would have.
    """
    size = list(pooling.patch_size)
    size[axis] -= pooling.divisors[axis]
    step = pool(spacing_mm, size).divisors[axis]
    size[axis] = pooling.patch_size[axis] - step
    smaller = pool(spacing_mm, size)
    if smaller.stages == 1 or min(smaller.patch_size) < 1:
        edges = " × ".join(map(str, pooling.patch_size))
        raise AutosegError(f"No patch fits into {memory_gb:g} GB: even two of {edges} voxels are too much. "
                           "Give more with --memory-gb.")
    return smaller
