"""DCGAN's networks: the published rules, parameters counted by hand, first weights, spectral norm, and shapes that cannot be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoseg.errors import AutosegError
from autoseg.tasks.anomaly.dcgan import Discriminator, Encoder, GanShape, Generator, require_buildable

SMALL = GanShape(image_size=16, channels=1, latent=5, conv_layers=2, features=3)
shapes = pytest.mark.parametrize("shape", [
    GanShape(image_size=64, channels=1, latent=100, conv_layers=4, features=4),
    GanShape(image_size=64, channels=3, latent=7, conv_layers=2, features=2),
    GanShape(image_size=128, channels=2, latent=9, conv_layers=5, features=2),
    GanShape(image_size=256, channels=1, latent=10, conv_layers=6, features=1),
    GanShape(image_size=64, channels=1, latent=4, conv_layers=5, features=1),
    GanShape(image_size=16, channels=1, latent=4, conv_layers=1, features=2),
], ids=lambda shape: f"{shape.image_size} pixels, {shape.conv_layers} layers, {shape.channels} channels")


def networks_of(shape: GanShape, spectral: bool = False) -> tuple[Generator, Discriminator, Encoder]:
    torch.manual_seed(0)
    return Generator(shape), Discriminator(shape, spectral), Encoder(shape)


def parameters_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def kinds_of(network: nn.Module) -> list[str]:
    """Class names of the layers, first to last; of layers that have spectral norm, that of the layer."""
    layers = [module for module in network.modules() if isinstance(
        module, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, nn.Tanh))]
    return [type(layer).__name__.removeprefix("Parametrized") for layer in layers]


@shapes
def test_each_network_gives_what_it_says_in_the_shape_that_it_says(shape: GanShape) -> None:
    generator, discriminator, encoder = networks_of(shape)
    images = generator(torch.rand(2, shape.latent) * 2 - 1)
    assert images.shape == (2, shape.channels, shape.image_size, shape.image_size)
    assert float(images.detach().abs().max()) <= 1
    assert discriminator(images).shape == (2,)
    coarsest = shape.image_size // 2**shape.conv_layers
    assert discriminator.features(images).shape == (2, shape.features * min(2**(shape.conv_layers - 1), 8), coarsest, coarsest)
    latent = encoder(images * 100)
    assert latent.shape == (2, shape.latent) and float(latent.detach().abs().max()) <= 1


@shapes
def test_all_weights_learn(shape: GanShape) -> None:
    generator, discriminator, encoder = networks_of(shape)
    images = generator(torch.rand(3, shape.latent) * 2 - 1)
    (discriminator(images).square().sum() + encoder(images).square().sum()).backward()
    for network in (generator, discriminator, encoder):
        assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in network.parameters())


@shapes
def test_the_layers_are_those_of_the_published_rules(shape: GanShape) -> None:
    """Radford et al. 2016: strides instead of pooling, no fully connected layer, batch norm but at the generator's end and the
    discriminator's start, ReLU and a last tanh in the generator, LeakyReLU(0.2) in the discriminator."""
    generator, discriminator, encoder = networks_of(shape)
    halvings = ["Conv2d", "LeakyReLU", *["Conv2d", "BatchNorm2d", "LeakyReLU"] * (shape.conv_layers - 1)]
    assert kinds_of(generator) == [*["ConvTranspose2d", "BatchNorm2d", "ReLU"] * shape.conv_layers, "ConvTranspose2d", "Tanh"]
    assert kinds_of(discriminator) == kinds_of(encoder) == [*halvings, "Conv2d"]
    for network in (generator, discriminator, encoder):
        assert not any(isinstance(module, nn.Linear) or "Pool" in type(module).__name__ for module in network.modules())
        assert all(module.negative_slope == 0.2 for module in network.modules() if isinstance(module, nn.LeakyReLU))
    convolutions = [module for module in discriminator.modules() if isinstance(module, nn.Conv2d)]
    assert [convolution.stride for convolution in convolutions] == [(2, 2)] * shape.conv_layers + [(1, 1)]


def test_as_many_parameters_as_counted_by_hand() -> None:
    """16 pixels, two halvings, 3 and 6 features, edge 4 in the middle; kernels of 4 × 4 = 16; a batch norm has 2 per channel."""
    generator, discriminator, encoder = networks_of(SMALL)
    doublings = 5 * 6 * 16 + 2 * 6 + 6 * 3 * 16 + 2 * 3
    assert parameters_of(generator) == doublings + (3 * 1 * 16 + 1) == 835
    halvings = (1 * 3 * 16 + 3) + 3 * 6 * 16 + 2 * 6
    assert parameters_of(discriminator) == halvings + (6 * 1 * 16 + 1) == 448
    assert parameters_of(encoder) == halvings + (6 * 5 * 16 + 5) == 836
    _, with_spectral_norm, _ = networks_of(SMALL, spectral=True)
    assert parameters_of(with_spectral_norm) == (1 * 3 * 16 + 3) + (3 * 6 * 16 + 6) + (6 * 1 * 16 + 1) == 442


