"""Cropping to the box that holds all non-zero voxels, and the mask inside it."""

from __future__ import annotations

import cc3d
import numpy as np

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def nonzero_box(array: np.ndarray) -> Box:
    """Return the smallest box that holds every voxel where any channel differs from zero.

    array: (C, Z, Y, X) of any dtype. Returns ((z0, z1), (y0, y1), (x0, x1)), half open, in the array's own frame.
    An image of zeros keeps its full size. Rule: nnU-Net's crop to the non-zero region (Isensee et al. 2021).
    """
    in_slice = np.zeros(array.shape[1], bool)
    plane = np.zeros(array.shape[2:], bool)
    for z in range(array.shape[1]):  # one slice at a time: a mask of the whole volume is never needed
        nonzero = array[:, z].any(axis=0)
        in_slice[z] = nonzero.any()
        plane |= nonzero
    if not in_slice.any():
        return ((0, array.shape[1]), (0, array.shape[2]), (0, array.shape[3]))
    return (_span(in_slice), _span(np.any(plane, axis=1)), _span(np.any(plane, axis=0)))


def crop(array: np.ndarray, box: Box) -> np.ndarray:
    """Return a view of `array` (..., Z, Y, X) inside `box`."""
    z, y, x = (slice(start, stop) for start, stop in box)
    return array[..., z, y, x]


def labelled_outside(labels: np.ndarray, box: Box, ignore: int | None) -> int:
    """Return how many voxels outside of a box are labelled: neither 0 nor ignored. labels: (Z, Y, X)."""

    def labelled(part: np.ndarray) -> int:
        return int(np.count_nonzero(part)) - (0 if ignore is None else int(np.count_nonzero(part == ignore)))

    return labelled(labels) - labelled(crop(labels, box))


def nonzero_mask(array: np.ndarray) -> np.ndarray:
    """Return where any channel differs from zero, with holes filled: zeros that are not reached from the border are inside.

    array: (C, Z, Y, X). Whether it is already cropped to its non-zero box makes no difference inside that box.
    Returns (Z, Y, X) bool. Zeros are neighbours through faces only (6-connected, in 3D), as in nnU-Net.
    """
    mask: np.ndarray = array[0] != 0
    for channel in array[1:]:
        mask |= channel != 0
    if mask.all():
        return mask
    components, count = cc3d.connected_components(np.ascontiguousarray(~mask), connectivity=6, return_N=True)
    inside = np.ones(count + 1, bool)
    for axis in range(3):
        for face in (0, -1):
            inside[np.unique(components.take(face, axis=axis))] = False
    inside[0] = True  # the mask itself
    return inside[components]


def _span(occupied: np.ndarray) -> tuple[int, int]:
    found = np.flatnonzero(occupied)
    return int(found[0]), int(found[-1]) + 1
