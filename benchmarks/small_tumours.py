"""Synthetic CT-like kidneys with small tumours, as datasets in nnU-Net's layout with one fixed fold each.

usage: python benchmarks/small_tumours.py FOLDER

Writes FOLDER/Dataset901_SmallTumours: volumes of about 21×59×59 voxels with two kidneys of some 800 voxels each. Four fifths
of the cases have one tumour of 15 to 80 voxels in a kidney (0.05 % of the volume, 2.5 % of the foreground), darker than it by
2.8 standard deviations of the noise. Fold 0 trains on 20 cases and validates on 40 others: a small class takes many cases to be
measured.

Writes FOLDER/Dataset902_SmallLesions besides: volumes of about 18×56×56 voxels, in four fifths of which one kidney holds a plain
lesion of 6 to 38 voxels (0.04 % of the volume; darker by five standard deviations of the noise). Fold 0 trains on 20 of 40 cases
and validates on 14. A short training loses this class: it is for measuring what finds it sooner. FOLDER/Dataset903_LargerLesions
is the same with lesions of 53 to 170 voxels.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.demo import Ellipsoid, make_synthetic_dataset, synthetic_case
from autoseg.files import write_json

NAME = "Dataset901_SmallTumours"
SHAPE = (21, 59, 59)  # such that every case, resampled, fits into the planned patch of 24×64×64
TRAINING, VALIDATION = 20, 40
TUMOUR_HU, NOISE_HU = 90, 25  # kidneys have 160 HU, muscle 50
SHARE_WITH_TUMOUR = 0.8
LESION_SHAPE, LESION_HU, LESION_NOISE_HU = (18, 56, 56), 60, 20
LESIONS = {"Dataset902_SmallLesions": (1.2, 2.1), "Dataset903_LargerLesions": (2.4, 3.4)}  # radius, voxels
LESION_CASES, LESION_TRAINING, LESION_VALIDATION = 40, 20, 14


def make_small_tumours(parent: Path) -> Path:
    """The dataset's folder in `parent`; made where it is not there yet."""
    folder = parent / NAME
    if not (folder / "splits_final.json").exists():
        draw_case = partial(synthetic_case, tumour=small_tumour, tumour_hu=TUMOUR_HU, noise_hu=NOISE_HU)
        make_synthetic_dataset(parent, TRAINING + VALIDATION, test=0, shape=SHAPE, name=NAME, draw_case=draw_case)
        cases = [f"synthetic_{number:03d}" for number in range(TRAINING + VALIDATION)]
        write_json(folder / "splits_final.json", [{"train": cases[:TRAINING], "val": cases[TRAINING:]}])
    return folder


def small_tumour(rng: np.random.Generator, kidney: Ellipsoid) -> Ellipsoid | None:
    """A ball or nearly so, its centre anywhere between a kidney's middle and nine tenths of the way to its surface."""
    if rng.random() > SHARE_WITH_TUMOUR:
        return None
    centre, radii = kidney
    direction = _direction(rng)
    radius_voxels = rng.uniform(1.5, 2.7)
    return centre + radii * direction * rng.uniform(0.2, 0.9), radius_voxels * 2 / np.array(SHAPE)


def make_small_lesions(parent: Path, name: str) -> Path:
    """The folder of one of LESIONS in `parent`; made where it is not there yet."""
    folder = parent / name
    if not (folder / "splits_final.json").exists():
        tumour = partial(lesion, radius_voxels=LESIONS[name])
        draw_case = partial(synthetic_case, tumour=tumour, tumour_hu=LESION_HU, noise_hu=LESION_NOISE_HU)
        make_synthetic_dataset(parent, LESION_CASES, test=0, shape=LESION_SHAPE, name=name, draw_case=draw_case)
        cases = [f"synthetic_{number:03d}" for number in range(LESION_TRAINING + LESION_VALIDATION)]
        write_json(folder / "splits_final.json", [{"train": cases[:LESION_TRAINING], "val": cases[LESION_TRAINING:]}])
    return folder


def lesion(rng: np.random.Generator, kidney: Ellipsoid, radius_voxels: tuple[float, float]) -> Ellipsoid | None:
    """A ball, its centre up to eight tenths of the way from a kidney's middle to its surface; none in a fifth of the cases."""
    if rng.random() > SHARE_WITH_TUMOUR:
        return None
    centre, radii = kidney
    place = centre + radii * _direction(rng) * rng.uniform(0.1, 0.8)
    return place, rng.uniform(*radius_voxels) * 2 / np.array(LESION_SHAPE)


def _direction(rng: np.random.Generator) -> np.ndarray:
    direction: np.ndarray = rng.normal(size=3)
    return direction / np.linalg.norm(direction)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print(make_small_tumours(folder), *(make_small_lesions(folder, name) for name in LESIONS), sep="\n")


if __name__ == "__main__":
    main()
