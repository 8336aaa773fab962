"""The row of an answer and its confidence, from responses whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.tasks.localization.answer import answer_of, coverage


def test_coverage_by_hand() -> None:
    assert coverage(8, 3, 3).tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    assert coverage(8, 3.25, 3).tolist() == [0, 0, 0.75, 1, 1, 0.25, 0, 0]
    assert coverage(8, 3, 2).tolist() == [0, 0, 0.5, 1, 0.5, 0, 0, 0]
    assert coverage(8, 3.5, 0.5).tolist() == [0, 0, 0, 0.25, 0.25, 0, 0, 0]
    assert coverage(4, -1, 4).tolist() == [1, 0.5, 0, 0] and coverage(4, 9, 4).sum() == 0


@pytest.mark.parametrize("band", [1.0, 7.0, 7.5, 12.0])
def test_the_coverage_of_a_band_sums_to_its_height_where_all_of_it_is_inside(band: float) -> None:
    for row in np.linspace(band / 2 - 0.5, 39.5 - band / 2, 50):
        covered = coverage(40, float(row), band)
        assert covered.sum() == pytest.approx(band) and covered.min() >= 0 and covered.max() <= 1
        assert covered @ np.arange(40) / band == pytest.approx(row, abs=1e-6 if band % 1 == 0 else 0.05)  # its middle


@pytest.mark.parametrize("band", [3.0, 7.0, 8.0])
@pytest.mark.parametrize("height", [0.1, 1.0])
def test_a_response_that_is_the_band_is_answered_exactly(band: float, height: float) -> None:
    for row in np.linspace(10, 29, 39):
        answer = answer_of(height * coverage(40, float(row), band), band)
        assert answer.row == pytest.approx(row, abs=1e-6)
        assert height * (1 - 0.5 / band) - 1e-9 <= answer.confidence <= height + 1e-9  # less where it lies between two rows


def test_a_soft_response_is_found_between_rows() -> None:
    for row in (14.0, 17.3, 19.75):
        response = np.exp(-((np.arange(40) - row) ** 2) / (2 * 2.0**2))
        assert answer_of(response, 7.0).row == pytest.approx(row, abs=0.02)


def test_the_strongest_of_two_wins_and_the_other_lowers_the_confidence() -> None:
    response = 0.9 * coverage(60, 15, 7) + 0.6 * coverage(60, 45, 7)
    answer = answer_of(response, 7.0)
    assert answer.row == pytest.approx(15) and answer.confidence == pytest.approx(0.3)
    narrow = 0.6 * coverage(60, 15, 7) + coverage(60, 45, 1)  # one bright row is no band
    assert answer_of(narrow, 7.0).row == pytest.approx(15)


def test_what_is_within_the_bands_height_is_no_other_answer() -> None:
    wide = answer_of(0.8 * coverage(60, 30, 13), 7.0)
    assert wide.row == pytest.approx(30, abs=3) and wide.confidence > 0.2
    assert answer_of(0.8 * coverage(60, 30, 40), 7.0).confidence < 0.1  # all alike: it is nowhere in particular


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_where_all_rows_respond_alike_there_is_no_confidence(level: float) -> None:
    answer = answer_of(np.full(40, level), 7.0)
    assert 0 <= answer.row <= 39 and answer.confidence == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("row", [0.0, 1.5, 38.0, 39.0])
def test_at_the_end_of_the_projection_it_is_found_though_part_of_the_band_is_cut_off(row: float) -> None:
    answer = answer_of(coverage(40, row, 7.0), 7.0)
    assert answer.confidence == pytest.approx(1, abs=0.15)
    assert answer.row == pytest.approx(row, abs=0.1)


def test_it_is_the_same_upside_down() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        response = random.random(40) ** 4
        one, other = answer_of(response, 5.0), answer_of(response[::-1], 5.0)
        assert other.row == pytest.approx(39 - one.row) and other.confidence == pytest.approx(one.confidence)
        assert 0 <= one.confidence <= 1


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_projection_of_fewer_rows_than_the_band_is_answered_too(rows: int) -> None:
    answer = answer_of(np.full(rows, 0.4), 7.0)
    assert 0 <= answer.row <= rows - 1 and answer.confidence == 0  # there is nothing that it is stronger than
    assert answer_of(np.zeros(rows), 7.0).confidence == 0


def test_a_float32_response_is_answered_alike() -> None:
    response = (0.7 * coverage(40, 12.5, 7)).astype(np.float32)
    answer = answer_of(response, 7.0)
    assert isinstance(answer.row, float) and isinstance(answer.confidence, float) and answer.row == pytest.approx(12.5, abs=1e-5)


def test_in_a_short_projection_a_response_everywhere_is_not_sure_and_a_band_is() -> None:
    """Of 11 rows none is farther than 7 from the middle one."""
    assert answer_of(np.full(11, 0.9), 7.0).confidence == pytest.approx(0, abs=1e-6)
    assert answer_of(coverage(11, 5, 7.0), 7.0).confidence == pytest.approx(1)
    assert answer_of(0.1 + 0.8 * coverage(11, 5, 7.0), 7.0).confidence == pytest.approx(0.8)


def test_of_rows_that_are_alike_the_middle_one_is_the_answer() -> None:
    response = np.zeros(60)
    response[20:41] = 0.8  # the band fits anywhere inside
    assert answer_of(response, 7.0).row == pytest.approx(30)
