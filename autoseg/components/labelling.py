"""Numbering connected components: the one definition of them, for evaluation, fingerprint and post-processing."""

from __future__ import annotations

from typing import Literal

import cc3d
import numpy as np

CONNECTIVITY: Literal[26] = 26  # voxels that share a face, an edge or a corner belong together


def label_components(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the components of a mask, or of each value of a label volume.

    labels: (Z, Y, X) bool or integers; voxels of different values never belong together, 0 is background.
    Returns (Z, Y, X) unsigned integers, 0 where `labels` is 0 and else 1..n, and n. Memory: the result, and
    connected-components-3d's tables (Silversmith 2021).
    """
    values = np.require(labels, requirements=("C", "W"))  # it refuses what is read-only, such as Pillow's arrays
    if values.dtype == bool:
        values = values.view(np.uint8)  # version 4.1.1 refuses lines of bool, such as [[[1, 0, 1]]]
    components, number = cc3d.connected_components(values, connectivity=CONNECTIVITY, return_N=True)
    return components, int(number)
