"""Volumes as projections, against answers worked out by numpy, in every orientation; and what cannot be projected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io import read_image
from autoseg.intensities import IntensityWindow
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.localization.projecting import central_slab, project_image

MakePlans = Callable[..., ProjectionPlans]
SPACING_MM, ORIGIN_MM = (2.0, 3.0, 1.5), (5.0, -7.0, 11.0)


def volume(shape: tuple[int, ...] = (1, 9, 6, 7), geometry: Geometry | None = None) -> Image:
    """Noise without a zero."""
    array = np.random.default_rng(0).integers(1, 1000, shape).astype(np.int16)
    return Image(array, geometry or Geometry(SPACING_MM, ORIGIN_MM))


def cubes(array: np.ndarray) -> Image:
    """(Z, Y, X) voxels of 1 mm."""
    return Image(array[None], Geometry((1.0, 1.0, 1.0)))


@pytest.mark.parametrize("degrees", [(0, 0, 0), (20, -10, 15)], ids=["straight", "oblique"])
@pytest.mark.parametrize("pixel_mm", [1.3, 5.0])
def test_every_orientation_gives_the_same_projection(
    projection_plans: MakePlans, in_every_orientation: Callable[[Image], Iterator[Image]], degrees: Any, pixel_mm: float
) -> None:
    direction = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    image = volume((2, 9, 6, 7), Geometry(SPACING_MM, ORIGIN_MM, tuple(map(float, direction.ravel()))))
    image.array[:, :2] = image.array[..., 6:] = image.array[:, :, :1] = 0
    plans = projection_plans(slab=0.5, pixel_mm=pixel_mm, channel_names=("MRI", "T2"))
    expected = project_image(image, "a", plans)
    rows, columns = round(7 * 2 / pixel_mm), round(5 * 3 / pixel_mm)
    assert expected.channels.shape == (6, rows, columns) and expected.channels.std() > 0.1
    stored = list(in_every_orientation(image))
    assert len({(other.geometry.direction, other.array.shape) for other in stored}) == 48
    for other in stored:
        projection = project_image(other, "a", plans)
        np.testing.assert_allclose(projection.channels, expected.channels, atol=1e-6)
        for row in (0, 2.3):
            there, here = projection.placement, expected.placement
            assert there.mm_of(there.slice_of(row)) == pytest.approx(here.mm_of(here.slice_of(row)))


def test_the_same_head_in_the_axis_orders_of_real_files(projection_plans: MakePlans, shared_data: Path) -> None:
    """They are one head on one grid, stored in 26 ways."""
    files = sorted((shared_data / "readers/orientations").glob("*.nii.gz"))
    assert len(files) >= 26
    plans = projection_plans(slab=0.4, pixel_mm=3.0)
    found = {path.name: project_image(read_image(path), path.name, plans) for path in files}
    expected = found["LPS.nii.gz"]
    middle = expected.channels.shape[1] / 2
    for name, projection in found.items():
        np.testing.assert_allclose(projection.channels, expected.channels, atol=1e-4, err_msg=name)
        assert projection.placement.mm_of(projection.placement.slice_of(middle)) == pytest.approx(
            expected.placement.mm_of(expected.placement.slice_of(middle)), abs=1e-2)
    rows, columns = (n // 4 for n in expected.channels.shape[1:])
    front, back = expected.channels[2, :, :columns], expected.channels[2, :, -columns:]
    below_forehead, forehead, cerebellum = front[-rows:].mean(), front[rows:2 * rows].mean(), back[-rows:].mean()
    assert cerebellum > below_forehead + 0.2 and forehead > below_forehead + 0.2  # nothing lies below the forehead


def test_channels_are_the_mean_of_maximum_and_mean_the_maximum_and_the_mean(projection_plans: MakePlans) -> None:
    """By hand: 2 slices of 2 × 2, seen along x, from the head down; 0 becomes -1 and 100 becomes 1."""
    array = np.array([[[10, 30], [50, 50]], [[0, 100], [20, 80]]], np.float32)
    plans = projection_plans(windows=(IntensityWindow(low=0, high=100),), channel_names=("CT",))
    found = project_image(cubes(array), "a", plans).channels
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[1], [[1.0, 0.6], [-0.4, 0.0]], atol=1e-6)  # maxima 100, 80; 30, 50
    np.testing.assert_allclose(found[2], [[0.0, 0.0], [-0.6, 0.0]], atol=1e-6)  # means 50, 50; 20, 50
    np.testing.assert_allclose(found[0], [[0.5, 0.3], [-0.5, 0.0]], atol=1e-6)  # 75, 65; 25, 50


def test_channels_are_those_that_were_planned_in_their_order(projection_plans: MakePlans) -> None:
    image = Image(np.random.default_rng(0).uniform(1, 100, (2, 6, 5, 4)).astype(np.float32), Geometry((1.0, 1.0, 1.0)))
    names = ("a", "b")
    every = project_image(image, "a", projection_plans(channel_names=names, windows=(None, None))).channels
    plans = projection_plans(channel_names=names, windows=(None, None), seen=("mean", "both"))
    assert plans.channels == 4
    np.testing.assert_array_equal(project_image(image, "a", plans).channels, every[[2, 0, 5, 3]])


def test_only_the_slab_in_the_middle_is_seen(projection_plans: MakePlans) -> None:
    array = np.full((2, 2, 8), 1, np.float32)
    array[..., 2:6] = np.arange(1, 5)  # the middle half; beside it are the brightest ones
    array[..., 1], array[..., 6] = 90, 90
    plans = projection_plans(windows=(IntensityWindow(low=0, high=100),), channel_names=("CT",), slab=0.5)
    found = project_image(cubes(array), "a", plans).channels
    np.testing.assert_allclose((found[1] + 1) * 50, 4, atol=1e-5)
    np.testing.assert_allclose((found[2] + 1) * 50, 2.5, atol=1e-5)


@pytest.mark.parametrize(("size", "share", "expected"), [
    (8, 0.5, (2, 6)), (10, 0.4, (3, 7)), (10, 1.0, (0, 10)), (5, 0.01, (2, 3)), (4, 0.01, (1, 3)),
    (1, 0.5, (0, 1)), (2, 0.1, (0, 2)),
])
def test_the_slab_by_hand(size: int, share: float, expected: tuple[int, int]) -> None:
    assert central_slab(size, share) == expected


def test_the_slab_leaves_out_as_much_on_either_side_and_is_nearly_as_thick_as_wished() -> None:
    for size in range(1, 60):
        for share in np.arange(0.05, 1.01, 0.05):
            start, stop = central_slab(size, float(share))
            assert start == size - stop and stop > start
            assert abs((stop - start) - share * size) <= 1 + 1e-9 or stop - start <= 2


def test_pixels_are_averages_over_area_where_they_are_coarser_than_voxels(projection_plans: MakePlans) -> None:
    array = np.random.default_rng(0).uniform(0, 100, (8, 6, 3)).astype(np.float32)
    plans = projection_plans(windows=(IntensityWindow(low=0, high=100),), channel_names=("CT",), pixel_mm=2.0)
    found = project_image(cubes(array), "a", plans).channels
    mean = array[::-1].mean(2) / 50 - 1
    np.testing.assert_allclose(found[2], mean.reshape(4, 2, 3, 2).mean((1, 3)), atol=1e-5)


def test_pixels_lie_between_voxels_where_they_are_finer(projection_plans: MakePlans) -> None:
    """A ramp stays a ramp: what a row shows is what lies at its slice."""
    ramp = np.broadcast_to(np.arange(10, 90, 10, np.float32)[:, None, None], (8, 4, 2)).copy()
    plans = projection_plans(windows=(IntensityWindow(low=0, high=100),), channel_names=("CT",), pixel_mm=0.5)
    projection = project_image(cubes(ramp), "a", plans)
    assert projection.channels.shape == (3, 16, 8)
    slices = np.array([projection.placement.slice_of(row) for row in range(16)])
    expected = 10 + 10 * np.clip(slices, 0, 7)
    np.testing.assert_allclose((projection.channels[1, :, 3] + 1) * 50, expected, atol=1e-4)


def test_borders_of_zeros_change_nothing_but_the_count_of_slices(projection_plans: MakePlans) -> None:
    image, plans = volume(), projection_plans(slab=0.6, pixel_mm=2.0)
    padded = np.pad(image.array, [(0, 0), (3, 5), (2, 0), (0, 4)])
    x, y, z = ORIGIN_MM
    origin_mm = (x, y - 2 * SPACING_MM[1], z - 3 * SPACING_MM[0])
    found, expected = project_image(Image(padded, Geometry(SPACING_MM, origin_mm)), "a", plans), project_image(image, "a", plans)
    np.testing.assert_array_equal(found.channels, expected.channels)
    for row in (0, 4.5):
        assert found.placement.slice_of(row) == expected.placement.slice_of(row) + 3
        assert found.placement.mm_of(found.placement.slice_of(row)) == expected.placement.mm_of(expected.placement.slice_of(row))


def test_an_image_is_scaled_between_percentiles_of_its_own_non_zero_voxels(projection_plans: MakePlans) -> None:
    array = np.arange(1, 102, dtype=np.float32)  # of 1 to 101 the 10 percentile is 11, and the 90 percentile 91
    image = cubes(np.concatenate([array[:1], np.zeros(100, np.float32), array[1:]])[:, None, None].repeat(2, 1))
    found = project_image(image, "a", projection_plans(percentiles=(10, 90))).channels[1, ::-1, 0]
    expected = np.clip((np.concatenate([[1], np.zeros(100), array[1:]]) - 11) / 80, 0, 1) * 2 - 1
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found[0] == -1 and found[-1] == 1


def test_a_planned_window_holds_for_every_image_alike(projection_plans: MakePlans) -> None:
    plans = projection_plans(windows=(IntensityWindow(low=-100, high=300),), channel_names=("CT",))
    for value in (-500.0, -100.0, 100.0, 300.0, 900.0):
        array = np.full((3, 3, 3), value, np.float32)
        array[0, 0, 0] = 7.0
        found = project_image(cubes(array), "a", plans).channels
        np.testing.assert_allclose(found[:, 0, 1], np.clip((value + 100) / 200 - 1, -1, 1), atol=1e-6)


def test_each_channel_of_an_image_gives_three_by_its_own_window(projection_plans: MakePlans) -> None:
    image = volume((2, 9, 6, 7))
    both = project_image(image, "a", projection_plans(channel_names=("MRI", "T2"))).channels
    alone = [project_image(Image(image.array[c:c + 1], image.geometry), "a", projection_plans()).channels for c in range(2)]
    np.testing.assert_array_equal(both, np.concatenate(alone))
    image.array[1] = 5  # nothing to see in one of them
    flat = project_image(image, "a", projection_plans(channel_names=("MRI", "T2"))).channels
    np.testing.assert_array_equal(flat[:3], alone[0])
    assert (flat[3:] == -1).all()


def test_the_volume_is_left_as_it_is(projection_plans: MakePlans) -> None:
    image = volume()
    before = image.array.copy()
    project_image(image, "a", projection_plans())
    np.testing.assert_array_equal(image.array, before)


@pytest.mark.parametrize(("image", "words"), [
    (volume((3, 9, 6, 7)), r"case a: 3 channels found, but 1 expected \(MRI\).* Give these channels"),
    (volume((1, 1, 6, 7)), r"case a: it has shape \(1, 6, 7\) \(z, y, x\), but a volume of several slices is expected, in which "
                           r"a level is found along z in its projection along x\. Give volumes"),
    (volume((1, 9, 1, 7)), r"case a: it has shape \(9, 1, 7\)"),
    (Image(np.full((1, 3, 3, 3), 7, np.int16), Geometry((1.0, 1.0, 1.0))), r"case a: it has the same value everywhere \(7\)"),
    (Image(np.where(np.arange(27) == 5, np.nan, 1.0).reshape(1, 3, 3, 3), Geometry((1.0, 1.0, 1.0))), "case a: it holds NaN"),
    (Image(np.where(np.arange(27) == 5, np.inf, 1.0).reshape(1, 3, 3, 3), Geometry((1.0, 1.0, 1.0))), "NaN or infinite"),
], ids=["channels", "a picture", "one column", "constant", "NaN", "infinite"])
def test_what_cannot_be_projected_is_named_with_the_case(projection_plans: MakePlans, image: Image, words: str) -> None:
    with pytest.raises(AutosegError, match=words):
        project_image(image, "a", projection_plans())


def test_one_slice_is_enough_along_the_axis_that_is_projected_away(projection_plans: MakePlans) -> None:
    image = volume((1, 9, 6, 1))
    found = project_image(image, "a", projection_plans(slab=0.1, pixel_mm=2.0)).channels
    assert found.shape == (3, 9, 9)
    np.testing.assert_array_equal(found[1], found[2])
