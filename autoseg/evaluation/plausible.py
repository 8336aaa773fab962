"""Checks that what is compared are labels, with the values that are meant: else a Dice of 0 says nothing about a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from autoseg.dataset import Labels
from autoseg.errors import AutosegError, some

MANY_VALUES = 50  # fewer are classes, wherever they lie
ALIKE = 0.5  # share of voxels with foreground whose next one along x has the same value: more in labels, less in images
SIDES = ("references", "predictions")

Joint = Mapping[tuple[int, int], int]


def image_fault(array: np.ndarray, values: Collection[int]) -> str:
    """Return in words why an array is an image rather than a label; "" where it may be a label.

    array: (Z, Y, X) integers. values: that occur in it. An image holds many values, and most voxels differ from the next one.
    """
    if len(values) <= MANY_VALUES:
        return ""
    first, following = array[:, :, :-1], array[:, :, 1:]
    inside = first != 0
    alike = int(np.count_nonzero(inside & (first == following)))
    return "" if alike >= ALIKE * int(np.count_nonzero(inside)) else (
        f"it holds {len(values)} values, and most voxels differ from the next one, so it is an image and no label. Give the "
        "folder of the labels")


def values_of(joints: Iterable[Joint], side: int) -> set[int]:
    """Return the values but 0 of the references (side 0) or predictions (1). joints: counts of (reference, predicted value)."""
    return {pair[side] for joint in joints for pair in joint} - {0}


def require_common_values(joints: Sequence[Joint], labels: Labels | None) -> None:
    """Raise AutosegError where all references or all predictions hold other values than dataset.json names (0/255 for 0/1), or
    where no dataset.json says what is meant, and references and predictions have no value but 0 in common."""
    found = [values_of(joints, side) for side in (0, 1)]
    if labels is None:
        if all(found) and not found[0] & found[1]:
            raise AutosegError(
                f"References and predictions have no value but 0 in common: references hold {_listed(found[0])}, predictions "
                f"{_listed(found[1])}. Write one of them with the values of the other, or say with -d which dataset names both.")
        return
    named = {value for value in labels.known_values if value}
    for side, values in zip(SIDES, found, strict=True):
        if values and not values & named:
            raise AutosegError(
                f"The {side} hold {_listed(values)} besides 0, dataset.json names {_listed(named)}: no voxel would count. Write "
                "them with the values of dataset.json, or name the dataset that they belong to with -d.")


def unnamed_values(joints: Mapping[str, Joint], labels: Labels) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the cases in which references or predictions hold values that dataset.json does not name, by side and value.

    joints: by case.
    """
    unnamed: dict[str, dict[str, tuple[str, ...]]] = {}
    for index, side in enumerate(SIDES):
        values = sorted(values_of(joints.values(), index) - set(labels.known_values))
        if values:
            unnamed[side] = {
                str(value): tuple(case for case, joint in joints.items() if any(pair[index] == value for pair in joint))
                for value in values}
    return unnamed


def unnamed_in_words(unnamed: Mapping[str, Mapping[str, Sequence[str]]]) -> list[str]:
    """Return a sentence for each side that holds values which dataset.json does not name."""
    return [
        f"Warning: {len(cases)} of the {side} hold{'s' if len(cases) == 1 else ''} values that dataset.json does not name: "
        f"{some(list(values))} ({some(cases, 3)}). They count as background. Name them, or correct the files."
        for side, values in unnamed.items() for cases in [list(dict.fromkeys(case for of in values.values() for case in of))]]


def _listed(values: Iterable[int]) -> str:
    return some([str(value) for value in sorted(values)])
