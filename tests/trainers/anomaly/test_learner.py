"""One step of a GAN, and of its encoder, against plain PyTorch; their state; and that they learn."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from autoseg.tasks.anomaly.dcgan import GanShape
from autoseg.trainers.anomaly import learner as gan_learner
from autoseg.trainers.anomaly.learner import GanLearner
from autoseg.trainers.anomaly.settings import AnomalySettings

CPU = torch.device("cpu")
SHAPE = GanShape(image_size=16, channels=1, latent=4, conv_layers=2, features=4)
MakeLearner = Callable[..., GanLearner]
Weights = dict[str, torch.Tensor]


@pytest.fixture
def make_learner(settings_of: Callable[..., AnomalySettings]) -> MakeLearner:
    """A function that gives a learner, with settings of its own."""
    return lambda **changes: GanLearner(SHAPE, settings_of(**changes), CPU)


def real_images(count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.rand(count, 1, 16, 16, generator=generator) * 2 - 1


def weights_of(learner: GanLearner) -> dict[str, Weights]:
    """A copy, by network."""
    networks = {**learner.modules, "last_generator": learner.generator}
    return {name: copy.deepcopy(network.state_dict()) for name, network in networks.items()}


def same(one: Weights, other: Weights) -> bool:
    return all(torch.equal(values, other[name]) for name, values in one.items())


class Judge(nn.Module):
    """Gives logit 2 to images that are 1 everywhere, and -1 to all others."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        of_ones = (images == 1).all(dim=(1, 2, 3))
        return torch.where(of_ones, 2.0, -1.0) + self.nothing * images.sum((1, 2, 3))


@pytest.mark.parametrize(("smoothing", "of_real"), [
    (0.1, -0.9 * math.log(1 / (1 + math.exp(-2))) - 0.1 * math.log(1 - 1 / (1 + math.exp(-2)))),  # cross entropy with 0.9
    (0.0, math.log(1 + math.exp(-2))),
])
def test_losses_are_those_of_logits_that_are_known(make_learner: MakeLearner, smoothing: float, of_real: float) -> None:
    """Real images 2, generated -1: these count as 0 for the discriminator, and should count as 1 for the generator."""
    learner = make_learner(label_smoothing=smoothing, discriminator_augmentation=())
    learner.discriminator = Judge()  # type: ignore[assignment]
    given = learner.training_step(torch.ones(3, 1, 16, 16))
    discriminator_loss, generator_loss = of_real + math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    assert given == pytest.approx({
        "loss": discriminator_loss + generator_loss, "generator_loss": generator_loss,
        "discriminator_loss": discriminator_loss, "D(x)": 1 / (1 + math.exp(-2)), "D(G(z))": 1 / (1 + math.exp(1))}, rel=1e-5)


@pytest.mark.parametrize("spectral", [False, True])
def test_a_step_is_one_of_adam_for_the_discriminator_and_then_one_for_the_generator(
    make_learner: MakeLearner, spectral: bool
) -> None:
    """Against the training of Radford et al. 2016, Adam(0.0002, 0.5), written out."""
    learner = make_learner(discriminator_augmentation=(), label_smoothing=0.1, discriminator_rate=1e-3, spectral_norm=spectral)
    generator, discriminator = copy.deepcopy(learner.generator), copy.deepcopy(learner.discriminator)
    adams = [torch.optim.Adam(generator.parameters(), 2e-4, (0.5, 0.999)),
             torch.optim.Adam(discriminator.parameters(), 1e-3, (0.5, 0.999))]
    bce, real = nn.BCEWithLogitsLoss(), real_images()
    torch.manual_seed(3)
    for _ in range(2):
        learner.training_step(real)
    torch.manual_seed(3)
    for _ in range(2):
        generated = generator(torch.rand(6, 4) * 2 - 1)
        adams[1].zero_grad()
        (bce(discriminator(real), torch.full((6,), 0.9)) + bce(discriminator(generated.detach()), torch.zeros(6))).backward()
        adams[1].step()
        adams[0].zero_grad()
        bce(discriminator(generated), torch.ones(6)).backward()
        adams[0].step()
    for mine, expected in ((learner.generator, generator), (learner.discriminator, discriminator)):
        assert same(mine.state_dict(), expected.state_dict())


