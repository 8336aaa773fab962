"""The search ends where it is known to end, for each slice by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.errors import AutosegError
from autoseg.tasks.anomaly.dcgan import Discriminator, Encoder, GanShape, Generator
from autoseg.tasks.anomaly.detector import fused
from autoseg.tasks.anomaly.model import GanNetworks
from autoseg.tasks.anomaly.options import SearchSettings
from autoseg.tasks.anomaly.search import Found, search

TARGET = [0.5, -0.25, 0.125, 0.75]


class Scaled(Generator):
    """Latent vectors of 4, each the 4 pixels of an image, times a factor: the best one is the image by that factor."""

    def __init__(self, factor: float = 1.0) -> None:
        nn.Module.__init__(self)
        self.latent, self.factor = 4, factor

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return self.factor * latent.reshape(-1, 1, 2, 2)


class Tripled(Discriminator):
    """Its hidden layer is the image times three."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return 3 * images


class Constant(Encoder):
    """Proposes the same vector for every image, or `None`: the image itself."""

    def __init__(self, value: float | None) -> None:
        nn.Module.__init__(self)
        self.value = value

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        flat = images.flatten(1)
        return flat.clone() if self.value is None else torch.full_like(flat, self.value)


def simple(factor: float = 1.0, encoder: Encoder | None = None) -> GanNetworks:
    return GanNetworks(Scaled(factor), Tripled(), encoder)


def slices(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows).reshape(-1, 1, 2, 2)


def found(networks: GanNetworks, images: torch.Tensor, *, seed: int = 0, positions: Any = None, **settings: Any) -> Found:
    return search(networks, images, SearchSettings.model_validate(settings), seed, positions=positions, precision="float32")


def real_networks(has_encoder: bool = True, spectral: bool = False) -> GanNetworks:
    """A DCGAN of 16 × 16 pixels with random weights and statistics, in eval mode."""
    torch.manual_seed(1)
    shape = GanShape(image_size=16, channels=1, latent=6, conv_layers=2, features=4)
    networks = GanNetworks(Generator(shape), Discriminator(shape, spectral), Encoder(shape) if has_encoder else None)
    for network in networks:
        with torch.no_grad():
            network(torch.randn(8, 6) if isinstance(network, Generator) else torch.randn(8, 1, 16, 16))  # statistics
            for name, values in network.state_dict().items():
                if values.dim() == 4 and name.endswith(("weight", "original")):
                    values.normal_(0, 0.3)
        network.eval().requires_grad_(False)
    return networks


def random_slices(count: int) -> torch.Tensor:
    return torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_proposal_alone_is_scored_by_hand() -> None:
    result = found(simple(encoder=Constant(0.0)), slices(TARGET, [1.0, 0.0, 0.0, 0.0]), search_steps=0)
    np.testing.assert_allclose(result.residual, [1.625, 1.0])
    np.testing.assert_allclose(result.discrimination, [4.875, 3.0])
    np.testing.assert_allclose(result.score, [0.9 * 1.625 + 0.1 * 4.875, 1.2], rtol=1e-6)
    np.testing.assert_array_equal(result.steps, [0, 0])
    np.testing.assert_array_equal(result.generated, np.zeros((2, 1, 2, 2)))
    np.testing.assert_allclose(result.maps[0], np.abs(TARGET).reshape(2, 2))
    assert {values.dtype for values in (result.score, result.residual, result.discrimination, result.maps)} == {np.dtype("f4")}


def test_the_known_vector_is_found() -> None:
    result = found(simple(0.8), slices(TARGET), search_steps=400, search_rate=0.02)
    assert result.residual[0] < 4 * 0.02 / 2  # no farther off than a part of a step in each entry
    np.testing.assert_allclose(result.generated.reshape(4), TARGET, atol=0.02)


def test_vectors_stay_in_the_cube_where_they_are_clipped() -> None:
    image = slices([0.9, 0.9, 0.9, 0.9])
    assert found(simple(0.5), image, search_steps=300).residual[0] == pytest.approx(4 * (0.9 - 0.5), abs=1e-5)
    assert found(simple(0.5), image, search_steps=300, clip_latent=False).residual[0] < 0.05


def test_updates_are_those_of_adam_and_the_best_vector_counts_not_the_last() -> None:
    images, steps = slices([0.512, -0.237, 0.131, 0.773], [-0.513, 0.117, 0.023, 0.041]), 40
    latent = torch.zeros(2, 4, requires_grad=True)
    adam, losses = torch.optim.Adam([latent], lr=0.05), []
    for _ in range(steps):
        loss = 1.2 * (images.flatten(1) - latent).abs().sum(1)
        losses.append(loss.detach().numpy())
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
    losses.append(1.2 * (images.flatten(1) - latent.detach()).abs().sum(1).numpy())
    result = found(simple(encoder=Constant(0.0)), images, search_steps=steps, search_rate=0.05)
    np.testing.assert_allclose(result.score, np.min(losses, axis=0), rtol=1e-4)
    assert (result.score < losses[-1]).any()


