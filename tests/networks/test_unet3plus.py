"""UNet 3+: the published summary, full-scale skips that keep little, and presence of classes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from autoseg.networks import upsampled
from autoseg.networks.unet3plus import ABSENT, UNet3Plus, without_absent
from autoseg.networks.upsampled import convolve_upsampled, upsample
from autoseg.plan import Topology

PUBLISHED = Topology(
    name="unet3plus", features=(16, 32, 64, 128, 256), strides=((1, 1),) + ((2, 2),) * 4, kernel_sizes=((3, 3),) * 5,
    convs_per_stage=(2,) * 5, decoder_convs_per_stage=(1,) * 4, norm="batch", deep_supervision=False,
)
SMALL = PUBLISHED.model_copy(update={
    "features": (4, 8, 8), "strides": ((1, 1), (2, 2), (2, 2)), "kernel_sizes": ((3, 3),) * 3, "convs_per_stage": (2, 2, 2),
    "decoder_convs_per_stage": (1, 1), "norm": "instance", "deep_supervision": True, "classification_guided": True,
})


def test_the_published_summary_is_met() -> None:
    """3 inputs, 1 output, filters 16..256; batch norm's weights, biases and running statistics are four per channel."""
    network = UNet3Plus(PUBLISHED, 3, 1)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    statistics = sum(buffer.numel() for name, buffer in network.named_buffers() if "running" in name)
    of_convolutions = sum(parameter.numel() for module in convolutions for parameter in module.parameters())
    learnable = sum(parameter.numel() for parameter in network.parameters())
    assert (of_convolutions, learnable, learnable + statistics) == (1_687_009, 1_690_273, 1_693_537)


def test_an_image_of_768_by_512_gives_logits_of_its_size() -> None:
    with torch.inference_mode():
        logits = UNet3Plus(PUBLISHED, 3, 1).eval()(torch.zeros(1, 3, 768, 512))
    assert [tuple(level.shape) for level in logits] == [(1, 1, 768, 512)]


def test_each_level_takes_from_every_scale() -> None:
    """Three stages of 4, 8, 8 features: C = 4, fused 12. Level 0: encoder 4, decoder level 1 with 12, bottleneck 8.
    Level 1: encoder 4 (pooled) and 8, bottleneck 8."""
    network = UNet3Plus(SMALL, 1, 2)
    assert [[skip.convolution.in_channels for skip in skips] for skips in network.skips] == [[4, 12, 8], [4, 8, 8]]
    assert [head.in_channels for head in network.heads] == [12, 12, 8]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 2, 4, 5)], ids=["2d", "3d"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_convolution_of_upsampled_values_has_the_same_gradients_and_keeps_the_coarse_ones(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    size = torch.Size(4 * n for n in shape[2:])
    convolution = (nn.Conv2d if len(size) == 2 else nn.Conv3d)(3, 6, 3, padding=1)
    x, results = torch.randn(shape), []
    for convolve in (lambda coarse: convolution(upsample(coarse, size)),
                     lambda coarse: convolve_upsampled(convolution, coarse, size)):
        convolution.zero_grad()
        coarse = x.clone().requires_grad_()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            convolved = convolve(coarse)
        convolved.float().square().sum().backward()
        results.append((convolved, coarse.grad, convolution.weight.grad, convolution.bias.grad))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_what_was_upsampled_is_not_kept_for_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def watched(x: torch.Tensor, size: torch.Size) -> torch.Tensor:
        values = upsample(x, size)
        made.append(StorageWeakRef(values.untyped_storage()))
        return values

    monkeypatch.setattr(upsampled, "upsample", watched)
    x = torch.randn(1, 3, 4, 4, requires_grad=True)
    convolved = convolve_upsampled(nn.Conv2d(3, 6, 3, padding=1), x, torch.Size((32, 32)))
    assert [values.expired() for values in made] == [True]
    convolved.sum().backward()
    assert len(made) == 2  # made anew


def test_presence_of_each_class_comes_last_in_training_and_gates_prediction() -> None:
    network, patch = UNet3Plus(SMALL, 1, 3), torch.randn(2, 1, 8, 8)
    *levels, presence = network(patch)
    assert len(levels) == 3
    assert presence.shape == (2, 3, 1, 1)
    presence.sum().backward()
    assert network.presence.head.weight.grad is not None
    network.eval()
    with torch.inference_mode():
        nn.init.zeros_(network.presence.head.weight)
        network.presence.head.bias.copy_(torch.tensor([1.0, 1.0, 1.0]))
        ungated = network(patch)
        network.presence.head.bias.copy_(torch.tensor([1.0, -1.0, 1.0]))
        gated = network(patch)
    assert len(ungated) == len(gated) == 1
    lowered = ungated[0] - gated[0]
    assert torch.allclose(lowered[:, 1], torch.tensor(ABSENT), atol=1e-5)
    assert torch.equal(lowered[:, [0, 2]], torch.zeros_like(lowered[:, [0, 2]]))


def test_absent_classes_lose_softmax_and_regions_alike() -> None:
    logits = torch.tensor([0.0, 3.0, 1.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    presence = torch.tensor([2.0, -0.1, 0.1]).reshape(1, 3, 1, 1)
    gated = without_absent(logits, presence)
    assert (gated.argmax(1) == 2).all()  # softmax: the next best of those that are there
    assert (gated > 0)[0, :, 0, 0].tolist() == [False, False, True]  # regions: each for itself


def test_dropout_is_drawn_in_training_alone() -> None:
    network, patch = UNet3Plus(SMALL, 1, 3), torch.randn(1, 1, 32, 32)
    first, second = network(patch), network(patch)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[-1], second[-1])
    network.eval()
    assert torch.equal(network(patch)[0], network(patch)[0])
