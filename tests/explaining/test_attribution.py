"""Maps of networks made by hand, whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.errors import AutosegError
from autoseg.explaining import attribution
from autoseg.explaining.attribution import (
    foreground_median,
    grad_cam,
    occlusion,
    randomized,
    rank_correlation,
    require_captum,
    saliency,
)


def corner(images: torch.Tensor) -> torch.Tensor:
    """The mean of the upper left quadrant of 8 × 8 pixels."""
    return images[:, 0, :4, :4].mean((1, 2))


class TwoFeatures(nn.Module):
    """An image and its negative as features; the answer is the mean of the first, twice that of the second where `second`."""

    def __init__(self, second: bool = False) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 1, bias=False)
        self.layer.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
        self.second = second

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.layer(images).mean((2, 3))
        return features[:, 0] + (2 * features[:, 1] if self.second else 0)


def test_occlusion_of_a_mean_is_the_share_that_a_window_hides() -> None:
    image = torch.ones(1, 1, 8, 8)
    found = occlusion(corner, image, torch.zeros_like(image), (2, 2))
    assert found.shape == (1, 8, 8)
    assert found[0, :3, :3].numpy() == pytest.approx(4 / 16)  # each window that covers them hides 4 of the 16 pixels
    assert found[0, 3, 3].item() == pytest.approx((4 + 2 + 2 + 1) / 4 / 16) and found[0, 5:].abs().max() == 0
    volume = torch.ones(1, 2, 4, 8, 8)
    deep = occlusion(lambda images: images[:, 1, :2].mean((1, 2, 3)), volume, torch.zeros_like(volume), (2, 8, 8))
    assert deep.shape == (1, 4, 8, 8) and deep[0, :, 0, 0].tolist() == pytest.approx([1, 0.75, 0.25, 0])


def test_the_gradient_of_a_mean_is_the_same_in_its_quadrant_and_nothing_elsewhere() -> None:
    with torch.inference_mode():  # as prediction runs
        image = torch.rand(2, 1, 8, 8)
    found = saliency(corner, image)
    assert found.shape == image.shape and found[:, 0, :4, :4].numpy() == pytest.approx(1 / 16)
    assert found.sum().item() == pytest.approx(2.0)


def test_grad_cam_weights_features_by_their_mean_gradient() -> None:
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, :2, :2] = 16.0
    plain, against = TwoFeatures(), TwoFeatures(second=True)
    assert grad_cam(plain, plain.layer, image, (4, 4)).numpy() == pytest.approx(image[0].numpy() / 16)
    # 1/16 of the first and 2/16 of the second feature: 1/16 x - 2/16 x
    assert grad_cam(against, against.layer, image, (4, 4)).numpy() == pytest.approx(-image[0].numpy() / 16)
    assert grad_cam(plain, plain.layer, image, (8, 8)).shape == (1, 8, 8)


def test_occluded_voxels_become_the_foregrounds_median_and_the_air_stays_air() -> None:
    image = torch.tensor([[[[0.0, 1.0, 2.0, 9.0]], [[0.0, 0.0, 0.0, 0.0]]]])
    assert foreground_median(image)[0, :, 0].tolist() == [[0, 2, 2, 2], [0, 0, 0, 0]]


def test_a_map_of_random_weights_is_another_map() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    others = [randomized(network, seed) for seed in (0, 0, 1)]
    weights = [other[0].weight for other in others]  # type: ignore[index]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], network[0].weight)
    ramp = np.arange(12.0).reshape(3, 4)
    assert rank_correlation(ramp, ramp**3) == pytest.approx(1) and rank_correlation(ramp, -ramp) == pytest.approx(-1)
    assert rank_correlation(ramp, np.ones_like(ramp)) is None


def test_without_captum_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "has_captum", lambda: False)
    with pytest.raises(AutosegError, match=r"^--explain needs the package captum, .*: pip install 'autoseg\[explain\]'$"):
        require_captum()
