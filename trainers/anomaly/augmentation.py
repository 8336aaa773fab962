"""Augmentation of what the discriminator sees, real and generated alike: differentiable (DiffAugment; Zhao et al. 2020).

Since both are changed in the same ways, and gradients pass through, the generator does not learn the changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

BRIGHTNESS = 0.5  # largest change, up or down, of values between -1 and 1
CONTRAST = (0.5, 1.5)
SHIFT = 1 / 8  # largest share of the edge
HOLE = 1 / 2  # share of the edge


def augment(images: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
    """Return each image changed at random by each of AUGMENTATIONS that is named. images: (B, C, S, S) between -1 and 1."""
    for name in names:
        images = AUGMENTATIONS[name](images)
    return images


def _intensity(images: torch.Tensor) -> torch.Tensor:
    """Change brightness, and contrast around the mean of the image."""
    brightness = _uniform(images, -BRIGHTNESS, BRIGHTNESS)
    contrast = _uniform(images, *CONTRAST)
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * contrast + mean + brightness


def _translation(images: torch.Tensor) -> torch.Tensor:
    """Shift images by whole pixels, with zeros where nothing was."""
    size = images.shape[-1]
    most = max(1, round(size * SHIFT))
    padded = functional.pad(images, (most,) * 4)
    rows, columns = (torch.randint(0, 2 * most + 1, (len(images), 1), device=images.device) for _ in range(2))
    along = torch.arange(size, device=images.device)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    shifted = padded.permute(0, 2, 3, 1)[batch, (rows + along)[:, :, None], (columns + along)[:, None, :]]
    return shifted.permute(0, 3, 1, 2)


def _cutout(images: torch.Tensor) -> torch.Tensor:
    """Set a square of half the edge to zero, anywhere in the image (DeVries and Taylor 2017)."""
    size = images.shape[-1]
    hole = round(size * HOLE)
    corner = torch.randint(-(hole // 2), size - hole // 2, (2, len(images), 1), device=images.device)
    along = torch.arange(size, device=images.device)
    rows, columns = (along >= corner) & (along < corner + hole)
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


def _uniform(images: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(low, high)


AUGMENTATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "intensity": _intensity, "translation": _translation, "cutout": _cutout}
