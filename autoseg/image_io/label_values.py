"""Label values as integers, whatever their file stored them as."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image import Image

WHOLE_TOLERANCE = 1e-3
LARGEST_VALUE = 2**63 - 1
EXACT = {2: 2**11, 4: 2**24}  # by bytes of a floating-point type: up to here it holds every whole number; else 2**53


def whole_numbers(path: Path, image: Image) -> Image:
    """Return `image` with an array (1, Z, Y, X) of integers in this machine's byte order, none of them above 2**63 - 1.

    64-bit integers become the smallest type that holds them. Raises AutosegError where values are not whole numbers.
    """
    array = _one_channel(path, image.array)
    if array.dtype.kind not in "iu":
        array = _rounded(path, array)
    elif array.dtype.itemsize == 8 and array.size:
        lowest, highest = int(array.min()), int(array.max())
        if highest > LARGEST_VALUE:
            raise AutosegError(f"{path} holds the label value {highest}, which is probably a negative number that was stored as "
                               "unsigned. Correct it, or leave the case out.")
        array = array.astype(_smallest_type(lowest, highest))
    return replace(image, array=array.astype(array.dtype.newbyteorder("="), copy=False))


def _smallest_type(lowest: int, highest: int) -> np.dtype[Any]:
    return np.promote_types(np.min_scalar_type(lowest), np.min_scalar_type(highest))


def _one_channel(path: Path, array: np.ndarray) -> np.ndarray:
    channels = array.shape[0]
    if channels == 1:
        return array
    if channels == 3 and all(np.array_equal(array[0], other) for other in array[1:]):
        return np.ascontiguousarray(array[:1])
    raise AutosegError(
        f"{path}: a label has one channel, but this file has {channels}"
        + (" (colours)" if channels == 3 else "")
        + ". Save one number per voxel: 0 for background, then 1, 2, ... for the classes of dataset.json."
    )


def _rounded(path: Path, array: np.ndarray) -> np.ndarray:
    """Round slice by slice, so that a volume of floats is not held twice."""
    lowest, highest = float(array.min()), float(array.max())
    exact = EXACT.get(array.dtype.itemsize, 2**53)
    if not max(-lowest, highest) <= exact:  # written this way, NaN fails, too
        raise AutosegError(
            f"{path}: a label holds whole numbers, but this file holds values from {lowest:.4g} to {highest:.4g} as "
            f"{array.dtype}, which holds each whole number up to {exact} only. Correct it, save it as integers, or leave "
            "the case out."
        )
    whole = np.empty(array.shape, _smallest_type(round(lowest), round(highest)))
    for z in range(array.shape[1]):
        plane = np.rint(array[:, z])
        apart = np.abs(array[:, z] - plane)
        if apart.max() > WHOLE_TOLERANCE:
            example = float(array[:, z][apart > WHOLE_TOLERANCE][0])
            raise AutosegError(
                f"{path}: a label holds whole numbers, but this file holds {example:.4g}. Either it is no label, or it "
                "was resampled with interpolation (use nearest neighbour), or its header has a wrong slope (scl_slope)."
            )
        whole[:, z] = plane
    return whole
