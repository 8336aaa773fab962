"""Comparison of anomaly maps with labels: do they show where the anomaly is?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from autoseg.evaluation.roc import auroc_of_counts
from autoseg.plan import Frozen

HIGHEST = 2.0  # of a map: values between -1 and 1 are that far apart at most
BINS = 2**14  # values in one bin count as equal


class Localization(Frozen):
    """The agreement of anomaly maps with labels on the same grid.

    slices: abnormal ones whose map was looked at. hits: in how many of them the map's highest voxel lies in the foreground.
    chance: mean share of foreground in these slices, which is how often a voxel taken at random hits. voxel_auroc: of the map's
    values, foreground against all others, over all scored slices of all cases together; None where all voxels are foreground.
    """

    slices: int
    hits: int
    chance: float
    voxel_auroc: float | None


class MapCounts(NamedTuple):
    """The counts of one case. slices, hits: as in Localization. shares: sum of the shares of foreground. normal, abnormal: voxels
    by value of the map, int64 (BINS,)."""

    slices: int
    hits: int
    shares: float
    normal: np.ndarray
    abnormal: np.ndarray


def map_counts(
    anomaly_map: np.ndarray, label: np.ndarray, axis: int, slices: Sequence[int], ignore: int | None = None,
) -> MapCounts:
    """Compare a case's map (Z, Y, X), 0 to 2, with its label (Z, Y, X), integers, in the given slices along array axis `axis`.

    ignore: voxels of this value count for nothing.
    """
    abnormal, normal = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    count, hits, shares = 0, 0, 0.0
    for index in slices:
        values, labels = anomaly_map.take(index, axis), label.take(index, axis)
        counts = np.ones(labels.shape, bool) if ignore is None else labels != ignore
        foreground = (labels != 0) & counts
        bins = np.clip(np.nan_to_num(values) * (BINS / HIGHEST), 0, BINS - 1).astype(np.int64)
        normal += np.bincount(bins[counts & ~foreground], minlength=BINS)
        abnormal += np.bincount(bins[foreground], minlength=BINS)
        if foreground.any():
            highest = np.argmax(np.where(counts, values, -np.inf))
            count, hits = count + 1, hits + int(foreground.flat[highest])
            shares += float(foreground.sum() / counts.sum())
    return MapCounts(count, hits, shares, normal, abnormal)


def localization(found: Sequence[MapCounts]) -> Localization | None:
    """Sum up all cases; None where no slice is abnormal."""
    count = sum(counts.slices for counts in found)
    if not count:
        return None
    normal, abnormal = np.sum([counts.normal for counts in found], axis=0), np.sum([counts.abnormal for counts in found], axis=0)
    return Localization(slices=count, hits=sum(counts.hits for counts in found),
                        chance=sum(counts.shares for counts in found) / count,
                        voxel_auroc=auroc_of_counts(normal, abnormal) if normal.any() else None)
