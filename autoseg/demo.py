"""A small synthetic dataset: abdominal CT-like volumes with two kidneys and a tumour, coarse along z."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label

SHAPE = (12, 48, 56)  # (z, y, x)
SPACING_MM = (8.0, 4.8, 4.8)
AIR, FAT, MUSCLE, BONE, KIDNEY, TUMOUR = -1000, -100, 50, 500, 160, 90  # Hounsfield units
NOISE_HU = 15
NAME = "Dataset900_SyntheticKidneys"

Ellipsoid = tuple[np.ndarray, np.ndarray]  # centre and radii (z, y, x), in a frame that runs from -1 to 1 along each axis
DrawCase = Callable[[np.random.Generator, tuple[int, int, int]], tuple[Image, np.ndarray]]
DrawTumour = Callable[[np.random.Generator, Ellipsoid], Ellipsoid | None]


def large_tumour(rng: np.random.Generator, kidney: Ellipsoid) -> Ellipsoid:
    """Return a tumour in the front of the kidney that reaches out of it."""
    centre, radii = kidney
    place = centre + np.array([rng.uniform(-0.3, 0.3), -radii[1] * 0.8, 0])
    return place, np.array([0.25, 0.13, 0.12]) * rng.uniform(0.8, 1.3)


def synthetic_case(
    rng: np.random.Generator, about: tuple[int, int, int], tumour: DrawTumour = large_tumour, tumour_hu: float = TUMOUR,
    noise_hu: float = NOISE_HU,
) -> tuple[Image, np.ndarray]:
    """Return one image, (1, Z, Y, X) int16 in HU, and its label, (Z, Y, X) uint8, of slightly varying size and spacing.

    tumour: draws a tumour in or on a kidney; None for no tumour. tumour_hu: its intensity. noise_hu: standard deviation.
    """
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
        label[ellipsoid(z, y, x, centre, radii)] = 1
        drawn = tumour(rng, (centre, radii)) if side == side_of_tumour else None
        if drawn is not None:
            label[ellipsoid(z, y, x, *drawn)] = 2
    hu[label == 1] = KIDNEY
    hu[label == 2] = tumour_hu
    hu += rng.normal(0, noise_hu, shape)
    spacing = tuple(float(mm * rng.uniform(0.95, 1.05)) for mm in SPACING_MM)
    geometry = Geometry((spacing[0], spacing[1], spacing[1]), (-100.0, -120.0, 30.0))
    return Image(hu.astype(np.int16)[None], geometry), label


def make_synthetic_dataset(
    parent: Path, training: int = 10, test: int = 3, seed: int = 0, shape: tuple[int, int, int] = SHAPE, name: str = NAME,
    draw_case: DrawCase = synthetic_case,
) -> Path:
    """Write a dataset in nnU-Net's layout to `parent`/`name` and return its folder.

    Labels: 1 kidney, 2 tumour. The labels of the test images lie in labelsTs. The same seed gives the same voxels.
    shape: (z, y, x) about which the cases vary by two voxels.
    """
    folder = parent / name
    rng = np.random.default_rng(seed)
    for number in range(training + test):
        kind = "Tr" if number < training else "Ts"
        image, label = draw_case(rng, shape)
        case = f"synthetic_{number:03d}"
        write_image(folder / f"images{kind}" / f"{case}_0000.nii.gz", image.array, like=image)
        write_label(folder / f"labels{kind}" / f"{case}.nii.gz", label, like=image)
    write_json(folder / "dataset.json", {
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney": 1, "tumour": 2},
        "numTraining": training, "file_ending": ".nii.gz",
    })
    return folder


def ellipsoid(z: np.ndarray, y: np.ndarray, x: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return where the ellipsoid is, bool of the grid's shape. z, y, x: of each voxel, from -1 to 1."""
    inside: np.ndarray = sum(
        ((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radii, strict=True)
    ) < 1  # type: ignore[assignment]
    return inside
