"""Pictures of found levels: whole PNG files for projections of any shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from autoseg.tasks.localization.picture import draw_location

VERMILION, BLUE, GRAY_QUARTER = (213, 94, 0), (0, 114, 178), (64, 64, 64)  # the first two of Okabe and Ito (2008)


def pixels(path: Path) -> np.ndarray:
    with PIL.Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def box_of(image: np.ndarray, colour: tuple[int, int, int], few: int = 20) -> tuple[int, int, int, int]:
    """First and last row and column that hold more than a few pixels of a colour."""
    is_there = np.abs(image - colour).sum(-1) < 30
    rows, columns = (np.flatnonzero(is_there.sum(axis) > few) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]), int(columns[0]) if len(columns) else 0, int(columns[-1]) if len(columns) else 0


@pytest.mark.parametrize("rows, columns", [(60, 60), (900, 300), (40, 200), (300, 30)])
def test_pixels_are_square_and_lines_lie_at_their_rows(tmp_path: Path, rows: int, columns: int) -> None:
    dark = np.full((3, rows, columns), -0.5, np.float32)  # a quarter of white
    dark[1:] = 1.0  # other channels than the first are not shown
    draw_location(tmp_path / "case.png", dark, np.zeros(rows), rows / 4 - 0.5, True, rows / 2 - 0.5, "case $x_: slice 3")
    found = pixels(tmp_path / "case.png")
    top, bottom, left, right = box_of(found, GRAY_QUARTER)
    height, width = bottom - top + 1, right - left + 1
    assert height / width == pytest.approx(rows / columns, rel=0.05) and max(height, width) > 350
    for colour, share in ((VERMILION, 1 / 4), (BLUE, 1 / 2)):
        lines = top + np.flatnonzero((np.abs(found[top:] - colour).sum(-1) < 30).sum(1) > 0.3 * width)  # below the legend
        assert abs(lines.mean() - (top + share * height)) < 2


def test_the_response_stands_beside_its_rows(tmp_path: Path) -> None:
    dark, response = np.full((3, 100, 50), -0.5, np.float32), np.zeros(100)
    draw_location(tmp_path / "flat.png", dark, response, None, False, None, "")
    response[40:50] = 1.0
    draw_location(tmp_path / "peak.png", dark, response, None, False, None, "")
    flat, peak = pixels(tmp_path / "flat.png"), pixels(tmp_path / "peak.png")
    top, bottom, _, right = box_of(flat, GRAY_QUARTER)
    rows, columns = np.nonzero((flat != peak).any(-1))
    assert columns.min() > right
    assert (rows.mean() - top) / (bottom - top + 1) == pytest.approx(0.45, abs=0.02)


def test_without_a_response_there_is_no_profile(tmp_path: Path) -> None:
    projection = np.zeros((3, 100, 50), np.float32)
    draw_location(tmp_path / "with.png", projection, np.zeros(100), None, False, None, "case: not found (confidence 0.12)")
    draw_location(tmp_path / "without.png", projection, None, False, None, None, "case: not found (confidence 0.12)")
    assert pixels(tmp_path / "without.png").shape[1] < pixels(tmp_path / "with.png").shape[1]


def test_an_answer_that_does_not_count_as_found_is_dotted(tmp_path: Path) -> None:
    dark, rows_of_colour = np.full((3, 100, 80), -0.5, np.float32), {}
    for is_found in (True, False):
        draw_location(tmp_path / "case.png", dark, np.zeros(100), 24.5, is_found, None, "")
        found = pixels(tmp_path / "case.png")
        top, bottom, left, right = box_of(found, GRAY_QUARTER)
        counts = (np.abs(found[top:bottom, left:right + 1] - VERMILION).sum(-1) < 90).sum(1)
        assert abs(counts.argmax() - 0.25 * (bottom - top)) < 3  # at the same row either way
        rows_of_colour[is_found] = counts.max() / (right - left + 1)
    assert rows_of_colour[True] > 0.95 and 0.2 < rows_of_colour[False] < 0.8
