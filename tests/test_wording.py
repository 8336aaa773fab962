"""Numbers, times and names on the page and in a terminal."""

from __future__ import annotations

from autoseg import wording


def test_numbers_times_and_names_read_well() -> None:
    numbers = [wording.number(value) for value in (0.1234, 12.34, 1234.5, -0.5, float("nan"), None)]
    assert numbers == ["0.123", "12.3", "1,230", "−0.5", "–", "–"]
    times = [wording.duration(seconds).replace("\u00a0", " ") for seconds in (7, 65, 3725, 200_000)]
    assert times == ["7 s", "1 min 5 s", "1 h 2 min", "2 days 7 h"]
    assert wording.shortened("gluteus_maximus_left", 11) == "glute…_left" and wording.shortened("liver", 11) == "liver"
