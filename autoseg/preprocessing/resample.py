"""Resizing of volumes: one small matrix per axis.

Spline interpolation is linear and separable, so resizing a whole axis is a product with a matrix W, which is what
resizing makes of the identity. Volumes go through slab by slab along z:

    source (Z, Y, X)     z-slices that the slab needs     Wz @       Wy @ · @ Wx.T      clipped to the source's range
    [==============]  ->      [====]                  ->  [==]   ->     [==]        ->  written to the output
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import ndimage

ANISOTROPY_THRESHOLD = 3.0  # coarsest : finest spacing above which the coarsest axis is resampled by nearest
SLAB_VOXELS = 2**21  # 8 MB of float32
ROWS_PER_BLOCK = 96
NEGLIGIBLE_WEIGHT = 1e-8
VANISHING_WEIGHT = 1e-20  # zero from here on: it changes no sum in float32, and numbers below 1e-38 make products 9 times slower
TIE = 1e-5  # linear scores of labels that differ by less count as equal

Shape = tuple[int, int, int]


def resampled_shape(shape: Sequence[int], spacing_mm: Sequence[float], new_spacing_mm: Sequence[float]) -> Shape:
    """Return the voxels along each axis after resampling: the old extent in new voxels, rounded half to even, at least 1."""
    z, y, x = (
        max(1, round(float(old) / float(new) * int(size)))
        for size, old, new in zip(shape, spacing_mm, new_spacing_mm, strict=True)
    )
    return z, y, x


def anisotropic_axis(spacing_mm: Sequence[float], new_spacing_mm: Sequence[float]) -> int | None:
    """Return the axis to be resampled apart from the others, by nearest neighbour; None where all are resampled alike.

    nnU-Net's rule: the coarsest axis where max / min spacing is above 3, looked at in the present grid first, then in
    the new one. Where two axes are equally coarse, as in (0.2, 1.2, 1.2), none is apart.
    """
    for spacing in (np.asarray(spacing_mm, float), np.asarray(new_spacing_mm, float)):
        if spacing.max() / spacing.min() > ANISOTROPY_THRESHOLD:
            coarsest = np.flatnonzero(spacing == spacing.max())
            return int(coarsest[0]) if len(coarsest) == 1 else None
    return None


@lru_cache(maxsize=24)
def axis_matrix(size_in: int, size_out: int, order: int) -> np.ndarray:
    """Return W such that `W @ values` resizes `size_in` values along an axis to `size_out`.

    order: of the spline, 0 to 5. Both grids cover the same extent (voxel edges coincide), borders are repeated.
    Returns (size_out, size_in) float32, read-only; rows add up to 1. Equals scikit-image's
    `resize(order, mode="edge", anti_aliasing=False)` along that axis before clipping.
    """
    identity = np.eye(size_in)
    matrix = ndimage.zoom(identity, (size_out / size_in, 1), order=order, mode="nearest", grid_mode=True)
    matrix = np.where(np.abs(matrix) < VANISHING_WEIGHT, 0, matrix).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=24)
def area_matrix(size_in: int, size_out: int) -> np.ndarray:
    """Return W such that `W @ values` resizes `size_in` values along an axis to `size_out`, without aliasing.

    Where the axis shrinks, a new value is the mean of the old ones over its extent, weighted by the share that each covers. Where
    it grows, values are interpolated linearly, as `axis_matrix` does. Both grids cover the same extent. Returns (size_out,
    size_in) float32, read-only; rows add up to 1.
    """
    if size_out > size_in:
        return axis_matrix(size_in, size_out, 1)
    edges = np.arange(size_out + 1) * (size_in / size_out)
    old = np.arange(size_in)
    covered = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    matrix = (np.clip(covered, 0, None) * (size_out / size_in)).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=24)
def nearest_indices(size_in: int, size_out: int) -> np.ndarray:
    """Return (size_out,) int64, read-only: for each voxel of the new axis the voxel of the old one that is nearest."""
    positions = np.arange(size_in, dtype=np.float64)
    indices = ndimage.zoom(positions, size_out / size_in, order=0, mode="nearest", grid_mode=True).astype(np.int64)
    indices.flags.writeable = False
    return indices


def resize(
    volume: np.ndarray,
    shape_out: Sequence[int],
    order: int,
    anisotropic_axis: int | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Resize a volume to another grid that covers the same extent.

    volume: (Z, Y, X), any real dtype. shape_out: (Z', Y', X'). order: of the spline (image 3, probabilities 1).
    anisotropic_axis: the axis that takes nearest neighbours while the other two take `order`, slice by slice.
    Returns (Z', Y', X') float32, clipped to the range of the source (of each source slice, where an axis is
    anisotropic), in `out` (float32, of that shape) where it is given.
    Values equal scikit-image's `resize(order, mode="edge", anti_aliasing=False)` to float32 precision.
    """
    shape_out = tuple(int(size) for size in shape_out)
    out = np.empty(shape_out, np.float32) if out is None else out
    if volume.shape == shape_out:
        out[...] = volume
    elif order == 0:
        out[...] = resize_nearest(volume, shape_out)
    elif anisotropic_axis is None:
        _resize_into(out, volume, order)
    else:
        _resize_slices_into(np.moveaxis(out, anisotropic_axis, 0), np.moveaxis(volume, anisotropic_axis, 0), order)
    return out


