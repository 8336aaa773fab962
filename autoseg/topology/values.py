"""What a network costs for one patch, counted from its shape, without building it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoseg.plan import Topology


def values_put_out(patch_size: Sequence[int], topology: Topology, classes: int) -> int:
    """How many values the convolutions of a U-Net put out for one patch: a measure of its memory, without building it.

    Counted are every convolution of both sides, the transposed convolutions, and the finest logit head.

    patch_size: voxels, divisible by the strides. classes: channels of the head.
    """
    values, size = 0, list(patch_size)
    bottleneck = len(topology.features) - 1
    for stage, (features, convs) in enumerate(zip(topology.features, topology.convs_per_stage, strict=True)):
        size = [n // stride for n, stride in zip(size, topology.strides[stage], strict=True)]
        layers = convs if stage == bottleneck else 2 * convs + 1  # encoder and decoder, and the way up into the decoder
        values += layers * features * math.prod(size)
    head = classes * math.prod(patch_size) if bottleneck > 0 else 0
    return values + head
