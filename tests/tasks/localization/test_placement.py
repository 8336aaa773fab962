"""Rows and slices, slices and millimetres: there and back, whichever way the volume lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from autoseg.image import Geometry, Image
from autoseg.preprocessing.crop import Box
from autoseg.tasks.localization.placement import Axes, ProjectionPlacement, axes_of

SAGITTAL_SCAN = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # x to the back, y to the feet, z to the right
WHOLE: Box = ((0, 20), (0, 6), (0, 8))


def placed(axis: Any = "z", project: Any = "x", geometry: Geometry | None = None, **changes: Any) -> ProjectionPlacement:
    """A volume of 20 × 6 × 8 voxels of 2 × 3 × 1.5 mm, projected as a whole, a row per slice."""
    lies = geometry or Geometry((2.0, 3.0, 1.5), (5.0, -7.0, 11.0))
    wanted: dict[str, Any] = {"shape": (20, 6, 8), "axis": axis, "axes": axes_of(lies, axis, project), "box": WHOLE,
                              "pixels": (20, 6), **changes}
    return ProjectionPlacement(lies, **wanted)


def oblique(seed: int) -> Geometry:
    """Turned anyhow."""
    direction = Rotation.random(random_state=seed).as_matrix()
    return Geometry((2.0, 3.0, 1.5), (5.0, -7.0, 11.0), tuple(map(float, direction.ravel())))


@pytest.mark.parametrize(("direction", "axis", "project", "expected"), [
    (None, "z", "x", Axes(rows=0, columns=1, projected=2, flipped=(True, False))),  # the first slice is the lowest
    (None, "z", "y", Axes(rows=0, columns=2, projected=1, flipped=(True, False))),
    (None, "x", "y", Axes(rows=2, columns=0, projected=1, flipped=(False, True))),
    (None, "y", "x", Axes(rows=1, columns=0, projected=2, flipped=(False, True))),
    (SAGITTAL_SCAN, "z", "x", Axes(rows=1, columns=2, projected=0, flipped=(False, False))),
    (SAGITTAL_SCAN, "x", "z", Axes(rows=0, columns=2, projected=1, flipped=(True, False))),
])
def test_array_axes_are_found_by_the_header(direction: Any, axis: Any, project: Any, expected: Axes) -> None:
    geometry = Geometry((1.0, 1.0, 1.0)) if direction is None else Geometry((1.0, 1.0, 1.0), direction=direction)
    assert axes_of(geometry, axis, project) == expected


def test_a_row_lies_in_the_middle_of_the_slices_that_it_covers() -> None:
    upwards = placed(box=((2, 12), (0, 6), (0, 8)), pixels=(5, 6))  # rows run from head to feet, slices from feet to head
    assert [upwards.slice_of(row) for row in (0, 1, 4)] == [10.5, 8.5, 2.5]
    assert upwards.row_of(11.5) == -0.5 and upwards.row_of(1.5) == 4.5 and upwards.row_of(0) == 5.25
    downwards = placed("z", "x", Geometry((2.0, 3.0, 1.5), direction=(1, 0, 0, 0, 1, 0, 0, 0, -1)),
                       box=((2, 12), (0, 6), (0, 8)), pixels=(5, 6))
    assert [downwards.slice_of(row) for row in (0, 1, 4)] == [2.5, 4.5, 10.5]
    assert (upwards.slices, upwards.slice_mm, upwards.slices_per_row) == (20, 2.0, 2.0)
    assert upwards.column_of(0) == 0 and placed(pixels=(20, 3)).column_of(5) == 2.25


@pytest.mark.parametrize(("axis", "project"), list(permutations("xyz", 2)))
def test_rows_and_slices_slices_and_millimetres_go_there_and_back(axis: Any, project: Any) -> None:
    random = np.random.default_rng(0)
    for seed in range(20):
        starts = random.integers(0, 3, 3)
        z, y, x = ((int(start), int(size - random.integers(0, 3))) for start, size in zip(starts, (20, 6, 8), strict=True))
        placement = placed(axis, project, oblique(seed), box=(z, y, x),
                           pixels=(int(random.integers(1, 40)), int(random.integers(1, 40))))
        for position in random.uniform(-3, 25, 5):
            assert placement.row_of(placement.slice_of(position)) == pytest.approx(position)
            assert placement.slice_of(placement.row_of(position)) == pytest.approx(position)
            assert placement.slice_at(placement.mm_of(position)) == pytest.approx(position)


@pytest.mark.parametrize("seed", range(10))
def test_positions_are_those_of_simpleitk(seed: int) -> None:
    geometry = oblique(seed)
    image = sitk.GetImageFromArray(np.zeros((20, 6, 8), np.uint8))
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)
    for axis, project in (("z", "x"), ("x", "y"), ("y", "z")):
        placement = placed(axis, project, geometry)
        for slice_ in (0, 3.25, -1, placement.slices - 1):
            index = [3.5, 2.5, 9.5]
            index[2 - placement.axes.rows] = slice_
            expected = image.TransformContinuousIndexToPhysicalPoint(index)
            assert placement.world_of(slice_) == pytest.approx(expected)
            assert placement.mm_of(slice_) == pytest.approx(expected["xyz".index(axis)])


def test_the_same_place_has_the_same_millimetres_in_every_orientation(
    in_every_orientation: Callable[[Image], Iterator[Image]]
) -> None:
    volume = np.zeros((1, 20, 6, 8), np.uint8)
    tilted = Rotation.from_euler("xyz", (20, -10, 15), degrees=True).as_matrix()
    for direction in (np.eye(3), tilted):
        geometry = Geometry((2.0, 3.0, 1.5), (5.0, -7.0, 11.0), tuple(map(float, direction.ravel())))
        expected = placed("z", "x", geometry)
        for image in in_every_orientation(Image(volume, geometry)):
            axes = axes_of(image.geometry, "z", "x")
            shape = image.array.shape[1:]
            placement = ProjectionPlacement(image.geometry, shape, "z", axes, tuple((0, n) for n in shape),
                                  (shape[axes.rows], shape[axes.columns]))
            row = placement.slice_of(4.25)
            assert placement.world_of(row) == pytest.approx(expected.world_of(expected.slice_of(4.25)))
            assert placement.slice_at(expected.mm_of(2)) == pytest.approx(placement.slice_of(expected.row_of(2)))


@pytest.mark.parametrize(("slice_", "nearest"), [
    (0, 0), (3.49, 3), (3.5, 4), (-0.5, 0), (-7, 0), (19.4, 19), (19.5, 19), (99, 19)])
def test_the_nearest_slice_is_one_that_there_is(slice_: float, nearest: int) -> None:
    found = placed().nearest_slice(slice_)
    assert found == nearest and isinstance(found, int)
