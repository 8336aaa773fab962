"""A projection that is moved, against scipy; and that the level is where its picture is then."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.tasks.localization.store import StoredLevel
from autoseg.trainers.localization.augmentation import STILL, Motion, draw_motion, moved, row_after
from autoseg.trainers.localization.settings import MovingSettings

IDENTITY = ((1.0, 0.0), (0.0, 1.0))
FREE = MovingSettings(rotation=30, scaling=0.3, stretching=0.2, shift=0.15)


def noise(rows: int, columns: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, rows, columns)).astype(np.float32))


def motions(count: int, size: tuple[int, int], has_column: bool = True, **changes: Any) -> list[Motion]:
    random = np.random.default_rng(0)
    settings = FREE.model_copy(update=changes)
    return [draw_motion(settings, size, has_column, True, random) for _ in range(count)]


def test_what_is_not_moved_is_the_same() -> None:
    image, inside = moved(noise(9, 7), (0, 9), STILL, (9, 7))
    assert image.dtype == torch.float32 and inside.dtype == torch.bool and inside.shape == (1, 9, 7) and bool(inside.all())
    torch.testing.assert_close(image, noise(9, 7), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(13, 11), (5, 3), (9, 11)])
def test_it_lies_in_the_middle_of_larger_and_smaller_sizes(size: tuple[int, int]) -> None:
    whole = noise(9, 7)
    image, inside = moved(whole, (0, 9), STILL, size)
    rows, columns = ((n - m) // 2 for n, m in zip(size, (9, 7), strict=True))
    expected = np.zeros(size, bool)
    expected[max(rows, 0):max(rows, 0) + 9, max(columns, 0):max(columns, 0) + 7] = True
    np.testing.assert_array_equal(inside[0], expected)
    shown = whole[:, max(-rows, 0):9 - max(-rows, 0), max(-columns, 0):7 - max(-columns, 0)]
    torch.testing.assert_close(image[:, inside[0]].reshape(shown.shape), shown, atol=1e-6, rtol=0)


def test_only_the_rows_that_are_asked_for_are_shown() -> None:
    image, inside = moved(noise(9, 7), (2, 6), STILL, (4, 7))
    torch.testing.assert_close(image, noise(9, 7)[:, 2:6], atol=1e-6, rtol=0)
    assert bool(inside.all())
    wide, inside = moved(noise(9, 7), (2, 6), STILL, (8, 7))
    assert inside[0, :, 0].tolist() == [False, False, True, True, True, True, False, False]
    torch.testing.assert_close(wide[:, 2:6], noise(9, 7)[:, 2:6], atol=1e-6, rtol=0)


def test_a_shift_of_whole_pixels_and_a_flip_by_hand() -> None:
    whole = noise(9, 7)
    image, inside = moved(whole, (0, 9), Motion(IDENTITY, (2.0, -1.0)), (9, 7))
    torch.testing.assert_close(image[:, 2:, :6], whole[:, :7, 1:], atol=1e-6, rtol=0)
    assert bool(inside[0, 2:, :6].all()) and not bool(inside[0, :2].any()) and not bool(inside[0, :, 6].any())
    flipped, _ = moved(whole, (0, 9), Motion(IDENTITY, is_flipped=True), (9, 7))
    torch.testing.assert_close(flipped, whole.flip(2), atol=1e-6, rtol=0)
    both, _ = moved(whole, (0, 9), Motion(IDENTITY, (0.0, 2.0), is_flipped=True), (9, 7))
    torch.testing.assert_close(both[:, :, 2:], whole.flip(2)[:, :, :5], atol=1e-6, rtol=0)


def test_any_motion_is_scipys_affine_transform() -> None:
    whole, size, rows = noise(21, 15), (26, 18), (3, 19)
    for motion in motions(20, size):
        image, inside = moved(whole, rows, motion, size)
        shown = whole[:, rows[0]:rows[1]].numpy()
        matrix = np.array(motion.matrix)
        if motion.is_flipped:
            matrix[1] *= -1
        middle, centre = np.array([7.5, 7.0]), (np.array(size) - 1) / 2 + motion.shift
        expected = [ndimage.affine_transform(channel, matrix, middle - matrix @ centre, size, order=1, mode="nearest")
                    for channel in shown]
        np.testing.assert_allclose(image, np.stack(expected), atol=2e-5)
        source = np.moveaxis(np.indices(size), 0, -1) @ matrix.T + middle - matrix @ centre
        away = np.abs(source - middle) - (np.array([16, 15]) / 2)
        clear = np.abs(away).min(-1) > 1e-6  # of the very edge
        np.testing.assert_array_equal(inside[0][clear], (away < 0).all(-1)[clear])


def dot(shape: tuple[int, int], row: float, column: float | None) -> torch.Tensor:
    """(1, rows, columns): a soft dot at a place, or a soft line where no column is given."""
    rows, columns = np.indices(shape)
    away = (rows - row) ** 2 + (0 if column is None else (columns - column) ** 2)
    return torch.from_numpy(np.exp(-away / (2 * 1.5**2))[None].astype(np.float32))


def row_seen(image: torch.Tensor, inside: torch.Tensor) -> float:
    weights = (image * inside)[0].sum(1).numpy()
    return float(weights @ np.arange(len(weights)) / weights.sum())


@pytest.mark.parametrize("rows", [(0, 40), (5, 37), (0, 27)], ids=["whole", "a window", "its upper rows"])
def test_the_level_is_where_its_picture_is_after_any_motion(rows: tuple[int, int]) -> None:
    shape, size, seen = (40, 31), (56, 52), []
    random = np.random.default_rng(1)
    for motion in motions(60, size):
        row, column = random.uniform(13, 21), random.uniform(11, 19)
        level = StoredLevel(row=row, top=row, bottom=row, column=column)
        expected = row_after(level, rows, motion, shape, size)
        seen.append(row_seen(*moved(dot(shape, row, column), rows, motion, size)) - expected)
    assert np.abs(seen).max() < 0.1
    assert {motion.is_flipped for motion in motions(60, size)} == {True, False}


def test_without_a_column_the_level_is_a_whole_row_and_is_never_turned() -> None:
    shape, size = (40, 31), (56, 52)
    for motion in motions(30, size, has_column=False):
        assert motion.matrix[0][1] == motion.matrix[1][0] == 0
        level = StoredLevel(row=17.25, top=17.25, bottom=17.25)
        expected = row_after(level, (0, 40), motion, shape, size)
        assert row_seen(*moved(dot(shape, 17.25, None), (0, 40), motion, size)) == pytest.approx(expected, abs=0.1)


def test_rows_by_hand() -> None:
    level = StoredLevel(row=6.0, top=4, bottom=8, column=2.0)

    def row(motion: Motion, rows: tuple[int, int] = (0, 9), size: tuple[int, int] = (9, 7)) -> float:
        return row_after(level, rows, motion, (9, 7), size)

    assert row(STILL) == 6 and row(STILL, size=(19, 7)) == 11 and row(STILL, (4, 9), (5, 7)) == 2
    assert row(Motion(IDENTITY, (1.5, 9.0), True)) == 7.5
    assert row(Motion(((0.5, 0.0), (0.0, 0.5)))) == 8  # twice as large: 2 rows below the middle become 4
    angle = math.radians(30)
    turn = ((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle)))
    assert row(Motion(turn)) == pytest.approx(4 + 2 * math.cos(angle) - 1 * math.sin(angle))
    assert row(Motion(turn, is_flipped=True)) == pytest.approx(4 + 2 * math.cos(angle) + 1 * math.sin(angle))


def test_motions_stay_within_the_settings() -> None:
    size = (100, 50)
    drawn = [draw_motion(FREE, size, True, False, np.random.default_rng(seed)) for seed in range(200)]
    assert not any(motion.is_flipped for motion in drawn)
    shifts = np.array([motion.shift for motion in drawn])
    assert np.abs(shifts[:, 0]).max() <= 15 and np.abs(shifts[:, 1]).max() <= 7.5 and np.abs(shifts).max(0).min() > 6
    zooms = np.array([np.linalg.norm(motion.matrix, axis=0) for motion in drawn])
    assert np.abs(np.log(zooms[:, 1])).max() <= 0.3
    still = MovingSettings(rotation=0, scaling=0, stretching=0, shift=0, mirror=False)
    assert draw_motion(still, size, True, True, np.random.default_rng(0)) == STILL


def test_a_further_channel_says_how_far_each_row_is_from_the_ends() -> None:
    """By hand: of rows 10 to 14 that are shown, the first is at -1, the last at 1, in the middle of 9 rows and a shift of one."""
    channels = torch.zeros(3, 30, 4)
    image, inside = moved(channels, (10, 15), replace(STILL, shift=(1.0, 0.0)), (9, 4), position=True)
    assert image.shape == (4, 9, 4) and torch.equal(image[:3], torch.zeros(3, 9, 4))
    np.testing.assert_allclose(image[3, inside[0]].reshape(5, 4), np.repeat([-1, -0.5, 0, 0.5, 1], 4).reshape(5, 4), atol=1e-6)
    assert inside[0].any(1).tolist() == [False] * 3 + [True] * 5 + [False]
