"""Label files that say where something is abnormal, told from images that were given in their place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image import Image
from autoseg.image_io import read_label

FEW_VALUES = 32  # up to so many it may be a label, whatever it looks like
SAME_BESIDE = 0.5  # share of neighbours with one value: regions of 3 voxels across have more, gray values that vary have less


def read_regions(path: Path) -> Image:
    """A label file as `read_label` gives it. Raises AutosegError as that does, and where the file must be an image: where it
    holds more values than FEW_VALUES, and neighbouring voxels (along y or x, the file's most frequent value left out) are more
    often different than the same. A label of many organs, or of an own number for each cell, consists of regions."""
    label = read_label(path)
    counts: Counter[int] = Counter()
    for plane in label.array[0]:
        counts.update(dict(zip(*(entries.tolist() for entries in np.unique(plane, return_counts=True)), strict=True)))
    if len(counts) > FEW_VALUES and (same := _same_beside(label.array[0], counts.most_common(1)[0][0])) < SAME_BESIDE:
        raise AutosegError(
            f"{path} must be an image, and no label file: it holds {len(counts)} different values ({min(counts)} to "
            f"{max(counts)}), and only {same:.0%} of neighbouring voxels have the same one. Expected are labels: 0 where it is "
            "normal, regions of other whole numbers where it is not. Where whole images are normal or abnormal, give the folder "
            "that holds the folders normal and abnormal, or a table with the columns case, truth.")
    return label


def _same_beside(array: np.ndarray, common: int) -> float:
    """Share of the pairs of neighbours in the planes of (Z, Y, X), both of another value than `common`, that have one value."""
    same = pairs = 0
    for plane in array:
        for left, right in ((plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])):
            counts = (left != common) & (right != common)
            pairs += int(counts.sum())
            same += int((counts & (left == right)).sum())
    return same / pairs if pairs else 1.0
