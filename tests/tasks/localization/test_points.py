"""A table of points: what may stand in it, and what is told of the rest with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.errors import AutosegError
from autoseg.planners.localization.request import read_points


def read(tmp_path: Path, text: str) -> dict[str, float | None]:
    path = tmp_path / "points.csv"
    path.write_text(text, encoding="utf-8")
    return read_points(path, ["a", "b", "c"])


def test_points_are_numbers_and_an_empty_cell_is_a_case_without_it(tmp_path: Path) -> None:
    assert read(tmp_path, "case,mm\na,-12.5\nb,\n") == {"a": -12.5, "b": None}
    assert read(tmp_path, "\ufeffmm, case\n 1e2 , c\n\n") == {"c": 100.0}
    assert read(tmp_path, "case,mm\n") == {}


@pytest.mark.parametrize(("text", "words"), [
    ("", r"points\.csv has the columns \(none\)\. Expected the columns case, mm\."),
    ("case;mm\na;1\n", "has the columns case;mm. Expected the columns case, mm. Each row is a case"),
    ("case\na\n", "has the columns case. Expected"),
    ("case,mm,slice\na,1,2\n", "has the columns case, mm, slice. Expected"),
    ("case,mm\na,1\nb\n", "line 3: 1 cells below 2 columns. Each row is a case"),
    ("case,mm\na,1\na,2\n", "line 3: case a is named a second time. Give each case one row."),
    ("case,mm\na,12 mm\n", 'line 2: "12 mm" is no number of mm. Each row is a case and where the level lies'),
    ("case,mm\na,nan\n", 'line 2: "nan" is no number'), ("case,mm\na,-inf\n", 'line 2: "-inf" is no number'),
    ("case,mm\na,1\nz,2\ny,\n", "points.csv names 2 cases that the dataset does not have: y, z. It has a, b, c."),
])
def test_what_is_no_table_of_points_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(AutosegError, match=words):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AutosegError, match=r"nowhere\.csv does not exist"):
        read_points(tmp_path / "nowhere.csv", ["a"])
