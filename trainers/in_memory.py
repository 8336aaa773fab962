"""Preprocessed cases that are kept in memory, where all of them fit: small datasets are then not read again for each patch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from autoseg.parallel import free_memory_bytes
from autoseg.preprocessing.crop import Box
from autoseg.tasks.segmentation.store import StoredVolume

SHARE_OF_FREE_MEMORY = 0.25
LABEL_BYTES = 2  # of a voxel, at most


class CaseInMemory:
    """As `StoredVolume`, but its arrays are read once, when they are first asked for. They are not to be written to."""

    def __init__(self, stored: StoredVolume) -> None:
        self._stored = stored
        self._voxels: dict[int, np.ndarray] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X) of the resampled grid."""
        return self._stored.shape

    @property
    def foreground_counts(self) -> dict[int, int]:
        """See `StoredVolume`."""
        return self._stored.foreground_counts

    def read_data(self, box: Box) -> np.ndarray:
        """(C, z1 - z0, y1 - y0, x1 - x0) float32 inside `box`."""
        return self._data[(slice(None), *(slice(*edges) for edges in box))]

    def read_seg(self, box: Box) -> np.ndarray:
        """(1, z1 - z0, y1 - y0, x1 - x0) int8 or int16 label values inside `box`."""
        return self._seg[(slice(None), *(slice(*edges) for edges in box))]

    def voxels_of(self, key: int) -> np.ndarray:
        """(N, 3) int32 (z, y, x); see `StoredVolume`."""
        if key not in self._voxels:
            self._voxels[key] = self._stored.voxels_of(key)
        return self._voxels[key]

    @cached_property
    def _data(self) -> np.ndarray:
        return self._stored.read_data()

    @cached_property
    def _seg(self) -> np.ndarray:
        return self._stored.read_seg()


def kept_in_memory(cases: Sequence[StoredVolume], channels: int) -> list[StoredVolume] | list[CaseInMemory]:
    """The cases in memory where together they take at most a quarter of what is free, else as they are on disk."""
    voxels = sum(int(np.prod(case.shape)) for case in cases)
    if voxels * (4 * channels + LABEL_BYTES) > SHARE_OF_FREE_MEMORY * free_memory_bytes():
        return list(cases)
    return [CaseInMemory(case) for case in cases]
