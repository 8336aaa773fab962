"""The box of non-zero voxels, and the mask with holes filled."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from autoseg.preprocessing.crop import crop, nonzero_box, nonzero_mask


def test_the_box_holds_every_non_zero_voxel_of_any_channel() -> None:
    array = np.zeros((2, 5, 6, 7), np.int16)
    array[0, 1, 2, 3] = -4
    array[1, 3, 5, 2] = 1
    box = nonzero_box(array)
    assert box == ((1, 4), (2, 6), (2, 4))
    assert crop(array, box).shape == (2, 3, 4, 2)


def test_an_image_of_zeros_keeps_its_size() -> None:
    assert nonzero_box(np.zeros((1, 2, 3, 4))) == ((0, 2), (0, 3), (0, 4))


def test_one_voxel_is_a_box() -> None:
    assert nonzero_box(np.ones((1, 1, 1, 1))) == ((0, 1), (0, 1), (0, 1))


def test_holes_are_filled_and_bays_are_not() -> None:
    ring = np.ones((1, 3, 3, 5))
    ring[0, 1, 1, 1] = 0  # enclosed
    ring[0, 1, 1, 3:] = 0  # open to the border at x = 4
    mask = nonzero_mask(ring)
    assert mask[1, 1].tolist() == [True, True, True, False, False]


def test_the_mask_equals_scipy_and_is_the_same_inside_the_box() -> None:
    rng = np.random.default_rng(0)
    array = np.zeros((2, 12, 13, 14))
    array[:, 2:9, 3:11, 1:12] = rng.random((2, 7, 8, 11)) > 0.6
    expected = ndimage.binary_fill_holes((array != 0).any(axis=0))
    assert expected.sum() > (array != 0).any(axis=0).sum()
    np.testing.assert_array_equal(nonzero_mask(array), expected)
    box = nonzero_box(array)
    np.testing.assert_array_equal(nonzero_mask(crop(array, box)), crop(expected, box))
