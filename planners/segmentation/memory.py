"""Memory that a patch costs: how large it may be, and how many fit into a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autoseg.errors import AutosegError
from autoseg.plan import Topology
from autoseg.topology.pooling import Pooling, pool
from autoseg.topology.shapes import topology_of
from autoseg.topology.values import SMALLEST_BATCH, values_put_out

REFERENCE_BATCH = {2: 12, 3: 2}
FIRST_PATCH_EDGE = {2: 2048, 3: 256}  # edge of the square or cube with as many voxels as the first patch


@dataclass(frozen=True)
class Budget:
    """The memory that the patches of a batch may take, and the network that they are for. Dicts are by number of axes, 2 or 3.

    network: its name. memory_gb: of the GPU, GB. values: those that the network may then put out for each patch of a batch of 12
    (2D) or 2 (3D). patches: the batch for which the patch is made small enough. share_of_dataset: the share of its voxels that a
    batch may hold. gpus: of one training, each of that memory: they share a batch, and each holds whole patches.
    """

    network: str
    memory_gb: float
    values: dict[int, float]
    patches: dict[int, int]
    share_of_dataset: float
    gpus: int = 1

    def at(self, memory_gb: float) -> Budget:
        """Return the budget of another GPU, in proportion. Raises AutosegError where memory_gb is not positive."""
        if not memory_gb > 0:
            raise AutosegError(f"--memory-gb is {memory_gb:g}, but must be positive: the GPU memory to plan for, in GB.")
        per_gb = memory_gb / self.memory_gb
        values = {dimensions: values * per_gb for dimensions, values in self.values.items()}
        return replace(self, memory_gb=memory_gb, values=values)


@dataclass(frozen=True)
class Fit:
    """A patch that fits: its pooling and network, and how it was found.

    values: those that the network puts out for one patch. shrunk: the number of steps from `first`, the patch before any step.
    """

    pooling: Pooling
    topology: Topology
    values: int
    first: tuple[int, ...]
    shrunk: int


def first_patch_size(spacing_mm: Sequence[float], median_shape: Sequence[float]) -> tuple[float, ...]:
    """Return the patch to start from: of equal extent in mm along all axes, 256³ (2D: 2048²) voxels, within the median shape.

    spacing_mm: (z, y, x) or (y, x). median_shape: voxels, same axes; may end in .5. So may the result.
    """
    dimensions = len(spacing_mm)
    per_mm = 1 / np.array(spacing_mm, dtype=float)
    edges = per_mm * (FIRST_PATCH_EDGE[dimensions] ** dimensions / per_mm.prod()) ** (1 / dimensions)
    return tuple(min(round(float(edge)), size) for edge, size in zip(edges, median_shape, strict=True))


def fit_patch(spacing_mm: Sequence[float], median_shape: Sequence[float], classes: int, budget: Budget) -> Fit:
    """Return the largest patch of which a batch of `budget.patches` fits, with its network.

    While it does not fit, the axis whose patch : median ratio is largest (the last one of equals) shrinks by one divisor, and the
    depth is computed anew.

    spacing_mm, median_shape: (z, y, x) or (y, x), mm and voxels. classes: channels of the logit head.
    Raises AutosegError where the memory is too small for any patch.
    """
    dimensions = len(spacing_mm)
    pooling = pool(spacing_mm, first_patch_size(spacing_mm, median_shape))
    first, shrunk = pooling.patch_size, 0
    topology = topology_of(budget.network, pooling)
    values = values_put_out(pooling.patch_size, topology, classes)
    while values / REFERENCE_BATCH[dimensions] * budget.patches[dimensions] > budget.values[dimensions]:
        pooling = _shrink(spacing_mm, pooling, _largest_share(pooling.patch_size, median_shape), budget)
        topology = topology_of(budget.network, pooling)
        values = values_put_out(pooling.patch_size, topology, classes)
        shrunk += 1
    return Fit(pooling, topology, values, first, shrunk)


def memory_values(dimensions: int, budget: Budget) -> float:
    """Return how many values of a whole batch the memory holds."""
    return budget.values[dimensions] * REFERENCE_BATCH[dimensions]


def batch_that_fits(fit: Fit, budget: Budget) -> int:
    """Return the number of patches that the memory of all GPUs holds, rounded for each."""
    dimensions = len(fit.first)
    return budget.gpus * round(budget.values[dimensions] / fit.values * REFERENCE_BATCH[dimensions])


def batch_of_dataset_share(fit: Fit, budget: Budget, voxels_of_dataset: float) -> int:
    """Return the number of patches that hold the largest share of the dataset, rounded: more would make steps too much alike."""
    return round(voxels_of_dataset * budget.share_of_dataset / math.prod(fit.pooling.patch_size))


def batch_size(fit: Fit, budget: Budget, voxels_of_dataset: float) -> int:
    """Return the batch that the memory holds, at most the largest share of the dataset's voxels, the same for each GPU; at least
    2, and one for each GPU."""
    by_dataset = batch_of_dataset_share(fit, budget, voxels_of_dataset)
    most = min(batch_that_fits(fit, budget), by_dataset)
    return max(smallest_batch(budget), most // budget.gpus * budget.gpus)


def smallest_batch(budget: Budget) -> int:
    """Return the smallest batch that is planned."""
    return max(SMALLEST_BATCH, budget.gpus)


def _largest_share(patch_size: Sequence[int], median_shape: Sequence[float]) -> int:
    """Return the axis along which the patch covers most of the median shape; the last one of equals."""
    shares = [n / median for n, median in zip(patch_size, median_shape, strict=True)]
    return max(range(len(shares)), key=lambda axis: (shares[axis], axis))


def _shrink(spacing_mm: Sequence[float], pooling: Pooling, axis: int, budget: Budget) -> Pooling:
    """Return the pooling of the next smaller patch along `axis`.

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
        patches = budget.patches[len(spacing_mm)]
        raise AutosegError(f"No patch fits into {budget.memory_gb:g} GB: even {patches} of {edges} voxels are too much. "
                           "Give more with --memory-gb.")
    return smaller
