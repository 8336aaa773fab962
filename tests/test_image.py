"""Where the voxels of an image lie in the patient."""

from __future__ import annotations

import pytest

from autoseg.image import Geometry


@pytest.mark.parametrize(("direction", "letters"), [
    ((1, 0, 0, 0, 1, 0, 0, 0, 1), "LPS"),
    ((-1, 0, 0, 0, -1, 0, 0, 0, 1), "RAS"),
    ((0, 0, 1, 1, 0, 0, 0, -1, 0), "PIL"),
    ((0.9, 0.436, 0, -0.436, 0.9, 0, 0, 0, -1), "LPI"),
])
def test_orientation_is_the_world_axis_that_each_array_axis_runs_along(direction: tuple[float, ...], letters: str) -> None:
    assert Geometry((1.0, 1.0, 1.0), direction=direction).orientation == letters


def test_world_axes_say_which_array_axis_z_y_x_runs_along_which_and_where_to() -> None:
    assert Geometry((1.0, 1.0, 1.0)).world_axes() == ((2, True), (1, True), (0, True))
    sagittal = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # x to posterior, y to inferior, z to right
    assert Geometry((4.0, 1.0, 1.0), direction=sagittal).world_axes() == ((0, False), (2, False), (1, True))
