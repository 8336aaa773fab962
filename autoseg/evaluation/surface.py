"""Distances in mm between the surfaces of a reference and a prediction: HD95, ASSD, normalised surface Dice.

The surface of a mask is those of its voxels that share a face with a voxel outside the mask; beyond the image's edge
all is outside. An axis along which the image has a single voxel has no faces: a 2D image (Z = 1) has the contour in its
plane, not every pixel.

    . . . . .        . . . . .
    . # # # .        . s s s .
    . # # # .   ->   . s # s .
    . # # # .        . s s s .

Distances are exact Euclidean ones between voxel centres, and each surface voxel counts once, as in Metrics Reloaded
(Maier-Hein et al. 2024) and MONAI; DeepMind's surface-distance weighs them by the area of the surface in the voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from autoseg.errors import AutosegError

NAN = float("nan")
ROUNDING = 1e-6  # share of the tolerance: headers hold spacings as float32


@dataclass(frozen=True)
class SurfaceDistances:
    """The distances from each surface voxel of one mask to the nearest one of the other.

    ref_to_pred_mm, pred_to_ref_mm: flat float64, mm, one entry per surface voxel of the reference or of the prediction. Where one
    mask alone is empty, all distances to it are inf.
    """

    ref_to_pred_mm: np.ndarray
    pred_to_ref_mm: np.ndarray

    @property
    def hd95_mm(self) -> float:
        """Return the larger of the two directed 95th percentiles (Huttenlocher et al. 1993, as in Metrics Reloaded), mm.

        nan where both masks are empty, inf where one is.
        """
        if self.ref_to_pred_mm.size == 0 or self.pred_to_ref_mm.size == 0:
            return float("inf") if self._all_mm.size else NAN
        return float(max(np.percentile(self.ref_to_pred_mm, 95), np.percentile(self.pred_to_ref_mm, 95)))

    @property
    def assd_mm(self) -> float:
        """Return the average symmetric surface distance: the mean over the distances of both surfaces (Heimann et al. 2009), mm.

        nan where both masks are empty, inf where one is.
        """
        return float(self._all_mm.mean()) if self._all_mm.size else NAN

    def nsd(self, tolerance_mm: float) -> float:
        """Return the normalised surface Dice: share of both surfaces' voxels within `tolerance_mm` of the other surface, 0 to 1.

        Nikolov et al. 2018, with voxels for areas. nan where both masks are empty, 0 where one is.
        """
        return float((self._all_mm <= tolerance_mm * (1 + ROUNDING)).mean()) if self._all_mm.size else NAN

    @property
    def _all_mm(self) -> np.ndarray:
        return np.concatenate([self.ref_to_pred_mm, self.pred_to_ref_mm])


def surface_distances(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: tuple[float, float, float]
) -> SurfaceDistances:
    """Measure between two masks (Z, Y, X), bool, on one grid of `spacing_mm` (z, y, x). Raises AutosegError if shapes differ."""
    if reference.shape != prediction.shape:
        raise AutosegError(f"The prediction has shape (z, y, x) {prediction.shape}, its reference {reference.shape}.")
    return surface_distances_by_value(reference.astype(bool), prediction.astype(bool), spacing_mm).get(
        1, SurfaceDistances(np.empty(0), np.empty(0)))


def surface_distances_by_value(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: tuple[float, float, float]
) -> dict[int, SurfaceDistances]:
    """Measure for every value other than 0 that occurs in one of two label volumes (Z, Y, X), of one shape.

    Memory: 2 bytes per voxel, and the surfaces.
    """
    mine, theirs, nothing = surface_voxels(reference), surface_voxels(prediction), np.empty(0, np.int64)
    return {
        value: _distances(mine.get(value, nothing), theirs.get(value, nothing), reference.shape, spacing_mm)
        for value in sorted(mine.keys() | theirs)
    }


def surface_voxels(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Return for each value but 0 the flat indices (C order, ascending) of its surface in `labels` (Z, Y, X), integers."""
    edge = np.full(labels.shape, labels.size == 1)
    for axis, size in enumerate(labels.shape):
        if size > 1:
            along = np.moveaxis(labels, axis, 0)
            differs = along[1:] != along[:-1]
            edge_along = np.moveaxis(edge, axis, 0)
            edge_along[1:] |= differs
            edge_along[:-1] |= differs
            edge_along[[0, -1]] = True
    edge &= labels != 0
    places, values = np.flatnonzero(edge), labels[edge]
    if places.size == 0:
        return {}
    order = np.argsort(values, kind="stable")
    found, starts = np.unique(values[order], return_index=True)
    return {int(value): part for value, part in zip(found, np.split(places[order], starts[1:]), strict=True)}


def _distances(
    reference: np.ndarray, prediction: np.ndarray, shape: tuple[int, ...], spacing_mm: tuple[float, float, float]
) -> SurfaceDistances:
    points = [np.stack(np.unravel_index(places, shape), axis=1) * spacing_mm for places in (reference, prediction)]
    return SurfaceDistances(
        _nearest_mm(points[0], points[1], np.isin(reference, prediction, assume_unique=True)),
        _nearest_mm(points[1], points[0], np.isin(prediction, reference, assume_unique=True)))


def _nearest_mm(points: np.ndarray, others: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Return the distance from each point to the nearest of `others`; inf without any. shared: points that are one of them."""
    distances_mm = np.full(len(points), 0.0 if len(others) else np.inf)
    if len(others) and not shared.all():
        tree = cKDTree(others, compact_nodes=False, balanced_tree=False)
        distances_mm[~shared] = tree.query(points[~shared])[0]
    return distances_mm
