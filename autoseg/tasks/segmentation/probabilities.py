"""Probabilities of one case on disk, written row by row while the labels are made.

A blosc2 `.b2nd` file: (K, Z, Y, X) float16 with the axes of the image itself (transposed back), cropped to the non-zero
box that the case was predicted in. So files of different configurations can be averaged voxel by voxel. Its metadata
(`vlmeta`) hold `crop_box` ([first, end) along z, y, x of the image), `shape_original` (Z, Y, X) and `kind`: "softmax"
(one channel per class, background first) or "sigmoid" (one per region).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import blosc2
import numpy as np
from scipy.special import expit

from autoseg.dataset import Labels
from autoseg.files import atomic_path
from autoseg.preprocessing.store import CaseProperties

CHUNK_BYTES = 8 * 2**20


def probabilities_of(logits: np.ndarray, labels: Labels) -> np.ndarray:
    """Return (K, ...) float32: softmax over the classes, or the sigmoid of each region. logits: (K, ...) float32."""
    if labels.has_regions:
        values: np.ndarray = expit(logits)
        return values
    values = logits - logits.max(axis=0)
    np.exp(values, out=values)
    values /= values.sum(axis=0)
    return values


@contextmanager
def probability_file(path: Path, properties: CaseProperties, labels: Labels) -> Iterator[ProbabilityFile]:
    """Open a file that takes a case's probabilities row by row; it is there, whole, once the block ends without an exception.

    Raises AutosegError where the disk is full or the folder cannot be written.
    """
    with atomic_path(path) as temporary:
        file = ProbabilityFile(temporary, properties, labels)
        yield file
        file.flush()


class ProbabilityFile:
    """Rows are written some at a time, each time a whole chunk of the file."""

    def __init__(self, path: Path, properties: CaseProperties, labels: Labels) -> None:
        self._transpose_back = np.argsort(properties.transpose)
        self._axis = int(properties.transpose[0])  # of the image, along which rows come
        self._rows_in_all, self._flipped = properties.shape_cropped[0], properties.flipped
        self._rows: list[np.ndarray] = []
        self._written = 0
        _, height, width = properties.shape_cropped
        classes = labels.output_channels
        self._rows_per_chunk = max(1, CHUNK_BYTES // (2 * classes * height * width))
        chunk = (min(self._rows_per_chunk, properties.shape_cropped[0]), height, width)
        with _disk_full_is_said():
            self._array = blosc2.empty(
                (classes, *self._of_image(properties.shape_cropped)), np.dtype(np.float16),
                chunks=(classes, *self._of_image(chunk)), urlpath=str(path), mode="w", contiguous=True,
                cparams={"codec": blosc2.Codec.ZSTD, "clevel": 1},
            )
            metadata = self._array.schunk.vlmeta
            shape = [properties.shape_original[axis] for axis in properties.transpose]
            box = tuple((size - stop, size - start) if flip else (start, stop)
                        for (start, stop), size, flip in zip(properties.crop_box, shape, properties.flipped, strict=True))
            metadata["crop_box"] = [[int(edge) for edge in pair] for pair in self._of_image(box)]
            metadata["shape_original"] = [int(size) for size in properties.shape_original]
            metadata["kind"] = "sigmoid" if labels.has_regions else "softmax"

    def append(self, probabilities: np.ndarray) -> None:
        """Take the next row along axis 0 of the transposed grid: (K, Y, X) float32."""
        self._rows.append(probabilities.astype(np.float16))
        if len(self._rows) == self._rows_per_chunk:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are waiting."""
        if not self._rows:
            return
        stacked = np.stack(self._rows, axis=1)[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in self._flipped))]
        block = stacked.transpose(0, *(1 + self._transpose_back))
        start = self._rows_in_all - self._written - len(self._rows) if self._flipped[0] else self._written
        where = [slice(None)] * 4
        where[1 + self._axis] = slice(start, start + len(self._rows))
        with _disk_full_is_said():
            self._array[tuple(where)] = np.ascontiguousarray(block)
        self._written += len(self._rows)
        self._rows = []

    def _of_image(self, per_axis: tuple) -> tuple:  # type: ignore[type-arg]
        """Return values per transposed axis, in the order of the image's own axes."""
        return tuple(per_axis[axis] for axis in self._transpose_back)


@contextmanager
def _disk_full_is_said() -> Iterator[None]:
    """Say that the disk is full: blosc2 names no reason, and for a folder that could be written a moment ago there is one."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(errno.ENOSPC, "blosc2 could not write") from error
