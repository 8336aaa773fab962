"""Signs of empty parts of images, learned from the labels: air in CT, and what is constant, such as zeros around a head.

Around every labelled voxel of the training lies something bright (CT), or something that varies (other channels). Where
nothing does, there is no object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from autoseg.dataset import Dataset
from autoseg.errors import some
from autoseg.fingerprint import Fingerprint, NearLabels
from autoseg.plan import Emptiness, Normalization
from autoseg.preprocessing.crop import crop, nonzero_box

NEAR_MM = 5.0
VARIES = 0.01  # of the image's range, around every labelled voxel
SMALLEST_GAP = 0.1  # of the foreground's std, between a level and the values that all count as the darkest
TELLING = ("ct", "zscore", "rescale_0_1", "rgb")  # normalizations after which it is known what is dark, or constant


def near_labels(image: np.ndarray, labels: np.ndarray, spacing_mm: Sequence[float]) -> tuple[NearLabels, ...]:
    """Measure what lies within `NEAR_MM` (a box) of labelled voxels; () where there are none, or a value is no number.

    image: (C, Z, Y, X). labels: (Z, Y, X). spacing_mm: (z, y, x).
    """
    if not labels.any():
        return ()
    reach = [math.floor(NEAR_MM / mm) for mm in spacing_mm]
    (z, y, x), size = nonzero_box(labels[np.newaxis]), [2 * voxels + 1 for voxels in reach]
    wide = [(max(0, start - voxels), stop + voxels) for (start, stop), voxels in zip((z, y, x), reach, strict=True)]
    box = (wide[0], wide[1], wide[2])
    where, measured = crop(labels, box) != 0, []
    for channel in image:
        part, whole = crop(channel, box), float(channel.max()) - float(channel.min())
        if not math.isfinite(whole):
            return ()
        high = maximum_filter(part, size, mode="nearest")[where].astype(np.float64)
        low = minimum_filter(part, size, mode="nearest")[where]
        varies = float((high - low).min()) / whole if whole else 0.0
        measured.append(NearLabels(highest=float(high.min()), varies=round(min(varies, 1.0), 6)))
    return tuple(measured)


def emptiness(dataset: Dataset, fingerprint: Fingerprint, normalization: Sequence[Normalization]) -> Emptiness:
    """Return what tells that a part of an image is empty, with nothing in it where one training case speaks against it.

    normalization: of each channel. The level of a CT lies halfway between the values that its normalization makes equal (below
    the 0.5 percentile of the foreground) and the least that the training cases have near a labelled voxel. It must hold for
    each case when it is learned from the others.
    """
    measured = {name: case.near_labels for name, case in fingerprint.cases.items() if case.labels}
    if fault := _fault(dataset, measured, normalization):
        return Emptiness(near_mm=NEAR_MM, reason=fault)
    levels: list[float | None] = []
    for channel, scheme in enumerate(normalization):
        if scheme != "ct":
            if against := [name for name, its in measured.items() if its[channel].varies < VARIES]:
                return _against(f"channel {channel} is constant around labelled voxels of {some(against)}")
            levels.append(None)
            continue
        foreground = fingerprint.foreground_intensities[str(channel)]
        (name, least), *others = sorted(((name, its[channel].highest) for name, its in measured.items()), key=lambda e: e[1])
        level = (foreground.percentile_00_5 + least) / 2
        from_others = (foreground.percentile_00_5 + others[0][1]) / 2
        if least < from_others or level < foreground.percentile_00_5 + SMALLEST_GAP * foreground.std:
            return _against(f"labelled voxels of case {name} have no value above {least:g} near them in channel {channel}")
        levels.append(round(level, 4))
    return Emptiness(levels=tuple(levels), near_mm=NEAR_MM, reason=_reason(levels))


def _fault(dataset: Dataset, measured: dict[str, tuple[NearLabels, ...]], normalization: Sequence[Normalization]) -> str:
    """Say why nothing can be told; "" where it can."""
    if dataset.labels.ignore is not None:
        return "Not known: what is to be ignored may hold objects anywhere."
    if len(measured) < 2 or not all(len(its) == len(normalization) for its in measured.values()):
        return "Not known: it takes two labelled training cases at least, measured in every channel."
    if unknown := [str(channel) for channel, scheme in enumerate(normalization) if scheme not in TELLING]:
        return f"Not known: the unit of channel {some(unknown)} is not."
    return ""


def _against(what: str) -> Emptiness:
    return Emptiness(near_mm=NEAR_MM, reason=f"None: {what}.")


def _reason(levels: Sequence[float | None]) -> str:
    parts = [f"channel {channel} {'varies' if level is None else f'reaches {level:g}'}" for channel, level in enumerate(levels)]
    return (f"Within {NEAR_MM:g} mm of every labelled voxel of the training, {', and '.join(parts)}; what has nothing like that "
            "around it is empty.")
