"""Costs of a network for one patch, counted from its shape, without building it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoseg.plan import Topology

SMALLEST_BATCH = 2  # patches that make a step, at least


def values_put_out(patch_size: Sequence[int], topology: Topology, classes: int) -> int:
    """Count the values that a network's convolutions put out for one patch: a measure of its memory, without building it.

    Counted are every convolution of both sides, transposed convolutions, and the finest logit head (Isensee et al. 2021).
    Most of these values are held twice in training, before the norm and after the activation. What a UNet 3+ holds besides
    is added, so that a value stands for as much memory in each network.

    patch_size: voxels, divisible by the strides. classes: channels of the head.
    """
    count = {"resunet": resunet_values, "unet3plus": unet3plus_values}.get(topology.name, unet_values)
    head = classes * math.prod(patch_size) if topology.stages > 1 else 0
    return count(voxels_by_stage(patch_size, topology), topology) + head


def voxels_by_stage(patch_size: Sequence[int], topology: Topology) -> list[int]:
    """Return the voxels of one patch at the resolution of each stage, finest first."""
    size, voxels = list(patch_size), []
    for stride in topology.strides:
        size = [n // step for n, step in zip(size, stride, strict=True)]
        voxels.append(math.prod(size))
    return voxels


def unet_values(voxels: Sequence[int], topology: Topology) -> int:
    """Return the values that the convolutions of a U-Net's two sides put out. voxels: by stage."""
    encoder = _sum(topology.convs_per_stage, topology.features, voxels)
    return encoder + _decoder_values(voxels, topology)


def resunet_values(voxels: Sequence[int], topology: Topology) -> int:
    """Return the values that a residual encoder's convolutions, its averaging, and a U-Net's decoder put out."""
    features, strides = topology.features, topology.strides
    first = features[0] * voxels[0]
    changed = [stage > 0 and (features[stage - 1] != features[stage] or max(strides[stage]) > 1)
               for stage in range(topology.stages)]
    layers = [2 * blocks + skip for blocks, skip in zip(topology.convs_per_stage, changed, strict=True)]
    return first + _sum(layers, features, voxels) + _decoder_values(voxels, topology)


def unet3plus_values(voxels: Sequence[int], topology: Topology) -> int:
    """Return the values that the convolutions of a UNet 3+ except its heads put out, and what it holds besides. voxels: by
    stage."""
    return unet3plus_convolutions(voxels, topology) + unet3plus_besides(voxels, topology)


def unet3plus_convolutions(voxels: Sequence[int], topology: Topology) -> int:
    """Return the values that the convolutions of encoder, skips and decoder put out."""
    encoder = _sum(topology.convs_per_stage, topology.features, voxels)
    fused = topology.stages * topology.features[0]
    return encoder + sum((1 + convs) * fused * n for convs, n in zip(topology.convs_up, voxels[:-1], strict=True))


def unet3plus_besides(voxels: Sequence[int], topology: Topology) -> int:
    """Return what a training step holds besides what convolutions put out, in the measure of these, which are held twice each.

    Counted are the concatenation of each level (once), finer levels pooled (once, and the place of each maximum, an integer of 8
    bytes), and two tensors at the peak, in the backward pass of the finest level: the gradients of what is fused; or, when
    concatenation and fusion are gone, the bottleneck at full resolution and its gradient. A U-Net's two at its peak are taken
    off.
    """
    features, stages = topology.features, topology.stages
    fused = stages * features[0]
    concatenated = sum(fused * n for n in voxels[:-1]) // 2
    pooled = sum(2 * sum(features[:stage]) * voxels[stage] for stage in range(1, stages))
    at_peak = (max(fused, features[-1] - fused) - features[0]) * voxels[0]
    return concatenated + pooled + at_peak


def _decoder_values(voxels: Sequence[int], topology: Topology) -> int:
    """Return the values of a U-Net's decoder: those of each stage's convolutions, and of the transposed one before them."""
    return _sum([convs + 1 for convs in topology.convs_up], topology.features[:-1], voxels[:-1])


def _sum(layers: Sequence[int], features: Sequence[int], voxels: Sequence[int]) -> int:
    return sum(math.prod(stage) for stage in zip(layers, features, voxels, strict=True))
