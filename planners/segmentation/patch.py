"""The patch to start from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FIRST_PATCH_EDGE = {2: 2048, 3: 256}  # of the square or cube with as many voxels as the first patch


def first_patch_size(spacing_mm: Sequence[float], median_shape: Sequence[float]) -> tuple[float, ...]:
    """The patch to start from: of equal extent in mm along all axes, 256³ (2D: 2048²) voxels, within the median shape.

    spacing_mm: (z, y, x) or (y, x). median_shape: voxels, same axes; may end in .5. So may the result.
    """
    dimensions = len(spacing_mm)
    per_mm = 1 / np.array(spacing_mm, dtype=float)
    edges = per_mm * (FIRST_PATCH_EDGE[dimensions] ** dimensions / per_mm.prod()) ** (1 / dimensions)
    return tuple(min(round(float(edge)), size) for edge, size in zip(edges, median_shape, strict=True))
