"""DCGAN (Radford, Metz and Chintala 2016): a generator of images from latent vectors, a discriminator, and an encoder.

Their rules: strides instead of pooling, no fully connected layer, batch norm in both networks but at the generator's end and the
discriminator's start, ReLU and a last tanh in the generator, LeakyReLU(0.2) in the discriminator, weights from N(0, 0.02²). The
discriminator gives logits; its sigmoid is D(x). The encoder is that of f-AnoGAN (Schlegl et al. 2019): built as the
discriminator is, it proposes the latent vector of an image.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from autoseg.bounds import Features, PatchEdge
from autoseg.errors import AutosegError
from autoseg.networks.convolutions import Conv2d, ConvTranspose2d
from autoseg.plan import Frozen

SMALLEST_START = 2  # edge of the coarsest feature maps, pixels
WIDEST = 8  # times `features`
WEIGHT_STD = 0.02


class GanShape(Frozen):
    """The shape that the networks of a GAN share.

    image_size: edge of the square images, pixels. channels: of the images. latent: entries of a latent vector. conv_layers: that
    halve or double the resolution, in each network. features: channels of the finest hidden layer; they double with each
    coarser one, up to 8 times.
    """

    image_size: PatchEdge
    channels: Features
    latent: Features
    conv_layers: int = Field(ge=1, le=8)
    features: Features

    @property
    def start(self) -> int:
        """Return the edge of the coarsest feature maps, pixels."""
        return self.image_size >> self.conv_layers

    @property
    def widths(self) -> list[int]:
        """Return the channels of the hidden layers, finest first; the finest has half the image's resolution."""
        return [self.features * min(2**level, WIDEST) for level in range(self.conv_layers)]


def require_buildable(shape: GanShape) -> None:
    """Raise AutosegError where the image cannot be halved so often."""
    if shape.start < SMALLEST_START or shape.start << shape.conv_layers != shape.image_size:
        fits = [n for n in range(1, 12) if shape.image_size % 2**n == 0 and shape.image_size >> n >= SMALLEST_START]
        raise AutosegError(
            f"conv_layers={shape.conv_layers}: images of {shape.image_size} pixels cannot be halved so often. Take "
            f"{' or '.join(map(str, fits[-3:]))}, or plan another --image-size.")


class Generator(nn.Module):
    """(B, latent) -> (B, C, size, size), values between -1 and 1."""

    def __init__(self, shape: GanShape) -> None:
        super().__init__()
        self.latent = shape.latent
        *finer, coarsest = shape.widths
        layers: list[nn.Module] = [
            ConvTranspose2d(shape.latent, coarsest, shape.start, bias=False), nn.BatchNorm2d(coarsest), nn.ReLU(inplace=True)]
        width = coarsest
        for finer_width in reversed(finer):
            layers += [ConvTranspose2d(width, finer_width, 4, 2, 1, bias=False), nn.BatchNorm2d(finer_width),
                       nn.ReLU(inplace=True)]
            width = finer_width
        layers += [ConvTranspose2d(width, shape.channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(_initialize)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.layers(latent[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """(B, C, size, size) -> logits (B,): above 0 for images that it takes for real ones."""

    def __init__(self, shape: GanShape, spectral: bool = False) -> None:
        """spectral: every convolution has spectral norm 1 (Miyato et al. 2018), instead of batch norm."""
        super().__init__()
        self.layers = _halving(shape, spectral)
        self.head = Conv2d(shape.widths[-1], 1, shape.start)
        self.apply(_initialize)
        if spectral:  # last: such weights are computed at each use, and initializing what was computed would change nothing
            for module in [module for module in self.modules() if isinstance(module, nn.Conv2d)]:
                spectral_norm(module)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last hidden layer, (B, widths[-1], start, start)."""
        maps: torch.Tensor = self.layers(images)
        return maps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.features(images)).flatten()
        return logits


class Encoder(nn.Module):
    """(B, C, size, size) -> latent vectors (B, latent), entries between -1 and 1."""

    def __init__(self, shape: GanShape) -> None:
        super().__init__()
        self.layers = _halving(shape, spectral=False)
        self.head = Conv2d(shape.widths[-1], shape.latent, shape.start)
        self.apply(_initialize)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.head(self.layers(images)).flatten(1))


def _halving(shape: GanShape, spectral: bool) -> nn.Sequential:
    """Return the layers that halve the resolution, one after the other. spectral: without batch norm."""
    layers: list[nn.Module] = []
    width = shape.channels
    for level, wider in enumerate(shape.widths):
        is_first = level == 0
        layers.append(Conv2d(width, wider, 4, 2, 1, bias=spectral or is_first))
        if not (spectral or is_first):
            layers.append(nn.BatchNorm2d(wider))
        layers.append(nn.LeakyReLU(0.2))
        width = wider
    return nn.Sequential(*layers)


def _initialize(module: nn.Module) -> None:
    if getattr(module, "weight", None) is None or module.weight.is_meta:  # without values: see `initialize_he`
        return
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, WEIGHT_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, WEIGHT_STD)
        nn.init.zeros_(module.bias)
