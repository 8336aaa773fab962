"""Blocks that networks are built of, in 2D and 3D."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from autoseg.networks.convolutions import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d
from autoseg.plan import Norm

VOXELS_AT_ONCE = 2**15  # whose squares stay in the processor's cache
LEAKY = 0.01  # negative slope of Isensee et al. 2021

CONVOLUTION: dict[int, Any] = {2: Conv2d, 3: Conv3d}
TRANSPOSED: dict[int, Any] = {2: ConvTranspose2d, 3: ConvTranspose3d}
BATCH_NORM: dict[int, Any] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL: dict[int, Any] = {2: functional.max_pool2d, 3: functional.max_pool3d}
AVERAGE_POOL: dict[int, Any] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


class InstanceNorm(nn.Module):
    """Instance norm: each channel of each sample gets mean 0 and variance 1 (Ulyanov et al. 2016), then scale and shift.

    (B, C, *spatial) -> same shape, dtype and memory format. Where channels lie last (as `autoseg.device.memory_format` has them
    on the CPU), PyTorch's own instance norm would bring them first and back; batch norm of one sample computes the same and
    leaves them last. Its sums are plain ones in float32, so that it is off by 2e-4 in a volume of half a million voxels: float32
    predictions take mean and variance from sums over parts instead.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_contiguous() or x.device.type != "cpu":
            return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        is_precise = x.dtype == torch.float32 and not torch.is_grad_enabled()
        samples = []
        for sample in x.split(1):
            mean, variance = _mean_and_variance(sample) if is_precise else (None, None)
            samples.append(functional.batch_norm(
                sample, mean, variance, self.weight, self.bias, training=not is_precise, eps=self.eps))
        return torch.cat(samples) if len(samples) > 1 else samples[0]


def _mean_and_variance(sample: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and variance of each channel of (1, C, *spatial) float32 whose channels lie last."""
    voxels = sample.movedim(1, -1).reshape(-1, sample.shape[1])
    mean = voxels.mean(0)
    squares = torch.stack([(part - mean).square_().sum(0) for part in voxels.split(VOXELS_AT_ONCE)])
    return mean, (squares.sum(0, dtype=torch.float64) / len(voxels)).to(torch.float32)


def normalization(norm: Norm, channels: int, dimensions: int) -> nn.Module:
    """Return instance norm, or batch norm (Ioffe and Szegedy 2015), both with scale and shift."""
    return InstanceNorm(channels) if norm == "instance" else BATCH_NORM[dimensions](channels)


def activation(negative_slope: float) -> nn.Module:
    """Return LeakyReLU in place; ReLU for a slope of 0."""
    return nn.LeakyReLU(negative_slope, inplace=True) if negative_slope else nn.ReLU(inplace=True)


class ConvNorm(nn.Sequential):
    """A convolution ("same" padding, stride 1 where None is given) and a norm.

    (B, channels_in, *spatial) -> (B, channels_out, *ceil(spatial / stride)).
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: tuple[int, ...], stride: tuple[int, ...] | None = None,
        norm: Norm = "instance", bias: bool = True,
    ) -> None:
        padding = tuple(k // 2 for k in kernel)
        convolution = CONVOLUTION[len(kernel)]
        super().__init__(
            convolution(channels_in, channels_out, kernel, stride or 1, padding, bias=bias),
            normalization(norm, channels_out, len(kernel)),
        )


class ConvNormAct(ConvNorm):
    """ConvNorm and LeakyReLU, or ReLU for a negative slope of 0."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: tuple[int, ...], stride: tuple[int, ...] | None = None,
        norm: Norm = "instance", negative_slope: float = LEAKY,
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, norm)
        self.append(activation(negative_slope))


class ConvStage(nn.Sequential):
    """Several ConvNormAct in a row; the first one has the stride."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: tuple[int, ...], stride: tuple[int, ...] | None, convs: int,
        norm: Norm = "instance", negative_slope: float = LEAKY,
    ) -> None:
        first = ConvNormAct(channels_in, channels_out, kernel, stride, norm, negative_slope)
        others = (ConvNormAct(channels_out, channels_out, kernel, None, norm, negative_slope) for _ in range(convs - 1))
        super().__init__(first, *others)


class ResidualBlock(nn.Module):
    """Two convolutions with norms, added to the block's input (He et al. 2016), then LeakyReLU.

    Where the block has a stride, the input is averaged over it; where the channels change, a 1-convolution without bias and a
    norm bring it to the output's ("ResNet-D", He et al. 2019).
    (B, channels_in, *spatial) -> (B, channels_out, *(spatial / stride)).
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: tuple[int, ...], stride: tuple[int, ...], norm: Norm = "instance"
    ) -> None:
        super().__init__()
        self.first = ConvNormAct(channels_in, channels_out, kernel, stride, norm)
        self.second = ConvNorm(channels_out, channels_out, kernel, None, norm)
        self.skip = nn.Sequential()
        if max(stride) > 1:
            self.skip.append(AVERAGE_POOL[len(stride)](stride))
        if channels_in != channels_out:
            self.skip.append(ConvNorm(channels_in, channels_out, (1,) * len(kernel), None, norm, bias=False))
        self.activation = activation(LEAKY)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(self.first(x))
        out += self.skip(x)
        activated: torch.Tensor = self.activation(out)
        return activated


def initialize_he(module: nn.Module, negative_slope: float = LEAKY) -> None:
    """Set the weights of every convolution by Kaiming initialization (He et al. 2015) for the leaky slope, biases to zero.

    Weights without values (on the "meta" device) stay so: drawing these makes torch import its compiler, which takes seconds.
    """
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)) and not part.weight.is_meta:
            nn.init.kaiming_normal_(part.weight, a=negative_slope)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def max_pool(x: torch.Tensor, stride: tuple[int, ...]) -> torch.Tensor:
    """Apply max pooling: (B, C, *s) -> (B, C, *(s / stride))."""
    pooled: torch.Tensor = MAX_POOL[len(stride)](x, stride)
    return pooled


def upsampling(channels_in: int, channels_out: int, stride: tuple[int, ...]) -> nn.Module:
    """Return a transposed convolution whose kernel equals its stride: (B, C, *s) -> (B, channels_out, *(s · stride))."""
    up: nn.Module = TRANSPOSED[len(stride)](channels_in, channels_out, stride, stride)
    return up


def head(channels_in: int, classes: int, kernel: tuple[int, ...]) -> nn.Module:
    """Return a convolution to logits: (B, C, *s) -> (B, classes, *s)."""
    convolution: nn.Module = CONVOLUTION[len(kernel)](channels_in, classes, kernel, padding=tuple(k // 2 for k in kernel))
    return convolution


Logits = list[torch.Tensor]
