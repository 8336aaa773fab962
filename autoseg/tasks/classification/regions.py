"""Regions that a classifier is to look at: labels of the dataset, or a folder of label files, such as a model's predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.dataset import grid_differences
from autoseg.digests import file_digest
from autoseg.errors import AutosegError, some
from autoseg.evaluation.summary import label_files
from autoseg.image import Image
from autoseg.image_io import read_label

OWN_LABELS = "labels"  # of the dataset


def region_files(folder: Path) -> dict[str, Path]:
    """Return the label file of each case in a folder, by the case's name. Raises AutosegError where there is none."""
    found = label_files(folder) if folder.is_dir() else {}
    if not found:
        raise AutosegError(f"{folder} is no trained model and holds no label files, but --roi takes one of these: the model that "
                           "segments the regions to look at, or the folder of their label files, named like the cases.")
    return found


def read_region(folder: Path, case: str, image: Image) -> np.ndarray:
    """Return the label (Z, Y, X) of a case's region. Raises AutosegError where there is none, or it does not lie on the image's
    grid."""
    files = region_files(folder)
    if case not in files:
        raise AutosegError(f"case {case}: {folder} has no label file of it, of the region to look at (there are "
                           f"{some(sorted(files))}). Add it, or leave the case out.")
    label = read_label(files[case])
    if differing := grid_differences(image, label):
        raise AutosegError(f"case {case}: {files[case]} does not lie on the grid of the image: {differing}.")
    region: np.ndarray = label.array[0]
    return region


def region_stamp(folder: str | None, case: str) -> str:
    """Return the digest of a case's label file; "" where there is none, or the dataset's own labels are meant."""
    if folder in (None, OWN_LABELS):
        return ""
    file = (label_files(Path(str(folder))) if Path(str(folder)).is_dir() else {}).get(case)
    return "" if file is None else file_digest(file)
