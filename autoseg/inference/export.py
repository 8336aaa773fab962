"""Export of logits on the network's grid to logits on the image's own, row by row along axis 0.

Slabs of logits come in as the sliding window finishes them. Each of their rows is resized in-plane; of those, only the
ones that the next output row is interpolated from are kept, so that memory holds a few rows of logits:

    slab (K, rows, Y, X)  ->  row (K, Y', X')  ->  two neighbours along axis 0  ->  row' (K, Y', X')  ->  ensemble.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autoseg.preprocessing.resample import anisotropic_axis, axis_matrix
from autoseg.preprocessing.store import CaseProperties

NEGLIGIBLE_WEIGHT = 1e-7

Row = tuple[int, np.ndarray]


def resized_rows(
    slabs: Iterable[tuple[int, np.ndarray]], properties: CaseProperties, shape: Sequence[int] | None = None
) -> Iterator[Row]:
    """Yield (row, logits (K, Y', X') float32) for each row along axis 0 of `properties.shape_cropped`, or of another grid.

    slabs: (first row, logits (K, rows, Y, X) float32) along axis 0 of the preprocessed grid
        (`properties.shape_resampled`, axes transposed), in order, without gaps; taken one at a time.
    shape: (Z', Y', X') of the other grid, which covers the same extent; None for the image's own.
    Logits are resized linearly, across a much coarser axis by nearest neighbour, as by nnU-Net. The arrays are to be
    read only: neighbouring rows may share memory.
    """
    along_z, along_y, along_x = _neighbours(properties, shape)
    kept: dict[int, np.ndarray] = {}
    row_out, rows_out = 0, len(along_z.lower)
    for first, slab in slabs:
        for row_in in range(first, first + slab.shape[1]):
            kept[row_in] = along_x.blend(along_y.blend(slab[:, row_in - first], axis=1), axis=2)
            while row_out < rows_out and along_z.upper[row_out] <= row_in:
                yield row_out, along_z.blend_row(kept, row_out)
                row_out += 1
            needed = along_z.lower[row_out] if row_out < rows_out else row_in + 1
            kept = {row: plane for row, plane in kept.items() if row >= needed}
    if row_out != rows_out:
        raise ValueError(f"{properties.case}: the slabs end at output row {row_out} of {rows_out}")


@dataclass(frozen=True)
class Neighbours:
    """The one or two input positions along an axis that each output position is interpolated from.

    lower, upper: int, the same where there is one. share: float32, of `upper`; `lower` has the rest. That is
    `axis_matrix` without its zeros: at order 1 two entries a row are left, so a product would spend its time on zeros.
    """

    lower: np.ndarray
    upper: np.ndarray
    share: np.ndarray
    size_in: int

    @classmethod
    def of(cls, size_in: int, size_out: int, order: Literal[0, 1]) -> Neighbours:
        matrix = axis_matrix(size_in, size_out, order)
        used = np.abs(matrix) > NEGLIGIBLE_WEIGHT
        lower, upper = used.argmax(axis=1), size_in - 1 - used[:, ::-1].argmax(axis=1)
        share = np.where(lower == upper, 0, matrix[np.arange(size_out), upper]).astype(np.float32)
        return cls(lower, upper, share, size_in)

    def blend(self, plane: np.ndarray, axis: Literal[1, 2]) -> np.ndarray:
        """Return `plane` (K, Y, X), resized along `axis`; `plane` itself where the axis stays as it is."""
        if len(self.lower) == self.size_in:
            return plane
        share = self.share[:, None] if axis == 1 else self.share
        resized = plane.take(self.upper, axis)
        resized -= (lower := plane.take(self.lower, axis))
        resized *= share
        resized += lower
        return resized

    def blend_row(self, planes: dict[int, np.ndarray], row: int) -> np.ndarray:
        """Return output row `row` from the planes (K, Y, X) of its input rows."""
        lower, upper, share = planes[self.lower[row]], planes[self.upper[row]], self.share[row]
        if share == 0:
            return lower
        blended: np.ndarray = upper - lower
        blended *= share
        blended += lower
        return blended


def _neighbours(properties: CaseProperties, shape: Sequence[int] | None) -> list[Neighbours]:
    """Return the neighbours for each axis of the transposed grid, from the preprocessed to the original size, or to `shape`.

    In the latter case, only the preprocessed grid says whether an axis is apart, as in nnU-Net.
    """
    present = properties.spacing_resampled_mm
    apart = anisotropic_axis(present, properties.spacing_transposed_mm if shape is None else present)
    sizes = zip(properties.shape_resampled, properties.shape_cropped if shape is None else shape, strict=True)
    return [
        Neighbours.of(size_in, size_out, order=0 if axis == apart else 1)
        for axis, (size_in, size_out) in enumerate(sizes)
    ]
