"""The connected components of a label volume, which of them touch, and the components of unions of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cc3d
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from autoseg.components.surfaces import Surfaces
from autoseg.preprocessing.crop import nonzero_box
from autoseg.voxels import slabs

CONNECTIVITY: Literal[26] = 26  # voxels that share a face, an edge or a corner belong together


def label_components(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the components of a mask, or of each value of a label volume.

    labels: (Z, Y, X) bool or integers; voxels of different values never belong together, 0 is background.
    Returns (Z, Y, X) unsigned integers, 0 where `labels` is 0 and else 1..n, and n. Memory: the result, and
    connected-components-3d's tables (Silversmith 2021).
    """
    values = np.require(labels, requirements=("C", "W"))  # the library refuses read-only arrays, such as Pillow's
    if values.dtype == bool:
        values = values.view(np.uint8)  # version 4.1.1 refuses lines of bool, such as [[[1, 0, 1]]]
    components, number = cc3d.connected_components(values, connectivity=CONNECTIVITY, return_N=True)
    return components, int(number)


@dataclass(frozen=True)
class Joined:
    """The components of a union of label values, each made of components of single values.

    members: (m,) numbers of the single values' components. of: (m,) the component of the union that each belongs to, 0 to k - 1,
    in the order of their first members. voxels: (k,) the size of each component of the union.
    """

    members: np.ndarray
    of: np.ndarray
    voxels: np.ndarray


@dataclass(frozen=True)
class ComponentGraph:
    """The components of every label value of a volume, and which of them touch: one labelling serves all unions.

    components: (z, y, x) unsigned integers, 1..n, of the part of the volume inside `box` (the foreground and a rim of one
    voxel). values: (n + 1,) label value of each component, 0 for background. voxels: (n + 1,) int64, 0 for background.
    spacing_mm: (z, y, x).
    """

    components: np.ndarray
    box: tuple[slice, slice, slice]
    values: np.ndarray
    voxels: np.ndarray
    spacing_mm: tuple[float, float, float]

    @property
    def voxel_ml(self) -> float:
        return float(np.prod(self.spacing_mm)) / 1000

    @cached_property
    def touching(self) -> np.ndarray:
        """Return (m, 2) numbers of components that share a face, an edge or a corner, each pair once, ascending."""
        return self.surfaces.touching()

    @cached_property
    def surfaces(self) -> Surfaces:
        """Return the surfaces of the components, which tell which of them touch, and how far they lie apart."""
        return Surfaces(self.components, self.spacing_mm)

    def everything(self) -> np.ndarray:
        """Return (n + 1,) bool: true for every component, false for background."""
        present = np.ones(len(self.values), bool)
        present[0] = False
        return present

    def join(self, labels: Sequence[int], present: np.ndarray) -> Joined:
        """Return the components of the union of `labels`, of those components only that are `present` ((n + 1,) bool).

        The result is the same as labelling the union anew, but comes from the graph alone: components that touch belong together.
        """
        members = np.flatnonzero(present & np.isin(self.values, labels))
        if len(labels) == 1:
            return Joined(members, np.arange(len(members)), self.voxels[members])
        position = np.full(len(self.values), -1)
        position[members] = np.arange(len(members))
        edges = position[self.touching]
        edges = edges[(edges >= 0).all(axis=1)]
        adjacency = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(len(members),) * 2)
        number, of = connected_components(adjacency, directed=False)
        voxels = np.zeros(number, np.int64)
        np.add.at(voxels, of, self.voxels[members])
        return Joined(members, of, voxels)


def component_graph(
    labels: np.ndarray, spacing_mm: tuple[float, float, float], ignore: int | None = None
) -> ComponentGraph:
    """Label a volume once, inside the foreground's bounding box.

    labels: (Z, Y, X) non-negative integers. spacing_mm: (z, y, x). ignore: a value that counts as background.
    Without foreground: no component. Memory: two to three arrays of the box's size.
    """
    spans = nonzero_box(labels[None])
    z, y, x = (slice(max(0, start - 1), stop + 1) for start, stop in spans)
    inner = np.array(labels[z, y, x], labels.dtype.newbyteorder("="), order="C")
    if ignore is not None:
        inner[inner == ignore] = 0
    components, number = label_components(inner)
    values, voxels = np.zeros(number + 1, np.int64), np.zeros(number + 1, np.int64)
    for part in slabs(inner.shape):
        foreground = inner[part] != 0
        numbers = components[part][foreground]
        values[numbers] = inner[part][foreground]
        voxels += np.bincount(numbers, minlength=number + 1)
    return ComponentGraph(components, (z, y, x), values, voxels, spacing_mm)
