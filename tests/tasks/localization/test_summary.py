"""Summaries of validated locations, with answers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from autoseg.evaluation.csv_table import write_rows
from autoseg.files import write_json
from autoseg.tasks.localization.evaluation import pooled
from autoseg.tasks.localization.locations import LOCATIONS, Part, ValidatedLocation
from autoseg.tasks.localization.summary import Absent, LocationSummary, summarize
from autoseg.tasks.localization.tables import in_words, location_table
from autoseg.workspace import ModelFolder, read_model


def there(case: str, slice_: float, true_slice: float, slice_mm: float = 1.0, found: bool = True) -> ValidatedLocation:
    return ValidatedLocation(case=case, part="whole", is_there=True, found=found, confidence=0.9 if found else 0.1, slice=slice_,
                             true_slice=true_slice, slice_mm=slice_mm)


def absent(case: str, part: Part, found: bool = False) -> ValidatedLocation:
    return ValidatedLocation(case=case, part=part, is_there=False, found=found, confidence=0.5, slice=3.0, slice_mm=1.0)


ROWS = [
    there("a", 100, 103),  # 3 slices, 3 mm
    there("b", 101.5, 100.5, slice_mm=2),  # 1 slice, 2 mm
    there("c", 40, 42, slice_mm=5, found=False),  # 2 slices, 10 mm
    there("d", 7, 7),  # exact
    absent("e", "whole"), absent("f", "whole", found=True),
    absent("a", "before"), absent("a", "after", found=True), absent("b", "before")]


def said(table: Table) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(table)
    return " ".join(capture.get().split())


def test_errors_are_of_all_answers_found_or_not() -> None:
    its = summarize(ROWS)
    assert (its.cases, its.found, its.not_found) == (4, 3, ("c",))
    assert its.error_mm is not None and its.error_slices is not None
    assert (its.error_mm.mean, its.error_mm.median, its.error_mm.worst, its.error_mm.worst_case) == (3.75, 2.5, 10, "c")
    assert (its.error_slices.mean, its.error_slices.median) == (1.5, 1.5)
    assert (its.error_slices.worst, its.error_slices.worst_case) == (3, "a")  # not the worst in mm
    assert its.error_mm.interval is not None and 0 <= its.error_mm.interval[0] < 3.75 < its.error_mm.interval[1] <= 10
    assert [(error.case, error.error_mm, error.error_slices) for error in its.errors] == [
        ("c", 10, 2), ("a", 3, 3), ("b", 2, 1), ("d", 0, 0)]


def test_shares_count_cases_at_the_tolerance_or_nearer() -> None:
    its = summarize([*ROWS, there("g", 0, 5)])  # 5 slices, 5 mm
    assert its.within_slice is not None and (its.within_slice.count, its.within_slice.of) == (2, 5)
    assert its.within_5_mm is not None and (its.within_5_mm.count, its.within_5_mm.share) == (4, 0.8)
    assert its.within_5_mm.interval == pytest.approx((0.3755, 0.9638), abs=1e-4)  # Wilson, of 4 in 5


def test_cases_and_parts_without_the_level_are_counted_apart() -> None:
    its = summarize(ROWS)
    assert its.without_level == Absent(count=2, wrongly_found=("f",))
    assert its.parts == Absent(count=3, wrongly_found=("a (after)",))


def test_what_is_not_known_is_none() -> None:
    assert summarize([]) == LocationSummary(cases=0, found=0)
    only_parts = summarize([absent("a", "before")])
    assert only_parts.error_mm is None and only_parts.within_5_mm is None and only_parts.parts.count == 1
    one = summarize([there("a", 1, 2)])
    assert one.error_mm is not None and one.error_mm.interval is None  # one case bounds no mean
    assert said(location_table(summarize([]))).startswith("How far answers are from the true level (0 cases, 95 % interval)")
    assert in_words(summarize([])) == ["No validated case has the level: how far answers are from it is not known."]


def test_a_summary_is_read_as_it_was_written(tmp_path: Path) -> None:
    for rows in (ROWS, []):
        write_json(tmp_path / "summary.json", summarize(rows))
        assert read_model(tmp_path / "summary.json", LocationSummary) == summarize(rows)


def test_folds_are_taken_together(tmp_path: Path) -> None:
    model = ModelFolder(tmp_path)
    write_rows(model.fold(0).validated(LOCATIONS), ValidatedLocation, ROWS[:2])
    write_rows(model.fold(1).validated(LOCATIONS), ValidatedLocation, ROWS[2:])
    assert pooled(model, 2) == summarize(ROWS) == read_model(model.summary_json, LocationSummary)


def test_the_table_has_the_numbers_and_words_have_the_names() -> None:
    text = said(location_table(summarize(ROWS)))
    for expected in ("mean absolute error 3.75 (0.75-7.50) mm, 1.50 (0.50-2.50) slices", "median 2.50 mm, 1.50 slices",
                     "worst 10.00 mm (c), 3.00 slices (a)", "within one slice 2 of 4, 50% (", "within 5 mm 3 of 4, 75% (",
                     "found 3 of 4", "wrongly found, cases without it 1 of 2", "wrongly found, parts without it 1 of 3"):
        assert expected in text, expected
    assert in_words(summarize(ROWS)) == [
        "Not found in 1 of 4 cases that have it: c.", "Wrongly found in 1 of 2 cases without it: f.",
        "Wrongly found in 1 of 3 parts of cases without it: a (after)."]
    assert in_words(summarize(ROWS[3:5])) == []
