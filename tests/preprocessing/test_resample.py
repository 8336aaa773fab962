"""Resizing against scikit-image, scipy and answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import resize as skimage_resize

from autoseg.preprocessing import resample
from autoseg.preprocessing.resample import anisotropic_axis, area_matrix, axis_matrix, resampled_shape, resize, resize_labels


def peer_resize(volume: np.ndarray, shape_out: tuple[int, ...], order: int) -> np.ndarray:
    """scikit-image's resize with the settings that nnU-Net uses."""
    return skimage_resize(volume.astype(float), shape_out, order, mode="edge", anti_aliasing=False, clip=True)


def peer_labels(labels: np.ndarray, shape_out: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The label whose linearly resized mask is highest, and where no other comes near."""
    values = np.unique(labels)
    shares = np.stack([peer_resize(labels == value, shape_out, 1) for value in values])
    second, first = np.sort(shares, axis=0)[-2:]
    return values[shares.argmax(axis=0)], first - second > 1e-4


def assert_labels_equal_peer(labels: np.ndarray, shape_out: tuple[int, ...]) -> None:
    expected, clear = peer_labels(labels, shape_out)
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(resize_labels(labels, shape_out)[clear], expected[clear])


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize(
    ("shape", "shape_out"),
    [((7, 20, 33), (9, 31, 21)), ((40, 30, 20), (13, 30, 41)), ((1, 17, 16), (1, 30, 9)), ((5, 1, 8), (3, 4, 8)),
     ((1, 1, 1), (3, 2, 1))],
)
def test_resize_equals_scikit_image(shape: tuple[int, ...], shape_out: tuple[int, ...], order: int) -> None:
    volume = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(resize(volume, shape_out, order), peer_resize(volume, shape_out, order), atol=1e-5)


def test_resize_in_many_slabs_equals_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resample, "SLAB_VOXELS", 1500)
    volume = np.random.default_rng(1).normal(size=(50, 30, 31)).astype(np.float32)
    np.testing.assert_allclose(resize(volume, (71, 20, 40), 3), peer_resize(volume, (71, 20, 40), 3), atol=1e-5)


def test_linear_doubling_by_hand() -> None:
    row = np.array([[[0, 1, 3]]], np.float32)
    assert resize(row, (1, 1, 6), 1).ravel().tolist() == [0, 0.25, 0.75, 1.5, 2.5, 3]


def test_spline_overshoot_is_clipped_to_the_range_of_the_source() -> None:
    step = np.zeros((1, 1, 12), np.float32)
    step[..., 6:] = 100
    unclipped = axis_matrix(12, 30, 3) @ step.ravel()
    assert unclipped.min() < -1 and unclipped.max() > 101
    resized = resize(step, (1, 1, 30), 3)
    assert resized.min() == 0 and resized.max() == 100


def test_constant_volume_stays_constant() -> None:
    resized = resize(np.full((4, 5, 6), -1000, np.float32), (7, 3, 9), 3)
    np.testing.assert_array_equal(resized, np.full((7, 3, 9), -1000, np.float32))


def test_integers_are_read_as_they_are() -> None:
    volume = np.random.default_rng(2).integers(-1024, 3071, (6, 14, 15)).astype(np.int16)
    expected = peer_resize(volume, (9, 10, 21), 3)
    np.testing.assert_allclose(resize(volume, (9, 10, 21), 3), expected, rtol=1e-5, atol=1e-2)


def test_same_shape_is_copied_as_it_is_into_the_memory_that_is_given() -> None:
    volume = np.random.default_rng(3).normal(size=(3, 4, 5)).astype(np.float32)
    out = np.empty((3, 4, 5), np.float32)
    assert resize(volume, (3, 4, 5), 3, out=out) is out
    np.testing.assert_array_equal(out, volume)


def test_rows_of_a_matrix_add_up_to_one_and_are_shared() -> None:
    matrix = axis_matrix(37, 50, 3)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    assert axis_matrix(37, 50, 3) is matrix
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 1


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("size_out", [3, 6, 17])
def test_anisotropic_axis_takes_the_nearest_slice_and_the_others_the_spline(axis: int, size_out: int) -> None:
    volume = np.random.default_rng(4).normal(size=(6, 14, 15)).astype(np.float32)
    volume = np.moveaxis(volume, 0, axis)
    shape_out = [9, 10, 11]
    shape_out[axis] = size_out
    in_plane = [size for a, size in enumerate(shape_out) if a != axis]
    slices = np.stack([peer_resize(s, tuple(in_plane), 3) for s in np.moveaxis(volume, axis, 0)])
    positions = (np.arange(size_out) + 0.5) * 6 / size_out - 0.5
    expected = slices[ndimage.map_coordinates(np.arange(6.0), [positions], order=0, mode="nearest").astype(int)]
    resized = resize(volume, shape_out, 3, anisotropic_axis=axis)
    np.testing.assert_allclose(np.moveaxis(resized, axis, 0), expected, atol=1e-5)


def test_labels_equal_the_highest_linear_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resample, "SLAB_VOXELS", 2000)
    rng = np.random.default_rng(5)
    labels = np.zeros((20, 31, 28), np.uint8)
    for value in (1, 2, 3, 7):
        z, y, x = rng.integers(0, 14, 3)
        labels[z:z + 6, y:y + 11, x:x + 9] = value
    for shape_out in ((17, 37, 23), (29, 23, 37)):
        assert resize_labels(labels, shape_out).dtype == np.uint8
        assert_labels_equal_peer(labels, shape_out)


def test_labels_may_fill_the_whole_volume() -> None:
    labels = np.random.default_rng(6).integers(1, 4, (5, 6, 7)).astype(np.int16)
    assert_labels_equal_peer(labels, (7, 10, 5))


def test_where_three_labels_meet_no_voxel_is_left_to_background() -> None:
    labels = np.array([[[1, 2], [3, 3]]], np.uint8)
    assert (resize_labels(labels, (1, 3, 3)) > 0).all()


def test_equal_shares_go_to_the_nearest_voxel() -> None:
    labels = np.array([[[0, 0, 2, 2]]], np.uint8)  # halving an axis of 4: shares are whole; 3 of 4: one tie at 1.5
    assert resize_labels(labels, (1, 1, 2)).tolist() == [[[0, 2]]]
    position = np.array([(1 + 0.5) * 4 / 3 - 0.5])
    nearest = ndimage.map_coordinates(labels.ravel().astype(float), [position], order=0, mode="nearest")
    assert resize_labels(labels, (1, 1, 3))[0, 0, 1] == nearest[0]


def test_labels_of_an_anisotropic_axis_take_the_nearest_slice() -> None:
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[1, 2:6, 2:6] = 1
    resized = resize_labels(labels, (6, 11, 11), anisotropic_axis=0)
    expected, _ = peer_labels(labels[1], (11, 11))
    for z, filled in enumerate([False, False, True, True, False, False]):
        np.testing.assert_array_equal(resized[z], expected if filled else 0 * expected)


def test_labels_without_foreground_stay_empty() -> None:
    assert not resize_labels(np.zeros((3, 4, 5), np.uint8), (5, 4, 3)).any()


def test_resampled_shape_rounds_half_to_even_and_keeps_one_voxel() -> None:
    assert resampled_shape((10, 3, 1), (2.5, 0.5, 1.0), (1.0, 1.0, 10.0)) == (25, 2, 1)


@pytest.mark.parametrize(
    ("spacing", "new_spacing", "axis"),
    [((1, 1, 1), (1, 1, 1), None), ((3, 1, 1), (3, 1, 1), None), ((3.1, 1, 1), (1, 1, 1), 0),
     ((1, 1, 1), (1, 4, 1), 1), ((1, 5, 1), (4, 1, 1), 1), ((0.2, 1.2, 1.2), (5, 1, 1), None)],
)
def test_the_anisotropic_axis_is_looked_for_in_the_present_grid_first(
    spacing: tuple[float, ...], new_spacing: tuple[float, ...], axis: int | None
) -> None:
    assert anisotropic_axis(spacing, new_spacing) == axis


def test_blocks_of_a_matrix_leave_nothing_out() -> None:
    whole = np.zeros((300, 250), np.float32)
    for rows, columns, weights in resample.matrix_blocks(250, 300, 3):
        whole[rows, columns] = weights
    np.testing.assert_allclose(whole, axis_matrix(250, 300, 3), atol=1e-7)


def test_shrinking_by_area_weighs_each_old_voxel_by_the_share_that_is_covered() -> None:
    np.testing.assert_allclose(area_matrix(3, 2), np.array([[2, 1, 0], [0, 1, 2]]) / 3, atol=1e-7)
    np.testing.assert_allclose(area_matrix(6, 2), np.repeat(np.eye(2), 3, axis=1) / 3, atol=1e-7)
    np.testing.assert_array_equal(area_matrix(5, 5), np.eye(5))
    np.testing.assert_array_equal(area_matrix(2, 4), axis_matrix(2, 4, 1))
    for size in (1, 7, 97):
        np.testing.assert_allclose(area_matrix(97, size).sum(1), 1, atol=1e-6)
        np.testing.assert_allclose(area_matrix(97, size).sum(0), size / 97, atol=1e-6)


@pytest.mark.parametrize("sizes", [(512, 480), (512, 300), (64, 200)])
def test_weights_have_no_numbers_so_small_that_processors_are_slow_with_them(sizes: tuple[int, int]) -> None:
    matrix = axis_matrix(*sizes, 3)
    smallest = np.abs(matrix[matrix != 0]).min()
    assert smallest > np.finfo(np.float32).tiny  # none is subnormal
    values = np.random.default_rng(0).normal(size=sizes[0]) * 1000
    exact = ndimage.zoom(values, sizes[1] / sizes[0], order=3, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(matrix @ values.astype(np.float32), exact, atol=2e-3)
