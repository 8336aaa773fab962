"""Label values as integers, whatever their file stored them as."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image import Image

WHOLE_TOLERANCE = 1e-3
LARGEST_VALUE = 2**31


def whole_numbers(path: Path, image: Image) -> Image:
    """Return `image` with an array (1, Z, Y, X) of integers. Raises AutosegError where its values are not whole numbers."""
    array = _one_channel(path, image.array)
    if array.dtype.kind not in "iu":
        array = _rounded(path, array)
    return replace(image, array=array)


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
    if not max(-lowest, highest) < LARGEST_VALUE:  # written this way, NaN fails, too
        raise AutosegError(
            f"{path}: a label holds whole numbers, but this file holds values from {lowest:.4g} to {highest:.4g}. "
            "Correct it, or leave the case out."
        )
    smallest_types = np.min_scalar_type(round(lowest)), np.min_scalar_type(round(highest))
    whole = np.empty(array.shape, np.promote_types(*smallest_types))
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
