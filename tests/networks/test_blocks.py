"""Instance norm is PyTorch's, whichever way the channels lie."""

from __future__ import annotations

import pytest
import torch

from autoseg.networks.blocks import InstanceNorm


@pytest.mark.parametrize(("shape", "layout"), [
    ((3, 4, 6, 5), torch.channels_last), ((2, 4, 3, 6, 5), torch.channels_last_3d),
    ((2, 4, 3, 6, 5), torch.contiguous_format),
])
def test_instance_norm_equals_pytorchs_with_its_gradients(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    theirs = {4: torch.nn.InstanceNorm2d, 5: torch.nn.InstanceNorm3d}[len(shape)](4, eps=1e-5, affine=True)
    ours = InstanceNorm(4)
    with torch.no_grad():
        theirs.weight.normal_()
        theirs.bias.normal_()
    ours.load_state_dict(theirs.state_dict())
    x, weights = torch.randn(shape) * 3 + 1, torch.randn(shape)
    results = []
    for norm, given in ((theirs, x.clone()), (ours, x.to(memory_format=layout))):
        given.requires_grad_()
        out = norm(given)
        (out * weights).sum().backward()
        results.append((out, given.grad, norm.weight.grad, norm.bias.grad))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
    assert results[1][0].is_contiguous(memory_format=layout)


def test_the_norm_of_a_large_volume_is_precise() -> None:
    """PyTorch's batch norm of channels that lie last is off by 1e-4 here: it adds half a million numbers one by one."""
    values = torch.randn(1, 4, 32, 128, 128, generator=torch.Generator().manual_seed(0)) + 3
    expected = torch.nn.functional.instance_norm(values.double())
    with torch.inference_mode():
        found = InstanceNorm(4)(values.to(memory_format=torch.channels_last_3d))
    assert (found - expected).abs().max() < 1e-5
