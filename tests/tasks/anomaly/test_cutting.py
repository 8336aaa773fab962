"""Slices against volumes whose slices are known, and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.intensities import IntensityWindow
from autoseg.pictures import is_gray
from autoseg.tasks.anomaly.cutting import cut_image, place_back
from autoseg.tasks.anomaly.plan import SlicePlans

Plans = Callable[..., SlicePlans]
HU = IntensityWindow(low=-100, high=300)  # -100 becomes -1, 100 becomes 0, 300 becomes 1
MM = (1.0, 1.0, 1.0)
# The same patient: as the world has it (x to the left, y to the back, z to the head), and scanned in sagittal slices
# (x to the back, y to the feet, z to the right).
SAGITTAL_SCAN = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def patient() -> np.ndarray:
    """(z, y, x): 64 × 64 × 64 whole values from -100 to 300."""
    return np.random.default_rng(0).integers(-100, 301, (64, 64, 64)).astype(np.int16)


def scaled(values: np.ndarray) -> np.ndarray:
    return (values + 100) / 200 - 1


@pytest.mark.parametrize(("axis", "array_axis", "expected"), [
    ("sagittal", 2, lambda v, i: v[::-1, :, i]),  # the head above, the front at the left
    ("coronal", 1, lambda v, i: v[::-1, i, :]),  # the head above, the right at the left
    ("axial", 0, lambda v, i: v[i, :, :]),  # the front above, the right at the left
])
def test_slices_lie_as_a_radiologist_holds_them_and_values_go_back_to_their_voxels(
    slice_plans: Plans, axis: str, array_axis: int, expected: Callable[[np.ndarray, int], np.ndarray]
) -> None:
    volume = patient()
    cut = cut_image(Image(volume[None], Geometry(MM)), "a", slice_plans(axis=axis, windows=(HU,)))
    assert cut.slices.shape == (64, 1, 64, 64) and cut.slices.dtype == np.float32 and cut.placement.array_axis == array_axis
    for index in (0, 17, 63):
        np.testing.assert_allclose(cut.slices[index, 0], scaled(expected(volume, index)), atol=1e-6)
    back = place_back(cut.slices[:, 0], cut.placement)
    assert back.shape == (1, 64, 64, 64) and back.dtype == np.float32
    np.testing.assert_allclose(back[0], scaled(volume), atol=1e-6)


@pytest.mark.parametrize(("axis", "array_axis", "order"), [("sagittal", 0, -1), ("coronal", 2, 1), ("axial", 1, -1)])
def test_slices_of_another_orientation_look_alike_in_the_order_of_the_file(
    slice_plans: Plans, axis: str, array_axis: int, order: int
) -> None:
    volume = patient()
    stored = np.ascontiguousarray(volume.transpose(2, 0, 1)[::-1, ::-1, :])
    plans = slice_plans(axis=axis, windows=(HU,))
    cut = cut_image(Image(stored[None], Geometry(MM, direction=SAGITTAL_SCAN)), "a", plans)
    assert cut.placement.array_axis == array_axis
    np.testing.assert_allclose(cut.slices, cut_image(Image(volume[None], Geometry(MM)), "a", plans).slices[::order], atol=1e-6)
    np.testing.assert_allclose(place_back(cut.slices[:, 0], cut.placement)[0], scaled(stored), atol=1e-6)


def test_the_aspect_is_kept_in_mm_and_what_the_image_does_not_cover_is_padding(slice_plans: Plans) -> None:
    volume = np.zeros((16, 32, 2), np.int16)  # sagittal: 16 × 4 mm high, 32 × 1 mm wide
    volume[:8] = 300
    cut = cut_image(Image(volume[None], Geometry((4.0, 1.0, 2.0))), "a", slice_plans(axis="sagittal", windows=(HU,)))
    assert cut.slices.shape == (2, 1, 64, 64)
    assert (cut.placement.rows, cut.placement.columns) == ((0, 64), (16, 48))
    assert (cut.slices[..., :16] == -1).all() and (cut.slices[..., 48:] == -1).all()
    content = cut.slices[0, 0, :, 16:48]
    np.testing.assert_allclose(content[:30], -0.5, atol=1e-6)  # what lies at the feet has 300; 0 lies at the head
    np.testing.assert_allclose(content[34:], 1, atol=1e-6)
    back = place_back(np.ones((2, 64, 64), np.float32), cut.placement)
    assert back.shape == (1, 16, 32, 2)
    np.testing.assert_allclose(back, 1, atol=1e-6)


def test_shrinking_takes_the_mean_over_the_area_of_a_pixel(slice_plans: Plans) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (1, 1, 256, 128)).astype(np.uint8)
    window = IntensityWindow(low=0, high=255)
    cut = cut_image(Image(picture, Geometry(MM)), "a", slice_plans(windows=(window,)))
    means = picture.reshape(64, 4, 32, 4).mean((1, 3)) / 127.5 - 1
    np.testing.assert_allclose(cut.slices[0, 0, :, 16:48], means, atol=1e-5)
    assert (cut.placement.array_axis, cut.placement.columns) == (0, (16, 48))
    checkers = np.indices((128, 128)).sum(0)[None, None] % 2 * 255
    smooth = cut_image(Image(checkers.astype(np.uint8), Geometry(MM)), "a", slice_plans(windows=(window,)))
    np.testing.assert_allclose(smooth.slices, 0, atol=1e-6)


def test_a_map_grows_back_linearly(slice_plans: Plans) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (1, 1, 128, 128)).astype(np.uint8)
    placement = cut_image(Image(picture, Geometry(MM)), "a", slice_plans()).placement
    ramp = np.broadcast_to(np.arange(64, dtype=np.float32), (1, 64, 64))
    expected = np.clip((np.arange(128) + 0.5) / 2 - 0.5, 0, 63)  # where the centre of each pixel lies among the old ones
    np.testing.assert_allclose(place_back(ramp, placement)[0, 0], np.broadcast_to(expected, (128, 128)), atol=1e-4)


def test_a_picture_of_odd_size_covers_the_square_as_far_as_it_reaches(slice_plans: Plans) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (1, 1, 201, 3)).astype(np.uint8)
    placement = cut_image(Image(picture, Geometry(MM)), "a", slice_plans()).placement
    assert (placement.rows, placement.columns) == ((0, 64), (31, 32))
    assert place_back(np.ones((1, 64, 64), np.float32), placement).shape == (1, 1, 201, 3)


def test_intensities_are_scaled_by_the_percentiles_of_the_images_own_non_zero_voxels(slice_plans: Plans) -> None:
    picture = np.zeros((1, 1, 64, 64), np.int16)
    picture[0, 0, :20, :10] = np.arange(1, 201).reshape(20, 10)
    low, high = 1.995, 199.005  # of 1..200: 1 + 0.005 · 199 and 1 + 0.995 · 199
    cut = cut_image(Image(picture, Geometry(MM)), "a", slice_plans())
    np.testing.assert_allclose(cut.slices[0, 0], 2 * (np.clip(picture[0, 0], low, high) - low) / (high - low) - 1, atol=1e-6)


def test_a_mask_of_two_values_is_scaled_by_its_range(slice_plans: Plans) -> None:
    picture = np.zeros((1, 1, 64, 64), np.uint8)
    picture[0, 0, 0, 0] = 255
    cut = cut_image(Image(picture, Geometry(MM)), "a", slice_plans())
    assert cut.slices[0, 0, 0, 0] == 1 and (cut.slices[0, 0, 1:] == -1).all()


def test_the_channels_of_a_colour_share_a_window_and_others_do_not(slice_plans: Plans) -> None:
    picture = np.random.default_rng(1).integers(1, 101, (3, 1, 64, 64)).astype(np.uint8)
    picture[2] //= 10
    colours = slice_plans(channel_names=("red", "green", "blue"), windows=(None,) * 3)
    cut = cut_image(Image(picture, Geometry(MM)), "a", colours)
    assert cut.slices[0, :2].max() == 1 and cut.slices[0, 2].max() < -0.75
    others = slice_plans(channel_names=("T1", "T2", "FLAIR"), windows=(None,) * 3)
    assert cut_image(Image(picture, Geometry(MM)), "a", others).slices[0, 2].max() == 1


def test_slices_of_one_value_are_blank_and_so_are_those_without_a_value_inside_the_window(slice_plans: Plans) -> None:
    volume = np.full((3, 64, 64), 7, np.int16)
    volume[1, 3, 3] = 50
    volume[2, 3, 3] = -500
    cut = cut_image(Image(volume[None], Geometry(MM)), "a", slice_plans(axis="axial", windows=(IntensityWindow(low=7, high=90),)))
    assert cut.blank.tolist() == [True, False, True]


def test_a_colour_picture_is_gray_where_channels_differ_by_traces(slice_plans: Plans) -> None:
    gray = np.repeat(np.random.default_rng(1).integers(0, 200, (1, 1, 100, 100)), 3, 0).astype(np.uint8)
    traces = gray.copy()
    traces[0] += 16
    traces[1, 0, 0] += 20  # a row, which is 1 %
    assert is_gray(traces) and is_gray(gray[:1]) and is_gray(traces.astype(np.uint16) * 257)
    cut = cut_image(Image(traces, Geometry(MM)), "a", slice_plans())
    mean = cut_image(Image(traces.mean(0, keepdims=True), Geometry(MM)), "a", slice_plans())
    np.testing.assert_allclose(cut.slices, mean.slices, atol=1e-5)
    traces[1, 0, 1, 0] += 40
    assert not is_gray(traces) and not is_gray(gray[:2])


def test_what_does_not_fit_is_told_with_the_case(slice_plans: Plans) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (3, 4, 8, 8)).astype(np.uint8)
    gray, colour = slice_plans(), slice_plans(channel_names=("red", "green", "blue"), windows=(None,) * 3)
    wrong: list[tuple[np.ndarray, SlicePlans, str]] = [
        (noise[:, :1], gray, r"case a: it is a colour picture \(RGB\), but gray pictures are expected"),
        (noise[:1, :1], colour, r"case a: it is a gray picture, but colour pictures \(RGB\) are expected"),
        (noise[:2, :1], gray, r"case a: 2 channels found, but 1 expected \(MRI\)"),
        (noise, slice_plans(axis="axial"), r"case a: 3 channels found, but 1 expected \(MRI\)"),
        (noise[:1], gray, r"case a: it is a volume of shape \(4, 8, 8\) .* but pictures of one slice are expected"),
        (noise[:1, :1], slice_plans(axis="axial"), "case a: it is a picture of one slice, but volumes are expected.* axial"),
        (np.full((1, 1, 8, 8), 9), gray, r"case a: it has the same value everywhere \(9\)"),
        (np.where(noise[:1, :1] > 9, np.nan, 1.0), gray, "case a: it holds NaN or infinite values"),
        (noise[:1] * 0.001, slice_plans(axis="axial", windows=(IntensityWindow(low=500, high=900),)),
         "case a: each of its slices has one value everywhere after scaling"),
    ]
    for array, plans, message in wrong:
        with pytest.raises(AutosegError, match=message):
            cut_image(Image(array, Geometry(MM)), "a", plans)
