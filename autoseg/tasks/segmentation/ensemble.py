"""Labels from the logits of one or several models, row by row: an ensemble is the mean of its members' probabilities.

Rows lie on the image's own grid when they arrive here, whatever spacing, patch or dimensions each member has:

    member 0   row (K, Y, X)  ->  softmax ┐
                                          ├ mean  ->  argmax  ->  labels[row]
    member 1   row (K, Y, X)  ->  softmax ┘

A row is worked on in strips that fit into the processor's cache, so that no probabilities of a whole row are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from pathlib import Path

import numpy as np

from autoseg.dataset import Labels
from autoseg.inference.export import Row
from autoseg.preprocessing.pipeline import to_original_grid
from autoseg.preprocessing.store import CaseProperties
from autoseg.tasks.segmentation.probabilities import ProbabilityFile, probabilities_of, probability_file

STRIP_BYTES = 4 * 2**20

Combination = tuple[int, ...]


def label_volumes(
    members: Sequence[Iterable[Row]],
    combinations: Sequence[Combination],
    properties: CaseProperties,
    labels: Labels,
    save_probabilities: Path | None = None,
) -> list[np.ndarray]:
    """Return label values on the image's own grid, for each combination of members, in one pass over them all.

    members: of each (row, logits (labels.output_channels, Y, X) float32), for every row along axis 0 of
        `properties.shape_cropped`, in order; all are taken one row at a time. combinations: indices into `members`.
    save_probabilities: where to write the probabilities of the first combination (see `probabilities.py`).
    Returns (Z, Y, X) uint8 (uint16 above 255) per combination; what the crop removed is background. One member alone
    needs no softmax before its argmax. Raises AutosegError where the probabilities cannot be written.
    """
    dtype = labels.from_logits(np.zeros((labels.output_channels, 1, 1, 1), np.float32)).dtype
    volumes = [np.zeros(properties.shape_cropped, dtype) for _ in combinations]
    writer: AbstractContextManager[ProbabilityFile | None] = nullcontext()
    if save_probabilities is not None:
        writer = probability_file(save_probabilities, properties, labels)
    with writer as file:
        for rows in zip(*members, strict=True):
            row, logits = rows[0][0], [of_member for _, of_member in rows]
            for strip in _strips(logits[0].shape):
                parts = _label_parts([of_member[:, strip] for of_member in logits], combinations, labels)
                for volume, part in zip(volumes, parts, strict=True):
                    volume[row, strip] = part
            if file is not None:
                file.append(_mean([probabilities_of(logits[member], labels) for member in combinations[0]]))
    return [to_original_grid(volume, properties) for volume in volumes]


def _label_parts(
    logits: Sequence[np.ndarray], combinations: Sequence[Combination], labels: Labels
) -> Iterator[np.ndarray]:
    """Yield label values (Y, X) of part of a row for each combination. logits: per member (K, Y, X)."""
    averaged = {member for combination in combinations if len(combination) > 1 for member in combination}
    probabilities = {member: probabilities_of(logits[member], labels) for member in averaged}
    for combination in combinations:
        if len(combination) == 1:
            evidence = logits[combination[0]]
        else:
            evidence = _mean([probabilities[member] for member in combination])
            if labels.has_regions:
                evidence -= 0.5  # a probability above one half has a positive logit
        yield labels.from_logits(evidence[:, None])[0]


def _mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean, a new array; one array alone is returned as it is."""
    if len(arrays) == 1:
        return arrays[0]
    total = reduce(np.add, arrays)
    total /= len(arrays)
    return total


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of axis 1 of a row (K, Y, X) float32."""
    classes, height, width = shape
    lines = max(1, STRIP_BYTES // (4 * classes * width))
    for first in range(0, height, lines):
        yield slice(first, first + lines)
