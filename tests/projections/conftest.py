"""Plans of projections for made volumes, and volumes stored in every orientation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Dataset, Labels
from autoseg.image import Image
from autoseg.plan import Topology
from autoseg.projections.plan import ProjectionPlans

ORIENTATIONS = list(product(permutations(range(3)), product((False, True), repeat=3)))
NETWORK = Topology(
    name="unet3plus", features=(4, 8), strides=((1, 1), (2, 2)), kernel_sizes=((3, 3), (3, 3)), convs_per_stage=(1, 1))


@pytest.fixture
def projection_plans() -> Callable[..., ProjectionPlans]:
    """Plans for one channel, found along z and projected along x as a whole, 1 mm pixels, scaled image by image; with changes by
    keyword; `labels` are the dataset's."""

    def make(labels: dict[str, Any] | None = None, **changes: Any) -> ProjectionPlans:
        source = Dataset(
            name="Made", folder=Path("made"), layout="nnunet", channel_names=changes.get("channel_names", ("MRI",)),
            file_ending=".nii.gz", labels=Labels(values=labels or {"background": 0, "L3": 1}), training=())
        return ProjectionPlans.model_validate({
            "dataset": "Made", "versions": {}, "target": {"name": "L3", "labels": ("L3",)}, "axis": "z", "project": "x",
            "slab": 1.0, "channel_names": ("MRI",), "windows": (None,) * len(changes.get("channel_names", ("MRI",))),
            "pixel_mm": 1.0, "size": (16, 16), "batch_size": 2, "epochs": 1, "network": NETWORK, "source": source, **changes})

    return make


def stored_otherwise(image: Image, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Image:
    """The same volume with its array axes (Z, Y, X) taken in another order, then some of them flipped.

    Every voxel stays where it is in the patient.
    """
    old, steps = image.geometry, {}
    for axis in range(3):  # of the array, Z first: its columns of the affine stand the other way round
        steps[axis] = np.reshape(old.direction, (3, 3))[:, 2 - axis]
    corner = np.array(old.origin_mm)
    for axis, flipped in zip(order, flips, strict=True):
        if flipped:
            corner = corner + (image.array.shape[axis + 1] - 1) * old.spacing_mm[axis] * steps[axis]
    signs = [-1 if flipped else 1 for flipped in flips]
    columns = [sign * steps[axis] for axis, sign in zip(order, signs, strict=True)][::-1]
    z, y, x = (old.spacing_mm[axis] for axis in order)
    array = image.array.transpose(0, *(axis + 1 for axis in order))[:, ::signs[0], ::signs[1], ::signs[2]]
    return Image(array, replace(old, spacing_mm=(z, y, x), origin_mm=tuple(map(float, corner)),
                                direction=tuple(map(float, np.stack(columns, 1).ravel()))))


@pytest.fixture
def in_every_orientation() -> Callable[[Image], Iterator[Image]]:
    """A function that gives a volume in all 48 ways in which an array can hold it."""
    return lambda image: (stored_otherwise(image, order, flips) for order, flips in ORIENTATIONS)
