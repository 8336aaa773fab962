"""Validated locations on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from autoseg.errors import AutosegError
from autoseg.evaluation.csv_table import read_rows, write_rows
from autoseg.tasks.localization.locations import ValidatedLocation

ROWS = [
    ValidatedLocation(case='x, "quoted"', part="whole", is_there=True, found=True, confidence=0.1 + 0.2, slice=12.5,
                      true_slice=10, slice_mm=2),
    ValidatedLocation(case="007", part="before", is_there=False, found=False, confidence=0.25, slice=3, slice_mm=1e-3)]
HEAD = "case,part,is_there,found,confidence,slice,true_slice,slice_mm,error_slices,error_mm"


def test_errors_are_absolute_and_unknown_without_the_level() -> None:
    assert (ROWS[0].error_slices, ROWS[0].error_mm) == (2.5, 5)
    assert (ROWS[1].error_slices, ROWS[1].error_mm) == (None, None)


def test_errors_are_as_precise_as_positions() -> None:
    near = ROWS[0].model_copy(update={"slice": 136.4, "true_slice": 136.1, "slice_mm": 0.800000012})
    assert (near.error_slices, near.error_mm) == (0.3, 0.24)  # 136.4 - 136.1 is 0.30000000000001137


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_rows(tmp_path / "locations.csv", ValidatedLocation, ROWS)
    assert read_rows(tmp_path / "locations.csv", ValidatedLocation) == ROWS
    header, _, second = (tmp_path / "locations.csv").read_text().splitlines()
    assert header == HEAD and second == "007,before,no,no,0.25,3.0,,0.001,,"


def test_no_rows_are_a_file_without_rows(tmp_path: Path) -> None:
    write_rows(tmp_path / "locations.csv", ValidatedLocation, [])
    assert read_rows(tmp_path / "locations.csv", ValidatedLocation) == []


@pytest.mark.parametrize("text, message", [
    ("case,found\na,yes\n", "has the columns case, found. Expected the columns case, part"),
    ("HEAD\na,whole,yes,maybe,1,1,1,1,0,0\n", "line 2: found: .*not 'maybe'"),
    ("HEAD\na,half,yes,yes,1,1,1,1,0,0\n", "line 2: part: Input should be 'whole', 'before' or 'after', not 'half'"),
    ("HEAD\na,whole,yes,yes,2,1,1,1,0,0\n", "line 2: confidence: Input should be less than or equal to 1"),
    ("HEAD\na,whole,yes,yes,1,nan,1,1,0,0\n", "line 2: slice: Input should be a finite number"),
    ("HEAD\na,whole,yes,yes,1,1,,1,,\n", "line 2: Value error, true_slice must be given where the level is there"),
    ("HEAD\na,whole,yes,yes,1,1,1,0,0,0\n", "line 2: slice_mm: Input should be greater than 0"),
    ("HEAD\na,whole,no,no,1,1,,1,,\na,whole,no,no,1,1,,1,,\n", "line 3: a second row of case a, whole"),
])
def test_a_damaged_file_is_named_with_the_line_and_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "locations.csv"
    path.write_text(text.replace("HEAD", HEAD))
    with pytest.raises(AutosegError, match=message) as error:
        read_rows(path, ValidatedLocation)
    assert str(path) in str(error.value) and "autoseg_train with --continue" in str(error.value)


def test_what_cannot_be_is_no_row() -> None:
    for wrong in ({"is_there": False}, {"true_slice": None}, {"confidence": float("nan")}, {"slice": float("inf")}):
        with pytest.raises(ValidationError):
            ValidatedLocation.model_validate({**ROWS[0].model_dump(), **wrong})