def test_the_published_networks_for_64_pixels_have_the_parameters_that_are_reported() -> None:
    """PyTorch's DCGAN example (latent 100, 64 features, 3 channels) has 3 576 704 and 2 765 568 without any bias: the generator's
    last layer has 3 here, the discriminator's first one 64, and its last one 1."""
    generator, discriminator, _ = networks_of(GanShape(image_size=64, channels=3, latent=100, conv_layers=4, features=64))
    assert parameters_of(generator) == 3_576_704 + 3
    assert parameters_of(discriminator) == 2_765_568 + 64 + 1


@pytest.mark.parametrize("spectral", [False, True])
def test_weights_begin_as_published(spectral: bool) -> None:
    """N(0, 0.02²) for convolutions, N(1, 0.02²) for the scale of batch norm, 0 for what is added."""
    shape = GanShape(image_size=64, channels=1, latent=50, conv_layers=4, features=16)
    for network in networks_of(shape, spectral):
        named = dict(network.named_parameters())
        weights = torch.cat([values.flatten() for values in named.values() if values.dim() == 4])
        assert float(weights.detach().mean()) == pytest.approx(0, abs=5e-4)
        assert float(weights.detach().std()) == pytest.approx(0.02, rel=0.02)
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        scales = torch.cat([norm.weight.detach() for norm in norms]) if norms else torch.empty(0)
        without = spectral and isinstance(network, Discriminator)
        assert len(norms) == (0 if without else 4 if isinstance(network, Generator) else 3)
        if norms:
            assert float(scales.mean()) == pytest.approx(1, abs=0.01) and float(scales.std()) == pytest.approx(0.02, rel=0.25)
        assert not any(bool(values.any()) for name, values in named.items() if name.endswith("bias"))


def test_spectral_norm_keeps_every_convolutions_largest_singular_value_at_one() -> None:
    """Miyato et al. 2018: of the kernel as a matrix (out, in × height × width); it replaces batch norm."""
    torch.manual_seed(0)
    shape = GanShape(image_size=32, channels=2, latent=4, conv_layers=3, features=6)
    discriminator = Discriminator(shape, spectral=True)
    assert "BatchNorm2d" not in kinds_of(discriminator)
    optimizer = torch.optim.SGD(discriminator.parameters(), 0.1)
    for _ in range(20):
        optimizer.zero_grad()
        discriminator(torch.randn(4, 2, 32, 32)).square().mean().backward()
        optimizer.step()
    for _ in range(20):
        discriminator(torch.randn(1, 2, 32, 32))
    discriminator.eval()
    convolutions = [module for module in discriminator.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 4
    for convolution in convolutions:
        largest = torch.linalg.svdvals(convolution.weight.detach().flatten(1))[0]
        assert float(largest) == pytest.approx(1, abs=0.02)


def test_without_spectral_norm_singular_values_are_as_they_are() -> None:
    _, discriminator, _ = networks_of(SMALL)
    largest = [float(torch.linalg.svdvals(module.weight.detach().flatten(1))[0]) for module in discriminator.modules()
               if isinstance(module, nn.Conv2d)]
    assert max(largest) < 0.5


def test_features_double_with_each_coarser_layer_up_to_eight_times() -> None:
    shape = GanShape(image_size=256, channels=1, latent=1, conv_layers=6, features=5)
    assert shape.widths == [5, 10, 20, 40, 40, 40] and shape.start == 4


@pytest.mark.parametrize(("size", "layers", "remedy"), [
    (64, 6, "Take 3 or 4 or 5,"), (128, 7, "Take 4 or 5 or 6,"), (256, 8, "Take 5 or 6 or 7,"), (48, 5, "Take 2 or 3 or 4,"),
])
def test_images_that_cannot_be_halved_so_often_are_told_what_can_be(size: int, layers: int, remedy: str) -> None:
    def shape(layers: int) -> GanShape:
        return GanShape(image_size=size, channels=1, latent=4, conv_layers=layers, features=1)

    with pytest.raises(AutosegError, match=f"conv_layers={layers}: images of {size} pixels cannot .* {remedy}.*--image-size"):
        require_buildable(shape(layers))
    for possible in map(int, remedy.strip("Take ,").split(" or ")):
        require_buildable(shape(possible))
