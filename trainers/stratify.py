"""Groups of cases distributed over folds, so that folds are of one size and hold each label equally often."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import permutations

import numpy as np

SEED = 12345
MOST_CANDIDATES = 2000  # groups of a fold that are looked at for one exchange


def spread(groups: Sequence[Sequence[str]], labels: Mapping[str, Collection[str]], folds: int) -> list[list[str]]:
    """Return the cases of each fold, sorted; those of a group stay together. The same for the same groups, on every machine.

    groups: disjoint; at least as many as folds. labels: of each case, those that it holds; a case may be absent.
    Iterative stratification (Sechidis et al. 2011) over groups: the label that the fewest cases hold goes first; its groups,
    the largest first, go to the fold that lacks it most, then to the smallest one. At last groups are exchanged while that
    makes two folds more equal in size, those first that cost the labels least.
    """
    counts = _counts(groups, labels)
    fold_of = _deal(counts, folds)
    while _exchange(fold_of, counts, folds):
        pass
    return [sorted(case for group in np.flatnonzero(fold_of == fold) for case in groups[int(group)]) for fold in range(folds)]


def _counts(groups: Sequence[Sequence[str]], labels: Mapping[str, Collection[str]]) -> np.ndarray:
    """Return (groups, labels + 1) int64: cases of the group that hold the label; in the last column, all its cases."""
    column = {label: index for index, label in enumerate(sorted({label for case in labels for label in labels[case]}))}
    counts = np.zeros((len(groups), len(column) + 1), np.int64)
    for row, group in enumerate(groups):
        counts[row, -1] = len(group)
        for case in group:
            for label in labels.get(case, ()):
                counts[row, column[label]] += 1
    return counts


def _deal(counts: np.ndarray, folds: int) -> np.ndarray:
    """Return the fold of each group, (groups,) int64."""
    fold_of = np.full(len(counts), -1)
    lacking = np.tile(counts.sum(axis=0), (folds, 1))  # (folds, labels + 1), cases times folds: whole numbers
    waiting = np.random.RandomState(SEED).permutation(len(counts))
    while len(waiting):
        left = counts[waiting, :-1].sum(axis=0)
        label = int(np.where(left > 0, left, left.max(initial=0) + 1).argmin()) if left.any() else -1
        holding = waiting[counts[waiting, label] > 0]
        for group in sorted(holding, key=lambda group: (-counts[group, label], -counts[group, -1])):
            fold = max(range(folds), key=lambda fold: (lacking[fold, label], lacking[fold, -1]))
            fold_of[group] = fold
            lacking[fold] -= folds * counts[group]
        waiting = waiting[counts[waiting, label] == 0]
    return fold_of


def _exchange(fold_of: np.ndarray, counts: np.ndarray, folds: int) -> bool:
    """Move a group to a smaller fold, or exchange two, where that makes their sizes more equal; whether it was done."""
    totals = np.stack([counts[fold_of == fold].sum(axis=0) for fold in range(folds)])
    weights = 1 / np.maximum(1, totals[:, :-1].sum(axis=0))  # one case more of a rare label counts more
    pairs = sorted(permutations(range(folds), 2), key=lambda pair: totals[pair[1], -1] - totals[pair[0], -1])
    for large, small in pairs:
        difference = totals[large] - totals[small]
        if difference[-1] < 2:
            return False
        ours = np.flatnonzero(fold_of == large)[:MOST_CANDIDATES]
        theirs = np.append(np.flatnonzero(fold_of == small)[:MOST_CANDIDATES], -1)  # -1: nothing in return
        given, taken = counts[ours], np.where(theirs[:, None] < 0, 0, counts[theirs])
        moved = given[:, None, -1] - taken[None, :, -1]
        rest = np.where((moved > 0) & (moved < difference[-1]), abs(difference[-1] - 2 * moved), difference[-1])
        best = rest.min()
        if best == difference[-1]:
            continue
        cost = _label_cost(given[:, :-1], taken[:, :-1], difference[:-1], weights)
        one, other = np.unravel_index(np.where(rest == best, cost, np.inf).argmin(), cost.shape)
        fold_of[ours[one]] = small
        if theirs[other] >= 0:
            fold_of[theirs[other]] = large
        return True
    return False


def _label_cost(given: np.ndarray, taken: np.ndarray, difference: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (given, taken): by how much the weighted squares of (difference - 2 · (given - taken)) grow, labels summed up.

    With d = given - taken that is Σ w · 4 (d² - d · difference); as products of matrices it needs no array of three axes.
    """

    def alone(counts: np.ndarray, sign: int) -> np.ndarray:
        values: np.ndarray = (weights * (counts * counts - sign * counts * difference)).sum(axis=1)
        return values

    cost: np.ndarray = alone(given, 1)[:, None] + alone(taken, -1)[None, :] - 2 * (given * weights) @ taken.T
    return cost.round(9)  # equal costs stay equal on every machine
