"""Scores on disk, and what a case's score is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.errors import AutosegError
from autoseg.evaluation.csv_table import read_rows, write_rows
from autoseg.tasks.anomaly.scores import CaseScore, SliceScore, case_score


def scored(index: int, score: float | None, case: str = "a") -> SliceScore:
    return SliceScore(case=case, slice=index, score=score, residual=score, discrimination=score, steps=10)


SLICES = [
    SliceScore(case='x, "quoted"', slice=0, score=0.1 + 0.2, residual=1e-12, discrimination=3.0, steps=500, truth="normal",
               axis=2),
    SliceScore(case="007", slice=3, score=None, residual=None, discrimination=None, steps=0)]
CASES = [CaseScore(case="007", score=3.0, mean=2.0, highest=4.0, highest_slice=7, slices=12, truth="abnormal"),
         CaseScore(case="näme", score=3.5, mean=2.0, highest=4.0, highest_slice=7, slices=12)]


def test_the_highest_tenth_of_the_slices_makes_a_cases_score() -> None:
    found = case_score([*(scored(i, float(i)) for i in range(20)), scored(20, None)], "abnormal")
    assert found == CaseScore(case="a", score=18.5, mean=9.5, highest=19.0, highest_slice=19, slices=20, truth="abnormal")
    assert case_score([scored(4, 2.0), scored(5, 8.0)]).score == 8.0  # one at least


def test_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_rows(tmp_path / "slice_scores.csv", SliceScore, SLICES)
    write_rows(tmp_path / "scores.csv", CaseScore, CASES)
    assert read_rows(tmp_path / "slice_scores.csv", SliceScore) == SLICES
    assert read_rows(tmp_path / "scores.csv", CaseScore) == CASES
    header, _, second = (tmp_path / "slice_scores.csv").read_text().splitlines()
    assert header == "case,slice,score,residual,discrimination,steps,truth,axis" and second == "007,3,,,,0,,"


def test_no_scores_are_a_file_without_rows(tmp_path: Path) -> None:
    write_rows(tmp_path / "scores.csv", CaseScore, [])
    assert read_rows(tmp_path / "scores.csv", CaseScore) == []


@pytest.mark.parametrize("text, message", [
    ("", r"has the columns \(none\). Expected the columns case, score, mean"),
    ("case,score\na,1\n", "has the columns case, score. Expected the columns case"),
    ("HEAD\na,1,1,1\n", "line 2: 4 cells below 7 columns"),
    ("HEAD\na,high,1,1,0,1,\n", "line 2: score: Input should be a valid number.*not 'high'"),
    ("HEAD\na,nan,1,1,0,1,\n", "line 2: score: Input should be a finite number"),
    ("HEAD\na,,1,1,0,1,\n", "line 2: score: .*not None"),
    ("HEAD\na,1,1,1,0,1,ill\n", "line 2: truth: Input should be 'normal' or 'abnormal', not 'ill'"),
    ("HEAD\na,1,1,1,0,1,\na,2,1,1,0,1,\n", "line 3: a second row of case a"),
    ('HEAD\n"a,1', "cannot be read as a table"),
])
def test_a_damaged_file_is_named_with_the_line_and_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text.replace("HEAD", "case,score,mean,highest,highest_slice,slices,truth"))
    with pytest.raises(AutosegError, match=message) as error:
        read_rows(path, CaseScore)
    assert str(path) in str(error.value) and "Remove the file, and run the command that wrote it again" in str(error.value)


def test_a_missing_file_and_one_of_other_bytes_are_named(tmp_path: Path) -> None:
    with pytest.raises(AutosegError, match="gone.csv does not exist"):
        read_rows(tmp_path / "gone.csv", CaseScore)
    (tmp_path / "scores.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AutosegError, match="is not UTF-8, but probably UTF-16"):
        read_rows(tmp_path / "scores.csv", CaseScore)
