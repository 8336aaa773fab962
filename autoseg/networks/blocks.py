"""What networks are built of, in 2D and 3D."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

CONVOLUTION: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class InstanceNorm(nn.Module):
    """Each channel of each sample to mean 0 and variance 1 (Ulyanov et al. 2016), then scaled and shifted.

    (B, C, *spatial) -> same shape, dtype and memory format. Where channels lie last (as `autoseg.device.memory_format`
    has them on the CPU), PyTorch's own instance norm would bring them first and back; batch norm of one sample is the
    same sum and leaves them.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_contiguous() or x.device.type != "cpu":
            return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        samples = [
            functional.batch_norm(sample, None, None, self.weight, self.bias, training=True, eps=self.eps)
            for sample in x.split(1)
        ]
        return torch.cat(samples) if len(samples) > 1 else samples[0]


class ConvNormAct(nn.Sequential):
    """Convolution ("same" padding), instance norm with scale and shift, LeakyReLU 0.01.

    (B, channels_in, *spatial) -> (B, channels_out, *ceil(spatial / stride)).
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: tuple[int, ...], stride: tuple[int, ...]) -> None:
        dimensions = len(kernel)
        padding = tuple(k // 2 for k in kernel)
        super().__init__(
            CONVOLUTION[dimensions](channels_in, channels_out, kernel, stride, padding),
            InstanceNorm(channels_out),
            nn.LeakyReLU(0.01, inplace=True),
        )


class ConvStage(nn.Sequential):
    """Several ConvNormAct in a row; the first one has the stride."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: tuple[int, ...], stride: tuple[int, ...], convs: int
    ) -> None:
        ones = (1,) * len(kernel)
        first = ConvNormAct(channels_in, channels_out, kernel, stride)
        super().__init__(first, *(ConvNormAct(channels_out, channels_out, kernel, ones) for _ in range(convs - 1)))


def initialize_he(module: nn.Module, negative_slope: float = 0.01) -> None:
    """Kaiming initialization (He et al. 2015) for the leaky slope in every convolution, biases zero."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
            nn.init.kaiming_normal_(part.weight, a=negative_slope)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def upsampling(channels_in: int, channels_out: int, stride: tuple[int, ...]) -> nn.Module:
    """Transposed convolution whose kernel equals its stride: (B, C, *s) -> (B, channels_out, *(s · stride))."""
    up: nn.Module = TRANSPOSED[len(stride)](channels_in, channels_out, stride, stride)
    return up


def head(channels_in: int, classes: int, dimensions: int) -> nn.Module:
    """1-convolution to logits: (B, C, *s) -> (B, classes, *s)."""
    convolution: nn.Module = CONVOLUTION[dimensions](channels_in, classes, 1)
    return convolution


Logits = list[torch.Tensor]
