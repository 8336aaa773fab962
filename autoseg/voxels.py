"""Counting voxels by value, slab by slab, so that no second array of the volume's size is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

SLAB_VOXELS = 2**22
TABLE_SIZE = 2**20  # values below this are counted in a table, others are sorted


def slabs(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of axis 0 that cover an array of `shape` in pieces of about 4 million voxels, at least one layer each."""
    layer = max(1, int(np.prod(shape[1:], dtype=np.int64)))
    step = max(1, SLAB_VOXELS // layer)
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def count_values(labels: np.ndarray) -> dict[int, int]:
    """Return the number of voxels of each label value, ascending. labels: (Z, Y, X) integers of any type."""
    counts: Counter[int] = Counter()
    for part in slabs(labels.shape):
        slab = labels[part]
        foreground = slab[slab != 0]
        counts[0] += slab.size - foreground.size
        counts.update(_counts(foreground))
    return {value: counts[value] for value in sorted(counts) if counts[value]}


def joint_counts(reference: np.ndarray, prediction: np.ndarray) -> dict[tuple[int, int], int]:
    """Count the voxels of each (reference value, predicted value). Both (Z, Y, X) integers of any type, of one shape."""
    counts: Counter[tuple[int, int]] = Counter()
    for part in slabs(reference.shape):
        mine, theirs = reference[part], prediction[part]
        either = (mine != 0) | (theirs != 0)
        mine, theirs = mine[either], theirs[either]
        counts[0, 0] += either.size - mine.size
        counts.update(count_pairs(mine, theirs))
    return {pair: counts[pair] for pair in sorted(counts) if counts[pair]}


def count_pairs(mine: np.ndarray, theirs: np.ndarray) -> dict[tuple[int, int], int]:
    """Count the entries of each (value of `mine`, value of `theirs`). Both flat, integers of any type, of one length."""
    if mine.size == 0:
        return {}
    base = int(theirs.max()) + 1
    if min(mine.min(), theirs.min()) >= 0 and (int(mine.max()) + 1) * base < 2**63:
        counts = _counts(mine.astype(np.int64) * base + theirs.astype(np.int64))
        return {divmod(code, base): number for code, number in counts.items()}
    (values, mine), (others, theirs) = (np.unique(side, return_inverse=True) for side in (mine, theirs))
    pairs = count_pairs(mine, theirs)  # of their places among the values, which are small
    return {(int(values[one]), int(others[other])): number for (one, other), number in pairs.items()}


def _counts(values: np.ndarray) -> dict[int, int]:
    """Return the number of entries of each value of a flat integer array."""
    if values.size == 0:
        return {}
    if values.min() >= 0 and values.max() < TABLE_SIZE:
        table = np.bincount(values.astype(np.int64, copy=False))
        return {int(value): int(table[value]) for value in np.flatnonzero(table)}
    found, numbers = np.unique(values, return_counts=True)
    return {int(value): int(number) for value, number in zip(found, numbers, strict=True)}