def test_real_and_generated_images_are_augmented_in_the_same_ways(
    make_learner: MakeLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the discriminator's step both, and what the generator learns from, with gradients; the encoder sees them as they are."""
    seen: list[tuple[tuple[str, ...], bool]] = []

    def augment(images: torch.Tensor, names: tuple[str, ...]) -> torch.Tensor:
        seen.append((names, images.requires_grad))
        return images

    monkeypatch.setattr(gan_learner, "augment", augment)
    learner = make_learner(discriminator_augmentation=("translation", "cutout"), encoder=True)
    learner.training_step(real_images())
    assert seen == [(("translation", "cutout"), is_for_generator) for is_for_generator in (False, False, True)]
    learner.set_progress(1.0)
    learner.training_step(real_images())
    assert len(seen) == 3


def test_first_the_gan_is_trained_and_in_the_last_share_the_encoder_alone(make_learner: MakeLearner) -> None:
    learner = make_learner(encoder=True, encoder_share=0.25)
    before = weights_of(learner)
    learner.set_progress(0.74)
    given = learner.training_step(real_images())
    between = weights_of(learner)
    assert set(given) == {"loss", "generator_loss", "discriminator_loss", "D(x)", "D(G(z))"}
    assert same(before["encoder"], between["encoder"])
    for name in ("generator", "last_generator", "discriminator"):
        assert not same(before[name], between[name])
    learner.set_progress(0.75)
    given = learner.training_step(real_images())
    after = weights_of(learner)
    assert set(given) == {"loss", "encoder_loss"} and given["loss"] == given["encoder_loss"]
    assert not same(between["encoder"], after["encoder"])
    for name in ("generator", "last_generator", "discriminator"):
        assert same(between[name], after[name])


def test_without_an_encoder_the_gan_is_trained_to_the_end(make_learner: MakeLearner) -> None:
    learner = make_learner()
    learner.set_progress(1.0)
    assert "generator_loss" in learner.training_step(real_images()) and "encoder" not in learner.modules


def test_the_encoders_loss_is_that_of_izi_f(make_learner: MakeLearner) -> None:
    """Schlegl et al. 2019: mean square of x - G(E(x)), and kappa times that of the discriminator's features of the two."""
    learner = make_learner(encoder=True, encoder_feature_weight=1e4)
    for _ in range(3):
        learner.training_step(real_images())
    encoder = copy.deepcopy(learner.modules["encoder"]).train()
    generator, discriminator = copy.deepcopy(learner.averaged).eval(), copy.deepcopy(learner.discriminator).eval()
    real = real_images(5)
    with torch.no_grad():
        generated = generator(encoder(real))
        residual = (generated - real).square().mean().item()
        features = (discriminator.features(generated) - discriminator.features(real)).square().mean().item()
    learner.set_progress(1.0)
    assert learner.training_step(real)["encoder_loss"] == pytest.approx(residual + 1e4 * features, rel=1e-4)
    assert 1e4 * features > 0.1 * residual  # so that a mistake there would show


@pytest.mark.parametrize("average", [0.999, 0.15, 0.0])
def test_what_generates_in_the_end_is_the_moving_average_of_the_weights(make_learner: MakeLearner, average: float) -> None:
    """Of step n = 0, 1, ... the average keeps (1 + n) / (10 + n) of itself, and never more than `average`."""
    learner = make_learner(average=average)
    expected = copy.deepcopy(learner.generator.state_dict())
    for keep in (min(average, 1 / 10), min(average, 2 / 11), min(average, 3 / 12)):
        learner.training_step(real_images())
        latest = learner.generator.state_dict()
        expected = {name: keep * values + (1 - keep) * latest[name] if values.is_floating_point() else latest[name].clone()
                    for name, values in expected.items()}
    found = learner.modules["generator"].state_dict()
    assert all(torch.allclose(found[name], values, atol=1e-6) for name, values in expected.items())
    assert same(found, learner.generator.state_dict()) == (average == 0)
    assert not any(parameter.requires_grad for parameter in learner.modules["generator"].parameters())


def test_a_learner_that_takes_up_a_state_goes_on_to_the_same_weights(make_learner: MakeLearner) -> None:
    """From within the GAN's share of the training, and from within the encoder's."""
    def train(learner: GanLearner, steps: range) -> None:
        for step in steps:
            torch.manual_seed(step)
            learner.set_progress(step / 8)
            learner.training_step(real_images())

    unbroken = make_learner(encoder=True, encoder_share=0.5)
    train(unbroken, range(8))
    for stop in (2, 6):
        broken = make_learner(encoder=True, encoder_share=0.5)
        train(broken, range(stop))
        state = copy.deepcopy(broken.state_dict())
        train(broken, range(stop, 8))
        going_on = make_learner(encoder=True, encoder_share=0.5, seed=1)
        going_on.load_state_dict(state)
        assert going_on.steps == min(stop, 4)
        train(going_on, range(stop, 8))
        expected, found = weights_of(unbroken), weights_of(going_on)
        assert all(same(expected[name], found[name]) for name in expected)


def test_samples_are_of_the_same_latent_vectors_each_time(make_learner: MakeLearner) -> None:
    learner = make_learner()
    torch.manual_seed(1)
    before = learner.samples(5)
    torch.manual_seed(2)
    assert torch.equal(learner.samples(5), before) and before.shape == (5, 1, 16, 16) and float(before.abs().max()) <= 1
    assert len(before.flatten(1).unique(dim=0)) == 5
    learner.training_step(real_images())
    assert not torch.equal(learner.samples(5), before)
    assert torch.equal(make_learner().samples(5), before)
    assert not torch.equal(make_learner(seed=1).samples(5), before)


@pytest.mark.parametrize(("precision", "dtype"), [
    ("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float32)])
def test_float16_is_avoided_as_no_loss_is_scaled(make_learner: MakeLearner, precision: str, dtype: torch.dtype) -> None:
    learner = make_learner(precision=precision, encoder=True, spectral_norm=precision == "bfloat16")
    assert learner.dtype == dtype
    for progress in (0.0, 1.0):
        learner.set_progress(progress)
        assert all(math.isfinite(value) for value in learner.training_step(real_images()).values())
    assert all(bool(torch.isfinite(values).all()) for weights in weights_of(learner).values() for values in weights.values())


def squares(count: int, seed: int) -> torch.Tensor:
    """Dark images with a bright square at one place, its brightness varying. (count, 1, 16, 16)."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.full((count, 1, 16, 16), -0.8)
    images[:, :, 4:11, 6:13] = 0.3 + 0.5 * torch.rand(count, 1, 1, 1, generator=generator)
    return (images + 0.05 * torch.randn(images.shape, generator=generator)).clamp(-1, 1)


@pytest.mark.parametrize("spectral", [False, True])
def test_a_gan_learns_where_the_bright_square_is(make_learner: MakeLearner, spectral: bool) -> None:
    data = squares(256, seed=0)
    learner = make_learner(features=8, average=0.98, learning_rate=1e-3, spectral_norm=spectral)

    def distances() -> tuple[float, float]:
        """Of the means of generated and real images; of a generated one from the nearest real one."""
        samples = learner.samples(64)
        nearest = torch.cdist(samples.flatten(1), data.flatten(1)).min(1).values
        return functional.l1_loss(samples.mean(0), data.mean(0)).item(), nearest.median().item()

    of_means, of_nearest = distances()
    judged = []
    for step in range(300):
        torch.manual_seed(step)
        judged.append(learner.training_step(data[torch.randint(len(data), (32,))]))
    of_means_now, of_nearest_now = distances()
    assert of_means_now < 0.6 * of_means and of_nearest_now < 0.8 * of_nearest
    assert all(0 <= given[name] <= 1 for given in judged for name in ("D(x)", "D(G(z))"))
    assert max(given["D(x)"] - given["D(G(z))"] for given in judged) > 0.2  # it tells them apart at some time


def test_an_encoder_learns_to_find_the_latent_vector(make_learner: MakeLearner) -> None:
    learner = make_learner(features=8, encoder=True, learning_rate=1e-3)
    with torch.no_grad():  # a generator that shows its latent vector: training it to would take long
        for values in learner.averaged.parameters():
            if values.dim() == 4:
                values.mul_(5)
        images = learner.averaged(torch.rand(256, 4) * 2 - 1)
    learner.set_progress(1.0)
    losses = []
    for step in range(100):
        torch.manual_seed(step)
        losses.append(learner.training_step(images[torch.randint(256, (32,))])["encoder_loss"])
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
