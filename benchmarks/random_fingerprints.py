"""Random datasets, as far as a planner looks at them: spacings, shapes, share kept, channels, labels, memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.dataset import Case, Dataset, Labels
from autoseg.fingerprint import CaseFingerprint, Fingerprint
from autoseg.plan import IntensityStatistics

CHANNEL_NAMES = ("CT", "MRI", "nonorm", "zscore", "rescale_to_0_1", "rgb_to_0_1", "T2")


@dataclass(frozen=True)
class RandomDataset:
    """The dataset that both planners are given. memory_gb: of the GPU to plan for."""

    dataset: Dataset
    fingerprint: Fingerprint
    memory_gb: float


def random_dataset(random: np.random.Generator, number: int) -> RandomDataset:
    """A dataset that could exist: volumes of any anisotropy and axis order, or 2D images, of 2 to 300 cases."""
    cases = int(random.choice([2, 3, 4, 5, 8, 20, 60, 300]))
    names = [f"case_{index:03d}" for index in range(cases)]
    draw = _images if random.random() < 0.2 else _volumes
    spacings_mm, shapes = draw(random, cases)
    share_kept = float(random.choice([0.3, 0.74, 0.75, 0.76, 1.0]))
    channel_names = tuple(str(name) for name in random.choice(CHANNEL_NAMES, random.integers(1, 5)))
    statistics = IntensityStatistics(mean=0, std=1, median=0, percentile_00_5=-2, percentile_99_5=2)
    fingerprint = Fingerprint(
        dataset=f"Random{number}", versions={}, channel_names=channel_names, orientations={"LPS": cases},
        foreground_intensities={str(channel): statistics for channel in range(len(channel_names))},
        foreground_components=None, labels={},
        cases={
            name: CaseFingerprint(spacing_mm=spacing, shape=shape, shape_after_crop=shape, share_kept=share_kept,
                                  orientation="LPS")
            for name, spacing, shape in zip(names, spacings_mm.tolist(), shapes.tolist(), strict=True)
        },
    )
    dataset = Dataset(
        name=f"Dataset{number % 999 + 1:03d}_Random{number}", folder=Path("/nowhere"), layout="nnunet",
        channel_names=channel_names, file_ending=".nii.gz",
        labels=Labels(values={f"label_{value}": value for value in range(int(random.choice([2, 3, 6, 30, 105])))}),
        training=tuple(Case(name=name, images=(Path(name),), label=Path(name)) for name in names),
    )
    return RandomDataset(dataset, fingerprint, float(random.choice([2, 4, 8, 8, 8, 11, 24, 40])))


def _volumes(random: np.random.Generator, cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Spacings (cases, 3), mm, and shapes (cases, 3), of volumes that scatter around one protocol."""
    in_plane_mm = random.choice([0.2, 0.5, 0.78, 1.0, 1.5, 3.0])
    across_mm = in_plane_mm * random.choice([1, 1, 1.5, 2, 2.5, 3, 4, 6, 10])
    spacing_mm = np.array([across_mm, in_plane_mm, in_plane_mm * random.choice([1, 1, 1, 1.3, 2.1])])
    edge = random.choice([16, 32, 48, 64, 96, 128, 192, 256, 320, 512, 700])
    shape = np.array([random.choice([8, 10, 13, 20, 40, 90, 200, 600, edge]), edge, edge * random.choice([1, 1, 0.7])])
    axes = random.permutation(3)
    scatter = random.choice([0, 0, 0.05, 0.3])
    spacings_mm = spacing_mm[axes] * random.lognormal(0, scatter, (cases, 1 if random.random() < 0.5 else 3))
    shapes = np.maximum(8, shape[axes] * random.lognormal(0, scatter, (cases, 3))).astype(int)
    return spacings_mm, shapes


def _images(random: np.random.Generator, cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Spacings (cases, 3), mm, and shapes (cases, 3), of 2D images.

    Slices are no thinner than pixels are wide: nnU-Net takes a pixel axis for the slices of a volume else.
    """
    pixel_mm = random.choice([0.1, 0.5, 0.6])
    spacings_mm = np.tile([random.choice([1.0, 999.0]), pixel_mm, pixel_mm * random.choice([1, 1, 1.5])], (cases, 1))
    shapes = random.integers(16, random.choice([64, 256, 1024, 4096]), (cases, 3))
    shapes[:, 0] = 1
    return spacings_mm, shapes
