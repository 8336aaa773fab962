"""Convolutions of upsampled values, without keeping what was upsampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

LINEAR = {2: "bilinear", 3: "trilinear"}


def upsample(x: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Upsample linearly, with corners where the voxels' edges are: (B, C, *s) -> (B, C, *size)."""
    return functional.interpolate(x, size, mode=LINEAR[len(size)], align_corners=False)


def convolve_upsampled(convolution: nn.Module, x: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Return convolution(upsample(x, size)); the backward pass keeps only x and upsamples it once more.

    Many channels of a coarse level at the resolution of a fine one are the largest tensors of a UNet 3+: keeping them would
    double what a training step holds.
    """
    upsampled = upsample(x, size)
    kernel = convolution.get_parameter("weight")
    pack, unpack = _upsampled_anew(x.detach(), size, upsampled.shape, kernel.shape)
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        convolved: torch.Tensor = convolution(upsampled)
    return convolved


def _upsampled_anew(
    x: torch.Tensor, size: torch.Size, upsampled: torch.Size, kernel: torch.Size
) -> tuple[Callable[[torch.Tensor], Any], Callable[[Any], torch.Tensor]]:
    """Return hooks that replace the convolution's input by its dtype (the kernel, which it saves too, stays), and undo it."""

    def pack(saved: torch.Tensor) -> torch.Tensor | torch.dtype:
        is_input = saved.shape == upsampled != kernel
        return saved.dtype if is_input else saved

    def unpack(packed: torch.Tensor | torch.dtype) -> torch.Tensor:
        return packed if isinstance(packed, torch.Tensor) else upsample(x, size).to(packed)

    return pack, unpack