def resize_nearest(volume: np.ndarray, shape_out: Sequence[int]) -> np.ndarray:
    """Return (Z', Y', X') of the source's dtype: each voxel takes the value of the nearest voxel of `volume` (Z, Y, X)."""
    return volume[np.ix_(*(nearest_indices(n, int(m)) for n, m in zip(volume.shape, shape_out, strict=True)))]


def resize_labels(labels: np.ndarray, shape_out: Sequence[int], anisotropic_axis: int | None = None) -> np.ndarray:
    """Resize label values to another grid that covers the same extent.

    labels: (Z, Y, X) integers >= 0. shape_out: (Z', Y', X'). Returns (Z', Y', X') of the same dtype.
    Each label's mask is resized linearly, and the label (background is one) with the highest share takes the voxel;
    of equal shares the label of the nearest voxel wins, else the lowest value. With a single label this is
    "share above one half". anisotropic_axis: resized by nearest neighbour, after the others. Rule: nnU-Net 2.8's.
    """
    shape_out = tuple(int(size) for size in shape_out)
    if labels.shape == shape_out:
        return labels
    if anisotropic_axis is not None:
        in_plane = [*shape_out]
        in_plane[anisotropic_axis] = labels.shape[anisotropic_axis]
        return resize_nearest(resize_labels(labels, in_plane), shape_out)
    out = np.zeros(shape_out, labels.dtype)
    boxes = _label_boxes(labels, shape_out)
    for z0, z1 in _slabs(shape_out[0], shape_out[1] * shape_out[2]):
        here = [box for box in boxes if box.target[0].start < z1 and box.target[0].stop > z0]
        if here:
            _paint_slab(out, labels, here, z0, z1)
    return out


@lru_cache(maxsize=24)
def matrix_blocks(size_in: int, size_out: int, order: int) -> tuple[tuple[slice, slice, np.ndarray], ...]:
    """Return `axis_matrix` without most of its zeros: (rows, columns, weights of these); the blocks' rows make up all rows.

    A spline's weights fade within some 13 voxels, so a block of rows needs few columns: a third of the time.
    """
    matrix = axis_matrix(size_in, size_out, order)
    blocks = []
    for start in range(0, size_out, ROWS_PER_BLOCK):
        rows = slice(start, min(start + ROWS_PER_BLOCK, size_out))
        columns = slice(*_used_columns(matrix[rows]))
        blocks.append((rows, columns, np.ascontiguousarray(matrix[rows, columns])))
    return tuple(blocks)


def _resize_into(out: np.ndarray, volume: np.ndarray, order: int) -> None:
    """Fill `out` with `volume` resized along all axes, clipped to the volume's range."""
    lowest, highest = volume.min(), volume.max()
    for z0, z1 in _slabs(out.shape[0], max(volume[0].size, out[0].size)):
        if len(volume) == len(out):
            slab = volume[z0:z1]
        else:
            rows = axis_matrix(len(volume), len(out), order)[z0:z1]
            first, last = _used_columns(rows)
            slab = np.tensordot(rows[:, first:last], volume[first:last].astype(np.float32, copy=False), 1)
        _resize_in_plane(slab, out[z0:z1], order)
        np.clip(out[z0:z1], lowest, highest, out=out[z0:z1])


def _resize_slices_into(out: np.ndarray, volume: np.ndarray, order: int) -> None:
    """Fill `out` with the slices of `volume` along axis 0, each resized and clipped by itself, the nearest for each."""
    source_of = nearest_indices(len(volume), len(out))
    for z0, z1 in _slabs(len(volume), max(volume[0].size, out[0].size)):
        wanted = np.flatnonzero((source_of >= z0) & (source_of < z1))
        if len(wanted):
            slab = volume[z0:z1]
            resized = np.empty((z1 - z0, *out.shape[1:]), np.float32)
            _resize_in_plane(slab, resized, order)
            np.clip(resized, slab.min((1, 2), keepdims=True), slab.max((1, 2), keepdims=True), out=resized)
            for z in wanted:
                out[z] = resized[source_of[z] - z0]


