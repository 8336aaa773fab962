"""Charts: what their text alternatives say, and that there is none without values."""

from __future__ import annotations

import math

import numpy as np

from autoseg.evaluation.roc import RocCurve
from autoseg.reporting.figures import Change, box_rows, curves, dots, price_curve, roc_lines


def test_the_roc_curve_is_said_by_what_is_reached_at_few_false_alarms() -> None:
    curve = RocCurve(np.array([0, 0, 0.2, 0.5, 1.0]), np.array([0, 0.25, 0.5, 0.5, 1.0]))
    assert "entries: 0.25 at 0.05, 0.5 at 0.2, 0.5 at 0.5." in roc_lines("Scores", {"entries": curve})


def test_gaps_and_values_that_are_not_finite_are_left_out() -> None:
    assert "a: median 2, half of the 3 values from 1.5 to 2.5" in box_rows("Values", {"a": [1, 2, math.nan, 3]}, "mm")
    assert "loss: 1 in epoch 1, 0.5 in epoch 3." in curves("Loss", {"loss": ([1, 2, 3], [1.0, None, 0.5])})


def test_what_a_price_buys_is_said_point_by_point() -> None:
    full, half = Change("all", 8), Change("half", 4, -0.0004, -0.0011, 0.0002)
    drawn = price_curve("Ways", [full, half], half, "runs", "change of Dice", -0.001)
    assert 'aria-label="Line chart. Ways, change of Dice over runs. all: 8, +0.0000. half: 4, −0.0004 (−0.0011' in drawn
    assert price_curve("Ways", [], None, "runs", "change of Dice") == ""


def test_without_values_there_is_no_chart() -> None:
    assert dots("Errors", {}, "mm") == roc_lines("Scores", {}) == box_rows("Values", {"a": [math.nan]}, "mm") == ""
    assert curves("Loss", {"loss": ([1], [None])}) == ""
