"""From logits on the network's grid to label values on the image's own, row by row along axis 0.

Slabs of logits come in as the sliding window finishes them. Each of their rows is resized in-plane; of those, only the
ones that the next output row is interpolated from are kept, so that memory holds a few rows of logits and one volume of
labels:

    slab (K, rows, Y, X)  ->  row (K, Y', X')  ->  two neighbours along axis 0  ->  argmax  ->  labels[row']
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from autoseg.dataset import Labels
from autoseg.inference.probabilities import ProbabilityFile, probability_file
from autoseg.preprocessing.pipeline import to_original_grid
from autoseg.preprocessing.properties import CaseProperties
from autoseg.preprocessing.resample import anisotropic_axis, axis_matrix

NEGLIGIBLE_WEIGHT = 1e-7


def export_labels(
    slabs: Iterable[tuple[int, np.ndarray]],
    properties: CaseProperties,
    labels: Labels,
    save_probabilities: Path | None = None,
) -> np.ndarray:
    """Label values on the image's own grid.

    slabs: (first row, logits (labels.output_channels, rows, Y, X) float32) along axis 0 of the preprocessed grid
        (`properties.shape_resampled`, axes transposed), in order, without gaps; taken one at a time.
    save_probabilities: where to write the classes' probabilities (see `probabilities.py`); None for nowhere.
    Returns (Z, Y, X) uint8 (uint16 above 255) on the image's own grid; what the crop removed is background.
    Logits are resized linearly, across a much coarser axis by nearest neighbour, as by nnU-Net; no softmax is needed
    before the argmax. Raises AutosegError where the probabilities cannot be written.
    """
    dtype = labels.from_logits(np.zeros((labels.output_channels, 1, 1, 1), np.float32)).dtype
    volume = np.zeros(properties.shape_cropped, dtype)
    writer: AbstractContextManager[ProbabilityFile | None] = nullcontext()
    if save_probabilities is not None:
        writer = probability_file(save_probabilities, properties, labels)
    with writer as probabilities:
        for row, logits in resized_rows(slabs, properties):
            volume[row] = labels.from_logits(logits[:, None])[0]
            if probabilities is not None:
                probabilities.append(logits)
    return to_original_grid(volume, properties)


def resized_rows(
    slabs: Iterable[tuple[int, np.ndarray]], properties: CaseProperties
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (row, logits (K, Y', X') float32) for each row along axis 0 of `properties.shape_cropped`."""
    matrix_z, matrix_y, matrix_x = _matrices(properties)
    rows_out = properties.shape_cropped[0]
    taps = [_taps(matrix_z, row) for row in range(rows_out)]
    kept: dict[int, np.ndarray] = {}
    row_out = 0
    for first, slab in slabs:
        for row_in in range(first, first + slab.shape[1]):
            kept[row_in] = _resize_plane(slab[:, row_in - first], matrix_y, matrix_x)
            while row_out < rows_out and max(taps[row_out]) <= row_in:
                yield row_out, _combine(kept, taps[row_out])
                row_out += 1
            needed = min(taps[row_out]) if row_out < rows_out else row_in + 1
            kept = {row: plane for row, plane in kept.items() if row >= needed}
    if row_out != rows_out:
        raise ValueError(f"{properties.case}: the slabs end at output row {row_out} of {rows_out}")


def _matrices(properties: CaseProperties) -> list[np.ndarray | None]:
    """For each axis the matrix (size out, size in) that resizes it; None where it stays as it is."""
    apart = anisotropic_axis(properties.spacing_resampled_mm, properties.spacing_transposed_mm)
    sizes = zip(properties.shape_resampled, properties.shape_cropped, strict=True)
    return [
        None if size_in == size_out else axis_matrix(size_in, size_out, order=0 if axis == apart else 1)
        for axis, (size_in, size_out) in enumerate(sizes)
    ]


def _taps(matrix: np.ndarray | None, row: int) -> dict[int, float]:
    """The input rows that an output row is made of, with their weights."""
    if matrix is None:
        return {row: 1.0}
    return {int(i): float(matrix[row, i]) for i in np.flatnonzero(np.abs(matrix[row]) > NEGLIGIBLE_WEIGHT)}


def _resize_plane(plane: np.ndarray, matrix_y: np.ndarray | None, matrix_x: np.ndarray | None) -> np.ndarray:
    """(K, Y, X) -> (K, Y', X'), in memory of its own only where something changes."""
    if matrix_y is not None:
        plane = matrix_y @ plane
    if matrix_x is not None:
        plane = plane @ matrix_x.T
    return plane


def _combine(planes: dict[int, np.ndarray], taps: dict[int, float]) -> np.ndarray:
    """The weighted sum of some rows' planes."""
    (first, weight), *others = taps.items()
    if not others:
        return planes[first]
    total = planes[first] * np.float32(weight)
    for row, weight in others:
        total += planes[row] * np.float32(weight)
    return total
