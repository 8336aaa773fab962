"""Masks become contours and again masks: every voxel, whatever the mask; by two readers of different kind, too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from skimage.draw import polygon2mask

from autoseg.image_io.dicom.contours import closed_contours
from autoseg.image_io.dicom.filling import TooManyCrossings, fill


def filled(contours: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    if contours:
        fill(mask, contours)
    return mask


def rings(size: int) -> np.ndarray:
    """A hole in a disc in a hole in a disc ..., each 2 voxels wide."""
    y, x = np.mgrid[:size, :size] - size // 2
    return np.hypot(y, x) // 2 % 2 == 0


def diagonal() -> np.ndarray:
    return np.eye(7, dtype=bool) | np.eye(7, dtype=bool)[::-1]


CASES: dict[str, np.ndarray] = {
    "full plane": np.ones((5, 9), bool), "single voxel": np.pad(np.ones((1, 1), bool), 2), "all of one": np.ones((1, 1), bool),
    "checkerboard": np.indices((8, 9)).sum(axis=0) % 2 == 0, "rings": rings(41), "diagonals": diagonal(),
    "a row": np.ones((1, 7), bool), "a column": np.ones((7, 1), bool), "empty": np.zeros((4, 4), bool),
    "lattice": ~((np.indices((15, 15)) % 2 == 1).all(axis=0)),
    **{f"random {share}": np.random.default_rng(7).random((40, 33)) < share for share in (0.05, 0.3, 0.5, 0.7, 0.95)},
}


@pytest.mark.parametrize("mask", CASES.values(), ids=CASES)
def test_a_mask_comes_back_as_it_was(mask: np.ndarray) -> None:
    assert np.array_equal(filled(closed_contours(mask), mask.shape), mask)


@pytest.mark.parametrize("combine", [np.logical_or, np.logical_xor], ids=["union", "xor"])
@pytest.mark.parametrize("mask", CASES.values(), ids=CASES)
def test_other_readers_see_the_mask_however_they_combine_contours(mask: np.ndarray, combine: Callable[..., np.ndarray]) -> None:
    """scikit-image's and matplotlib's tests of points know nothing of ours."""
    centres = np.argwhere(np.ones_like(mask))
    by_skimage, by_matplotlib = np.zeros_like(mask), np.zeros(mask.size, bool)
    for contour in closed_contours(mask):
        by_skimage = combine(by_skimage, polygon2mask(mask.shape, contour[:, ::-1]))
        by_matplotlib = combine(by_matplotlib, Polygon([*contour, contour[0]], closed=True).contains_points(centres[:, ::-1]))
    assert np.array_equal(by_skimage, mask)
    assert np.array_equal(by_matplotlib.reshape(mask.shape), mask)


def test_a_square_has_the_contour_that_is_drawn_by_hand() -> None:
    """2×2 voxels from (x, y) = (1, 1): lines half a voxel outside, corners cut."""
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1:3] = True
    contour, = closed_contours(mask)
    near, far = 0.501, 2.499  # half a voxel less a thousandth
    assert sorted(map(tuple, contour)) == [
        (near, 1), (near, 2), (1, near), (1, far), (2, near), (2, far), (far, 1), (far, 2)]


@pytest.mark.parametrize("mask", CASES.values(), ids=CASES)
def test_points_round_to_voxels_inside(mask: np.ndarray) -> None:
    """For programs such as rt-utils, which round points to whole voxels and fill to the line."""
    for contour in closed_contours(mask):
        x, y = np.rint(contour).astype(int).T
        assert mask[y, x].all()


def test_a_ring_is_one_contour_that_goes_in_and_back() -> None:
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    contour, = closed_contours(mask)
    points = list(map(tuple, contour))
    assert points.count((-0.499, 2)) == 2 and points.count((1.499, 2)) == 2


@pytest.mark.parametrize("noise", [0, 1e-9, 1e-4])
@pytest.mark.parametrize("shift", [0, 1e5], ids=["near", "far"])
def test_rounding_changes_no_voxel(noise: float, shift: float) -> None:
    mask = CASES["random 0.7"]
    rng = np.random.default_rng(3)
    contours = [(contour + shift + noise * rng.uniform(-1, 1, contour.shape)) - shift for contour in closed_contours(mask)]
    assert np.array_equal(filled(contours, mask.shape), mask)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def test_contours_in_contours_are_holes_and_islands() -> None:
    expected = np.zeros((9, 9), bool)
    expected[0:9, 0:9], expected[2:7, 2:7], expected[4, 4] = True, False, True
    contours = [box(-0.5, -0.5, 8.5, 8.5), box(1.5, 1.5, 6.5, 6.5), box(3.6, 3.6, 4.4, 4.4)]
    assert np.array_equal(filled(contours, (9, 9)), expected)


def test_centres_on_a_contour_are_inside() -> None:
    """As OpenCV draws: through the centres of the region's own outer voxels, also those around a hole; one alone is a point."""
    expected = np.zeros((9, 9), bool)
    expected[1:6, 1:6], expected[3, 3], expected[8, 8] = True, False, True
    hole = np.array([(2, 3), (3, 2), (4, 3), (3, 4)])
    contours = [box(1, 1, 5, 5), hole.astype(float), np.array([(8.0, 8.0)])]
    assert np.array_equal(filled(contours, (9, 9)), expected)


def test_a_contour_outside_the_plane_is_cut() -> None:
    assert filled([box(-50, -50, 1.2, 1.2)], (4, 4)).sum() == 4
    assert filled([box(-50, -50, 50, 50)], (4, 4)).all()
    assert not filled([box(7, 7, 50, 50)], (4, 4)).any()
    assert not filled([box(-9, 1, -3, 2)], (4, 4)).any()


def test_contours_that_cross_every_row_for_ever_are_refused() -> None:
    zigzag = np.array([(0, -1e6), (1, 1e6)] * 100_000, float)
    with pytest.raises(TooManyCrossings):
        filled([zigzag], (64, 4))
