"""Augmentation: what is drawn for a sample, and how it is applied, on whatever device the sample lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from autoseg.preprocessing.pipeline import OUTSIDE
from autoseg.sides import swaps
from autoseg.trainers.augmentation.intensity import change_intensities
from autoseg.trainers.augmentation.spatial import SpatialDraw, draw_spatial, is_flat, turned_round, warp
from autoseg.trainers.augmentation.transforms import AUGMENTATIONS, TransformSet

__all__ = ["AUGMENTATIONS", "Augmentation", "SpatialDraw", "TransformSet", "turned_round", "warp"]


@dataclass(frozen=True)
class Augmentation:
    """Draws transforms and applies them. patch_size: (z, y, x) or (y, x). mirror_axes: 0 is the patch's first axis.

    masked_channels: channels that are 0 outside of the non-zero mask, where the label is negative, and stay so.
    swap_axes: where an odd number of them is mirrored, left and right change places. swapped: label values, and what they become.
    """

    patch_size: tuple[int, ...]
    mirror_axes: tuple[int, ...]
    masked_channels: tuple[int, ...] = ()
    transforms: TransformSet = AUGMENTATIONS["default"]
    swap_axes: tuple[int, ...] = ()
    swapped: tuple[tuple[int, int], ...] = ()

    def draw_spatial(self, rng: np.random.Generator) -> SpatialDraw | None:
        """Draw the transform that moves voxels; None where nothing moves them."""
        return draw_spatial(self.patch_size, self.transforms, rng)

    def apply(
        self, image: torch.Tensor, label: torch.Tensor, spatial: SpatialDraw | None, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return patches (C, *patch) and (L, *patch) of an image (C, *region) float32 and labels (L, *region) int16: the label,
        and a previous stage's, if there is one.

        A negative label lies outside of the mask, and stays negative.
        """
        rng = np.random.default_rng(seed)
        if spatial is not None:
            border = OUTSIDE if self.masked_channels else 0
            image, label = warp(image, label, spatial.matrix, self.patch_size, spatial.elastic, border)
        image = change_intensities(image, rng, self.transforms, spared=(0,) if is_flat(self.patch_size) else ())
        for channel in self.masked_channels:
            image[channel].masked_fill_(label[0] < 0, 0)
        mirrored = [axis for axis in self.mirror_axes if rng.random() < 0.5]
        if mirrored:
            flipped = [axis + 1 for axis in mirrored]
            image, label = image.flip(flipped), label.flip(flipped)
        return image, swap(label, self.swapped) if swaps(self.swap_axes, mirrored) else label


def swap(label: torch.Tensor, values: tuple[tuple[int, int], ...]) -> torch.Tensor:
    """Return a label in which these values (first of each pair) have become others. Any shape, int16 of -1 or more -> same."""
    becomes = torch.arange(-1, torch.iinfo(torch.int16).max + 1, device=label.device)
    now, then = torch.tensor(values, device=label.device).T
    becomes[now + 1] = then
    return becomes.to(label.dtype)[label.long() + 1]
