"""From closed contours to the mask of a plane; shares nothing with `contours`, so that one can check the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

ON_THE_LINE = 0.01  # voxels
AT_ONCE = 1 << 22  # crossings of lines with rows of voxels
MOST_COMPARED = 100  # contours of a plane
MOST_CROSSINGS = 100  # per voxel of the part of a plane that contours lie in


class TooManyCrossings(ValueError):
    """Contours cross the rows of voxels far more often than any structure's can."""


def fill(mask: np.ndarray, contours: Sequence[np.ndarray]) -> None:
    """Set the voxels of a mask (Y, X), bool, that lie inside closed contours.

    contours: each (N, 2) float64, (x, y) in voxels, finite; its last point is joined to its first. A voxel is inside where a line
    from its centre to the outside crosses the contours, all together, an odd number of times: so contours in contours are holes,
    and a way to a hole and back encloses nothing. A centre on a contour, within 0.01 voxels, is inside, too: some programs draw
    through the centres of a region's outer voxels. Raises TooManyCrossings.
    """
    points = np.concatenate(contours)
    lowest = np.floor(np.maximum(points.min(axis=0) - 1, 0)).astype(int)
    highest = np.ceil(np.minimum(points.max(axis=0) + 1, (mask.shape[1] - 1, mask.shape[0] - 1))).astype(int)
    if (highest < lowest).any():
        return
    (left, top), (right, bottom) = lowest, highest
    part = mask[top:bottom + 1, left:right + 1]
    starts = points - lowest
    ends = np.concatenate([np.roll(contour, -1, axis=0) for contour in contours]) - lowest
    part |= _inside(starts, ends, part.shape) | _on_rows(starts, ends, part.shape)
    part |= _on_rows(starts[:, ::-1], ends[:, ::-1], part.shape[::-1]).T


def cross(contours: Sequence[np.ndarray], shape: tuple[int, ...]) -> bool:
    """Tell whether two contours of a plane (Y, X) share voxels, and each has some that the other lacks: then none is a hole.

    Where there are more than a hundred, as around noise, they are not compared.
    """
    if len(contours) > MOST_COMPARED:
        return False
    boxes = [np.concatenate([contour.min(axis=0), contour.max(axis=0)]) for contour in contours]
    masks: dict[int, np.ndarray] = {}

    def mask_of(index: int) -> np.ndarray:
        if index not in masks:
            masks[index] = np.zeros(shape, bool)
            fill(masks[index], [contours[index]])
        return masks[index]

    for index, (left, top, right, bottom) in enumerate(boxes):
        for other in range(index):
            its = boxes[other]
            if its[0] <= right and its[2] >= left and its[1] <= bottom and its[3] >= top:
                one, two = mask_of(index), mask_of(other)
                if (one & two).any() and (one & ~two).any() and (two & ~one).any():
                    return True
    return False


def _inside(starts: np.ndarray, ends: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask of the even-odd rule. starts, ends: (N, 2), (x, y), of the lines."""
    low, high = _upwards(starts, ends)
    crossed = np.zeros(shape[0] * (shape[1] + 1), np.int64)
    for lines, rows in _rows(np.ceil(low[:, 1]), np.ceil(high[:, 1]) - 1, shape):  # a row at the upper end is not crossed
        (x, y), (other_x, other_y) = low[lines].T, high[lines].T
        column = np.ceil(x + (rows - y) * ((other_x - x) / (other_y - y))).clip(0, shape[1]).astype(int)
        crossed += np.bincount(rows * (shape[1] + 1) + column, minlength=crossed.size)
    is_odd: np.ndarray = crossed.reshape(shape[0], shape[1] + 1)[:, :-1].cumsum(axis=1) % 2 == 1
    return is_odd


def _on_rows(starts: np.ndarray, ends: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask of centres that lie on a line where it crosses the centre line of their row, or ends there."""
    low, high = _upwards(starts, ends)
    mask = np.zeros(shape, bool)
    for lines, rows in _rows(np.ceil(low[:, 1] - ON_THE_LINE), np.floor(high[:, 1] + ON_THE_LINE), shape):
        (x, y), (other_x, other_y) = low[lines].T, high[lines].T
        share = np.divide(rows - y, other_y - y, out=np.zeros(len(rows)), where=other_y > y).clip(0, 1)
        at = x + share * (other_x - x)
        column = np.rint(at.clip(-1, shape[1]))
        is_on = (np.abs(at - column) <= ON_THE_LINE) & (column >= 0) & (column < shape[1])
        mask[rows[is_on], column[is_on].astype(int)] = True
    return mask


def _upwards(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of lines, the one with the smaller y first, so that a line and its way back are computed alike."""
    swapped = (ends[:, 1] < starts[:, 1]) | ((ends[:, 1] == starts[:, 1]) & (ends[:, 0] < starts[:, 0]))
    return np.where(swapped[:, None], ends, starts), np.where(swapped[:, None], starts, ends)


def _rows(first: np.ndarray, last: np.ndarray, shape: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of a line's number and a row of the grid, for all rows from its first to its last; so many at once as fit."""
    first = first.clip(0, shape[0]).astype(int)
    counts = (last.clip(-1, shape[0] - 1).astype(int) - first + 1).clip(0)
    if (total := int(counts.sum())) > MOST_CROSSINGS * (shape[0] * shape[1] + 1000):
        raise TooManyCrossings(f"{total} crossings of contours with rows of voxels")
    stops = counts.cumsum()
    begin = 0
    while begin < len(counts):
        end = max(begin + 1, int(np.searchsorted(stops, stops[begin] - counts[begin] + AT_ONCE, side="right")))
        lines = np.repeat(np.arange(begin, end), counts[begin:end])
        before = np.repeat(stops[begin:end] - counts[begin:end], counts[begin:end])
        at = np.arange(len(lines)) + stops[begin] - counts[begin]
        yield lines, first[lines] + at - before
        begin = end
