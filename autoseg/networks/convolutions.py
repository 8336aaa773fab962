"""Convolutions that are right in bfloat16 on every CPU.

In bfloat16 on the CPU, oneDNN (as torch 2.13 has it) reads and writes beyond its buffers where an axis is short: with AVX512-BF16
the weights' gradient of a 3D convolution whose first axis has 2 voxels is made of memory that nobody wrote, with AMX the output
of a strided convolution whose last axis becomes 1 is. Such layers, which are small, are computed in float32 here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

SHORTEST_FINE, SHORTEST_COARSE = 4, 2  # voxels of an axis before a convolution, and after it, from which on bfloat16 is right


class _Careful(nn.Module):
    """A convolution of torch, computed in float32 where bfloat16 is not right; its output has the dtype of autocast."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    transposed: bool

    def forward(self, x: torch.Tensor, *output_size: Any) -> torch.Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            plain: torch.Tensor = super().forward(x, *output_size)
            return plain
        if not self._has_short_axis(x.shape[2:]):
            rounded: torch.Tensor = super().forward(x, *output_size)
            return rounded
        dtype = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            precise: torch.Tensor = super().forward(x.float(), *output_size)
        return precise.to(dtype)

    def _has_short_axis(self, sizes: Sequence[int]) -> bool:
        """Tell whether an axis that the kernel reaches along is short before or after the convolution."""
        for size, kernel, stride, padding in zip(sizes, self.kernel_size, self.stride, self._paddings, strict=True):
            if self.transposed:
                fine, coarse = (size - 1) * stride - 2 * padding + kernel, size
            else:
                fine, coarse = size, (size + 2 * padding - kernel) // stride + 1
            if (kernel > 1 or stride > 1) and (fine < SHORTEST_FINE or coarse < SHORTEST_COARSE):
                return True
        return False

    @property
    def _paddings(self) -> tuple[int, ...]:
        padding: Any = self.padding
        return tuple(padding)


@contextmanager
def short_axes_seen(network: nn.Module) -> Iterator[list[str]]:
    """Give a list to which the names of layers are added that meet a short axis while the network runs in this block."""
    seen: list[str] = []

    def look(name: str, layer: _Careful, x: torch.Tensor) -> None:
        if layer._has_short_axis(x.shape[2:]):
            seen.append(name)

    hooks = [layer.register_forward_pre_hook(lambda layer, inputs, name=name: look(name, layer, inputs[0]))
             for name, layer in network.named_modules() if isinstance(layer, _Careful)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


class Conv2d(_Careful, nn.Conv2d):
    """A 2D convolution."""


class Conv3d(_Careful, nn.Conv3d):
    """A 3D convolution."""


class ConvTranspose2d(_Careful, nn.ConvTranspose2d):
    """A transposed 2D convolution."""


class ConvTranspose3d(_Careful, nn.ConvTranspose3d):
    """A transposed 3D convolution."""
