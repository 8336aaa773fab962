"""Convolutions under bfloat16 against float32, forward and backward, on whatever processor the test runs."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import nn

from autoseg.networks import convolutions
from autoseg.networks.convolutions import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d

SIZES = range(1, 7)
KINDS = {"same": (3, 1, 1), "halving": (3, 2, 1), "1 to 1": (1, 1, 0), "GAN": (4, 2, 1)}  # kernel, stride, padding


def leave_garbage() -> None:
    """Fill memory that is freed at once: what is not written before it is read is then not a number."""
    for count in (1_000, 20_000, 100_000, 400_000):
        torch.full((count,), float("nan"))


def results(layer: nn.Module, x: torch.Tensor, with_gradient: torch.Tensor, enabled: bool) -> list[torch.Tensor]:
    """Output, gradient of the weights, gradient of the input, all float32."""
    layer.zero_grad()
    x = x.clone().requires_grad_()
    leave_garbage()
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        out = layer(x)
    assert out.dtype == (torch.bfloat16 if enabled else torch.float32)
    leave_garbage()
    out.float().backward(with_gradient)
    assert isinstance(layer.weight.grad, torch.Tensor) and x.grad is not None
    return [out.float().detach(), layer.weight.grad.clone(), x.grad.clone()]


def check(layer: Any, x: torch.Tensor) -> None:
    with torch.no_grad():
        gradient = torch.randn(layer(x).shape)
    for precise, rounded in zip(results(layer, x, gradient, False), results(layer, x, gradient, True), strict=True):
        error = (rounded - precise).norm() / precise.norm()
        assert torch.isfinite(rounded).all() and error < 0.02, (tuple(x.shape), error)  # bfloat16 itself gives about 0.004


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d])
def test_every_small_size_is_right_in_bfloat16(layer: Any, kind: str) -> None:
    kernel, stride, padding = KINDS[kind]
    dimensions = 2 if layer in (Conv2d, ConvTranspose2d) else 3
    torch.manual_seed(0)
    its = layer(16, 16, kernel, stride, padding).to(
        memory_format=torch.channels_last if dimensions == 2 else torch.channels_last_3d)
    for sizes in product(SIZES, repeat=dimensions):
        fits = [(n - 1) * stride - 2 * padding + kernel if its.transposed else n + 2 * padding - kernel for n in sizes]
        if min(fits) >= int(its.transposed):
            check(its, torch.randn(2, 16, *sizes))


def test_the_layer_that_was_made_of_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """25 backward passes on 2 × 8 × 8; a layer that is computed in float32 for one short axis gives torch's own values there."""
    torch.manual_seed(1)
    layer = Conv3d(32, 32, 3, padding=1)
    for _ in range(25):
        check(layer, torch.randn(1, 32, 2, 8, 8))
    x, computed_in = torch.randn(1, 32, 2, 8, 8), list[torch.dtype]()
    forward = nn.Conv3d.forward
    monkeypatch.setattr(nn.Conv3d, "forward", lambda self, x: computed_in.append(x.dtype) or forward(self, x))
    with torch.autocast("cpu", torch.bfloat16):
        for size in (2, 8):
            layer(x.bfloat16().expand(1, 32, 2, 8, 8) if size == 2 else torch.randn(1, 32, 8, 8, 8).bfloat16())
    assert computed_in == [torch.float32, torch.bfloat16]
    assert convolutions.SHORTEST_FINE == 4


def test_layers_that_meet_short_axes_are_named_while_a_network_runs() -> None:
    network = nn.Sequential(Conv2d(1, 4, 3, padding=1), nn.ReLU(), Conv2d(4, 4, 3, 2, 1), Conv2d(4, 4, 1))
    for size, expected in ((8, []), (4, []), (3, ["0", "2"]), (2, ["0", "2"])):
        with convolutions.short_axes_seen(network) as seen:
            network(torch.zeros(1, 1, 8, size))
        assert seen == expected
    network(torch.zeros(1, 1, 2, 2))
    assert seen == ["0", "2"]
