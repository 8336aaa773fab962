"""Numbers, times and names on the page and in a terminal."""

from __future__ import annotations

from autoseg import wording


def test_numbers_times_and_names_read_well() -> None:
    numbers = [wording.number(value) for value in (0.1234, 12.34, 1234.5, -0.5, float("nan"), None)]
    assert numbers == ["0.123", "12.3", "1,230", "−0.5", "–", "–"]
    times = [wording.duration(seconds).replace("\u00a0", " ") for seconds in (7, 65, 3725, 200_000)]
    assert times == ["7 s", "1 min 5 s", "1 h 2 min", "2 days 7 h"]
    assert wording.shortened("gluteus_maximus_left", 11) == "glute…_left" and wording.shortened("liver", 11) == "liver"


def test_values_have_their_intervals_on_the_page_and_in_a_terminal() -> None:
    assert wording.with_interval(0.8356, (0.812, 0.861)).replace("\u00a0", " ") == "0.836 (0.812 to 0.861)"
    assert wording.with_interval(4.5, None, 2) == "4.50" and wording.with_interval(None, None) == "–"
    assert wording.cell(0.8356, (0.812, 0.861)) == "0.836 (0.812-0.861)" and wording.cell(float("nan")) == "-"
    assert wording.cell(0.8, (float("nan"), float("nan")), 2) == "0.80"
    assert [wording.significant_cell(value) for value in (1.234, 1234.5, None)] == ["1.23", "1234", "-"]
    assert [wording.signed_cell(value) for value in (0.01, -0.00001, float("nan"))] == ["+0.0100", "-1e-05", "-"]


def test_times_that_change_while_they_are_read_are_rough() -> None:
    assert [wording.rough_duration(seconds) for seconds in (45, 720, 11100)] == ["45 s", "12 min", "3 h 05 min"]