def _resize_in_plane(slab: np.ndarray, out: np.ndarray, order: int) -> None:
    """Resize (n, Y, X) to `out` (n, Y', X') float32; an axis that keeps its size is skipped."""
    if slab.shape == out.shape:
        out[...] = slab
        return
    slab = np.ascontiguousarray(slab, np.float32)
    if slab.shape[1] != out.shape[1]:
        in_y = out if slab.shape[2] == out.shape[2] else np.empty((len(slab), out.shape[1], slab.shape[2]), np.float32)
        for rows, columns, weights in matrix_blocks(slab.shape[1], out.shape[1], order):
            np.matmul(weights, slab[:, columns], out=in_y[:, rows])
        slab = in_y
    if slab.shape[2] != out.shape[2]:
        for rows, columns, weights in matrix_blocks(slab.shape[2], out.shape[2], order):
            np.matmul(slab[:, :, columns], weights.T, out=out[:, :, rows])


def _used_columns(rows: np.ndarray) -> tuple[int, int]:
    """Return the range of source positions, half open, that have weight in any of these rows of a matrix."""
    used = np.flatnonzero((np.abs(rows) > NEGLIGIBLE_WEIGHT).any(axis=0))
    return int(used[0]), int(used[-1]) + 1


def _slabs(size: int, voxels_per_slice: int) -> list[tuple[int, int]]:
    step = max(1, SLAB_VOXELS // max(1, voxels_per_slice))
    return [(start, min(start + step, size)) for start in range(0, size, step)]


class _LabelBox:
    """The part of both grids that one label can touch.

    source: its bounding box in the old grid. target: the box in the new grid where it has any share.
    matrices: the linear resize of each axis, from all of the old axis to all of the new one.
    """

    def __init__(
        self, value: int, source: tuple[slice, ...], shape_in: Sequence[int], shape_out: Sequence[int]
    ) -> None:
        self.value = value
        self.source = source
        self.matrices = [axis_matrix(n, m, 1) for n, m in zip(shape_in, shape_out, strict=True)]
        reached = [_used_columns(w[:, s].T) for w, s in zip(self.matrices, source, strict=True)]
        self.target = tuple(slice(start, stop) for start, stop in reached)

    def share(self, labels: np.ndarray, target_z: slice) -> np.ndarray:
        """Return (len(target_z), Y', X') float32 within the target box: the share of each new voxel that is this label's."""
        _, y, x = self.source
        weights_z, weights_y, weights_x = self.matrices
        first, last = _used_columns(weights_z[target_z])
        z = slice(max(first, self.source[0].start), min(last, self.source[0].stop))
        mask = (labels[z, y, x] == self.value).astype(np.float32)
        mask = np.tensordot(weights_z[target_z, z], mask, 1)
        return np.matmul(np.matmul(weights_y[self.target[1], y], mask), weights_x[self.target[2], x].T)


def _label_boxes(labels: np.ndarray, shape_out: Sequence[int]) -> list[_LabelBox]:
    """Return a box for each label other than background that occurs, by ascending value."""
    found = enumerate(ndimage.find_objects(labels), start=1)
    return [_LabelBox(value, source, labels.shape, shape_out) for value, source in found if source is not None]


def _paint_slab(out: np.ndarray, labels: np.ndarray, boxes: list[_LabelBox], z0: int, z1: int) -> None:
    """Write the labels that win into the slices z0 to z1 of `out`."""
    y0, x0 = (min(box.target[axis].start for box in boxes) for axis in (1, 2))
    y1, x1 = (max(box.target[axis].stop for box in boxes) for axis in (1, 2))
    indices = [nearest_indices(n, m) for n, m in zip(labels.shape, out.shape, strict=True)]
    nearest = labels[np.ix_(indices[0][z0:z1], indices[1][y0:y1], indices[2][x0:x1])]
    winner = np.zeros_like(nearest)
    highest, background = np.zeros(nearest.shape, np.float32), np.ones(nearest.shape, np.float32)
    for box in boxes:
        target_z = slice(max(z0, box.target[0].start), min(z1, box.target[0].stop))
        here = (
            slice(target_z.start - z0, target_z.stop - z0),
            slice(box.target[1].start - y0, box.target[1].stop - y0),
            slice(box.target[2].start - x0, box.target[2].stop - x0),
        )
        share = box.share(labels, target_z)
        background[here] -= share
        share += TIE * (nearest[here] == box.value)
        wins = share > highest[here]
        highest[here][wins] = share[wins]
        winner[here][wins] = box.value
    background += TIE * (nearest == 0)
    winner[background >= highest] = 0
    out[z0:z1, y0:y1, x0:x1] = winner
