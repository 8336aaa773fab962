"""Target spacing: the grid that a dataset is resampled to, and which axis comes first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.errors import AutosegError

ANISOTROPY_RATIO = 3  # coarser than this times any other axis: interpolation across slices would show
COARSE_AXIS_PERCENTILE = 10
JUST_COARSER_MM = 1e-5  # keeps the coarse axis the coarsest where its percentile falls below the others
LOWRES_GROWTH = 1.03
LOWRES_LARGEST_RATIO = 2


@dataclass(frozen=True)
class TargetSpacing:
    """The spacing to resample to, and how it was found. Axes (z, y, x) as in the raw images.

    median_mm: the median along each axis. coarse_axis: the axis that takes a low percentile instead, or None.
    """

    spacing_mm: tuple[float, float, float]
    median_mm: tuple[float, float, float]
    coarse_axis: int | None = None


def target_spacing(spacings_mm: np.ndarray, shapes: np.ndarray) -> TargetSpacing:
    """Return the spacing to resample to at full resolution (Isensee et al. 2021): the median along each axis.

    An axis much coarser than the others (> 3 times) and much shorter (median size × 3 below theirs) would be
    interpolated badly from the median, so it takes its 10th percentile, though not below the coarsest other axis.

    spacings_mm: (cases, 3) float, mm, (z, y, x). shapes: (cases, 3) int voxels after the crop, same axes.
    Raises AutosegError where there is no case, or a spacing that is not positive and finite.
    """
    if len(spacings_mm) == 0:
        raise AutosegError("No training case is left to plan from. Correct what `autoseg verify` names and plan again.")
    if not (np.isfinite(spacings_mm).all() and (spacings_mm > 0).all()):
        raise AutosegError("A training case has a spacing that is not positive and finite. "
                           "Run `autoseg verify` to see which, and correct its header.")
    median_mm = np.percentile(spacings_mm, 50, axis=0)
    median_size = np.percentile(shapes, 50, axis=0)
    coarse = int(np.argmax(median_mm))
    others = [axis for axis in range(3) if axis != coarse]
    coarsest_other_mm = median_mm[others].max()
    is_coarse = median_mm[coarse] > ANISOTROPY_RATIO * coarsest_other_mm
    is_short = median_size[coarse] * ANISOTROPY_RATIO < median_size[others].min()
    if not (is_coarse and is_short):
        return TargetSpacing(_triple(median_mm), _triple(median_mm))
    target_mm = median_mm.copy()
    target_mm[coarse] = np.percentile(spacings_mm[:, coarse], COARSE_AXIS_PERCENTILE)
    if target_mm[coarse] < coarsest_other_mm:
        target_mm[coarse] = coarsest_other_mm + JUST_COARSER_MM
    return TargetSpacing(_triple(target_mm), _triple(median_mm), coarse)


def slice_axis_first(spacing_mm: tuple[float, float, float], median_shape: np.ndarray) -> tuple[int, int, int]:
    """Return the transpose that puts the slice axis first: the raw axis that becomes each new axis.

    The slice axis is the coarsest one (the first of equals). But where the median image is a single voxel thick along
    an axis, the images are 2D and this axis is it, whatever spacing the header gives there.

    spacing_mm: (z, y, x). median_shape: (3,) voxels, resampled, same axes.
    """
    flat = [axis for axis in range(3) if median_shape[axis] == 1]
    first = int(np.argmax(spacing_mm)) if not flat else max(flat, key=lambda axis: spacing_mm[axis])
    others = [axis for axis in range(3) if axis != first]
    return first, others[0], others[1]


def resampled_shape(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], target_mm: tuple[float, ...]
) -> tuple[int, ...]:
    """Return the voxels of an image of `shape` and `spacing_mm` on a grid of `target_mm` (same axes): rounded, at least 1."""
    return tuple(
        max(1, round(float(old) / float(new) * int(size)))
        for size, old, new in zip(shape, spacing_mm, target_mm, strict=True)
    )


def coarser(spacing_mm: np.ndarray) -> np.ndarray:
    """Return a spacing one step of 3 % coarser, mm, along the axes finer than half the coarsest, else along all."""
    much_finer = spacing_mm.max() / spacing_mm > LOWRES_LARGEST_RATIO
    growing = much_finer if much_finer.any() else np.ones_like(much_finer)
    return np.where(growing, spacing_mm * LOWRES_GROWTH, spacing_mm)


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
