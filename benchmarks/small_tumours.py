"""Synthetic CT-like kidneys with small, faint tumours, as a dataset in nnU-Net's layout with one fixed fold.

usage: python benchmarks/small_tumours.py FOLDER

Writes FOLDER/Dataset901_SmallTumours: volumes of about 21×59×59 voxels with two kidneys of some 800 voxels each. Four fifths
of the cases have one tumour of 15 to 80 voxels in a kidney (0.05 % of the volume, 2.5 % of the foreground), darker than it by
2.8 standard deviations of the noise. Fold 0 trains on 20 cases and validates on 40 others: a small class takes many cases to be
measured.
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
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    radius_voxels = rng.uniform(1.5, 2.7)
    return centre + radii * direction * rng.uniform(0.2, 0.9), radius_voxels * 2 / np.array(SHAPE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(make_small_tumours(parser.parse_args().folder))


if __name__ == "__main__":
    main()