def test_each_slice_ends_when_it_no_longer_improves() -> None:
    exact = found(simple(encoder=Constant(None)), slices(TARGET, TARGET), search_steps=50, patience=5)
    np.testing.assert_array_equal(exact.steps, [5, 5])
    assert exact.score.tolist() == [0, 0]
    both = found(simple(encoder=Constant(0.5)), slices([0.5] * 4, [-0.9] * 4), search_steps=50, patience=5, search_rate=0.02)
    np.testing.assert_array_equal(both.steps, [5, 50])  # 1.4 at 0.02 an update takes 70


def test_a_slice_is_found_alike_whichever_others_are_searched_with_it() -> None:
    networks, images = real_networks(), random_slices(5)
    for start in ("encoder", "random"):
        settings = {"search_steps": 60, "patience": 4, "tolerance": 0.01, "restarts": 2, "start": start}
        together = found(networks, images, **settings)
        assert len(set(together.steps.tolist())) > 1  # some left earlier
        for index in (0, 3):
            alone = found(networks, images[index: index + 1], positions=[index], **settings)
            np.testing.assert_allclose(alone.score, together.score[index], rtol=1e-4)
            np.testing.assert_allclose(alone.generated[0], together.generated[index], atol=1e-3)
            assert alone.steps[0] == together.steps[index]


def test_parts_that_fit_into_memory_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    networks, images = real_networks(), random_slices(5)
    whole = found(networks, images, search_steps=10, start="random")
    monkeypatch.setattr("autoseg.tasks.anomaly.search.VALUES_AT_ONCE", 2 * 256)
    shares: list[float] = []
    parts = search(networks, images, SearchSettings(search_steps=10, start="random"), 0, shares.append, precision="float32")
    np.testing.assert_allclose(parts.score, whole.score, rtol=1e-4)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)


def test_restarts_are_never_worse_and_begin_elsewhere() -> None:
    networks, images = real_networks(), random_slices(6)
    once, thrice = (found(networks, images, search_steps=10, restarts=restarts) for restarts in (1, 3))
    assert (thrice.score <= once.score).all() and (thrice.score < once.score).any()
    np.testing.assert_array_equal(thrice.steps, [30] * 6)


def test_random_starts_follow_seed_and_position_alone() -> None:
    networks, images = real_networks(has_encoder=False), random_slices(1).repeat(3, 1, 1, 1)
    first = found(networks, images, search_steps=0, positions=[0, 1, 0])
    assert first.score[0] == first.score[2] != first.score[1]
    np.testing.assert_array_equal(found(networks, images, search_steps=0, positions=[0, 1, 0]).score, first.score)
    assert found(networks, images, search_steps=0, seed=1).score[0] != first.score[0]


def test_an_encoder_that_is_not_there_is_told() -> None:
    with pytest.raises(AutosegError, match="start=encoder: this detector was trained without an encoder"):
        found(simple(), slices(TARGET), start="encoder")


@pytest.mark.parametrize("spectral", [False, True])
def test_fused_networks_give_the_same(spectral: bool) -> None:
    networks, images = real_networks(spectral=spectral), random_slices(3)
    faster = fused(networks)
    names = [type(module).__name__ for network in faster for module in network.modules()]
    assert "BatchNorm2d" not in names and not any(name.startswith("Parametrized") for name in names)
    assert any(isinstance(module, nn.BatchNorm2d) for module in networks.generator.modules())  # the original stays
    latent = torch.rand(3, 6) * 2 - 1
    assert faster.encoder is not None and networks.encoder is not None
    for mine, known in ((faster.generator(latent), networks.generator(latent)),
                        (faster.discriminator.features(images), networks.discriminator.features(images)),
                        (faster.discriminator(images), networks.discriminator(images)),
                        (faster.encoder(images), networks.encoder(images))):
        torch.testing.assert_close(mine, known, rtol=1e-4, atol=1e-5)


def test_bfloat16_finds_nearly_the_same_scores() -> None:
    networks, images = real_networks(), random_slices(4)
    settings = SearchSettings(search_steps=100)
    precise, rounded = (search(networks, images, settings, 0, precision=p) for p in ("float32", "bfloat16"))
    np.testing.assert_allclose(rounded.score, precise.score, rtol=0.02)
