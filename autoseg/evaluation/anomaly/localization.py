"""Whether anomaly maps show where the anomaly is."""

from __future__ import annotations

from autoseg.plan import Frozen


class Localization(Frozen):
    """Of anomaly maps against labels on the same grid.

    slices: abnormal ones whose map was looked at. hits: in how many of them the map's highest voxel lies in the foreground.
    chance: share of these slices' voxels that is foreground, what a voxel taken at random would hit. voxel_auroc: of the map's
    values, foreground against all others, over all slices of all cases together.
    """

    slices: int
    hits: int
    chance: float
    voxel_auroc: float
