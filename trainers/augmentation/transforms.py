"""The sets of transforms: how often each one is drawn, and from which range."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TransformSet:
    """The probability of each transform for a sample, zero for one that the set does not have, and the ranges that differ.

    rotation_limit: radians about each axis of a 3D patch; patches that are turned in-plane only have limits of their own.
    scaling_around_one: whether a scaling below one is as likely as one above it, else all of the range alike.
    elastic_alpha, elastic_alpha_2d: strength of the elastic deformation (see `ElasticField`), in 3D and in-plane.
    elastic_sigma: its smoothness, voxels. Mirroring (a half for each axis) is in every set.
    """

    rotation: float
    rotation_limit: float
    scaling: float
    scaling_range: tuple[float, float]
    gamma: float
    scaling_around_one: bool = False
    elastic: float = 0.0
    elastic_alpha: tuple[float, float] = (0.0, 900.0)
    elastic_alpha_2d: tuple[float, float] = (0.0, 200.0)
    elastic_sigma: tuple[float, float] = (9.0, 13.0)
    noise: float = 0.0
    blur: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    low_resolution: float = 0.0
    inverted_gamma: float = 0.0


AUGMENTATIONS = {
    # nnU-Net v2 (Isensee et al. 2021, supplementary note 4; batchgeneratorsv2 for the values): see docs/training_parity.md
    "default": TransformSet(
        rotation=0.2, rotation_limit=math.radians(30), scaling=0.2, scaling_range=(0.7, 1.4), gamma=0.3, noise=0.1, blur=0.2,
        brightness=0.15, contrast=0.15, low_resolution=0.25, inverted_gamma=0.1),
    # MSS U-Net (Zhao and Zeng 2019) names the transforms; the values are those of the nnU-Net of 2019, which it followed
    "elastic": TransformSet(
        rotation=0.2, rotation_limit=math.radians(15), scaling=0.2, scaling_range=(0.85, 1.25), gamma=0.3,
        scaling_around_one=True, elastic=0.2),
}


def evenly_around_one(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number below one or above it with equal probability, whatever the widths of the two sides."""
    return float(rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high))
