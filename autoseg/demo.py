"""A small synthetic dataset: abdominal CT-like volumes with two kidneys and a tumour, coarse along z."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from autoseg.workspace import write_json

SHAPE = (12, 48, 56)  # (z, y, x)
SPACING_MM = (8.0, 4.8, 4.8)
AIR, FAT, MUSCLE, BONE, KIDNEY, TUMOUR = -1000, -100, 50, 500, 160, 90  # Hounsfield units
NAME = "Dataset900_SyntheticKidneys"


def make_synthetic_dataset(
    parent: Path, training: int = 10, test: int = 3, seed: int = 0, shape: tuple[int, int, int] = SHAPE
) -> Path:
    """Write a dataset in nnU-Net's layout to `parent`/Dataset900_SyntheticKidneys and return its folder.

    Labels: 1 kidney, 2 tumour. The labels of the test images lie in labelsTs. The same seed gives the same voxels.
    shape: (z, y, x) about which the cases vary by two voxels.
    """
    folder = parent / NAME
    rng = np.random.default_rng(seed)
    for number in range(training + test):
        kind = "Tr" if number < training else "Ts"
        image, label = synthetic_case(rng, shape)
        name = f"synthetic_{number:03d}"
        write_image(folder / f"images{kind}" / f"{name}_0000.nii.gz", image.array, like=image)
        write_label(folder / f"labels{kind}" / f"{name}.nii.gz", label, like=image)
    write_json(folder / "dataset.json", {
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney": 1, "tumour": 2},
        "numTraining": training, "file_ending": ".nii.gz",
    })
    return folder


def synthetic_case(rng: np.random.Generator, about: tuple[int, int, int]) -> tuple[Image, np.ndarray]:
    """One image, (1, Z, Y, X) int16 in HU, and its label, (Z, Y, X) uint8, of slightly varying size and spacing."""
    shape = tuple(size + int(rng.integers(-2, 3)) for size in about)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    body = (x / 0.9) ** 2 + (y / 0.75) ** 2 < 1
    hu = np.where(body, float(FAT), float(AIR))
    hu[(x / 0.8) ** 2 + (y / 0.62) ** 2 < 1] = MUSCLE
    hu[(x / 0.12) ** 2 + ((y - 0.42) / 0.14) ** 2 < 1] = BONE
    label = np.zeros(shape, np.uint8)
    side_of_tumour = rng.choice([-1, 1])
    for side in (-1, 1):
        centre = np.array([rng.uniform(-0.15, 0.15), rng.uniform(0.0, 0.15), side * rng.uniform(0.38, 0.48)])
        radii = np.array([rng.uniform(0.5, 0.65), rng.uniform(0.2, 0.26), rng.uniform(0.15, 0.2)])
        label[_ellipsoid(z, y, x, centre, radii)] = 1
        if side == side_of_tumour:
            place = centre + np.array([rng.uniform(-0.3, 0.3), -radii[1] * 0.8, 0])
            label[_ellipsoid(z, y, x, place, np.array([0.25, 0.13, 0.12]) * rng.uniform(0.8, 1.3))] = 2
    hu[label == 1] = KIDNEY
    hu[label == 2] = TUMOUR
    hu += rng.normal(0, 15, shape)
    spacing = tuple(float(mm * rng.uniform(0.95, 1.05)) for mm in SPACING_MM)
    geometry = Geometry((spacing[0], spacing[1], spacing[1]), (-100.0, -120.0, 30.0))
    return Image(hu.astype(np.int16)[None], geometry), label


def _ellipsoid(z: np.ndarray, y: np.ndarray, x: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    inside: np.ndarray = sum(
        ((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radii, strict=True)
    ) < 1  # type: ignore[assignment]
    return inside
