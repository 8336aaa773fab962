"""Cases of kinds apart, made and stored: what is whole and from the same stays, the rest is made anew."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Case
from autoseg.errors import AutosegError
from autoseg.preprocessing.apart import (
    CaseToMake,
    StoredDescription,
    array_path,
    forget,
    forget_outdated,
    identities,
    is_complete,
    make_cases,
)
from autoseg.preprocessing.store import description_path, write_array
from autoseg.workspace import write_json

CASES = [Case(name=name, images=(Path(f"{name}.nii.gz"),)) for name in "abc"]


def store(job: CaseToMake, folder: Path, bad: str = "") -> None:
    """As a kind of model stores a case; the one that is `bad` fails."""
    if job.case.name == bad:
        raise AutosegError(f"case {bad}: nothing to see")
    write_array(array_path(folder, job.case.name), np.zeros((1, 1, 4, 4), np.float16), (1, 4, 4), {})
    write_json(description_path(folder, job.case.name),
               StoredDescription(case=job.case.name, digest=job.digest, plans_digest="plans"))


def digest(case: Case, version: int = 1) -> str:
    return f"{case.name} {version}"


def make(folder: Path, version: int = 1, bad: str = "") -> dict[str, str]:
    """The errors by case, "" for none, in the order in which they come."""
    outcomes = make_cases(
        CASES, folder, partial(digest, version=version), partial(store, folder=folder, bad=bad), lambda case: 1000, workers=1)
    return {outcome.item.name: str(outcome.error or "") for outcome in outcomes}


def times(folder: Path) -> dict[str, int]:
    return {case.name: array_path(folder, case.name).stat().st_mtime_ns for case in CASES}


def test_what_is_there_stays_and_what_is_not_whole_or_from_other_files_is_made(tmp_path: Path) -> None:
    assert make(tmp_path) == {"a": "", "b": "", "c": ""}
    first = times(tmp_path)
    assert make(tmp_path) == {"a": "", "b": "", "c": ""} and times(tmp_path) == first
    description_path(tmp_path, "b").unlink()
    assert make(tmp_path) == {"a": "", "c": "", "b": ""}  # those that are there are told first
    second = times(tmp_path)
    assert {name for name in first if first[name] != second[name]} == {"b"}
    make(tmp_path, version=2)
    assert all(second[name] != time for name, time in times(tmp_path).items())


def test_one_that_cannot_be_made_stops_no_other(tmp_path: Path) -> None:
    assert make(tmp_path, bad="b") == {"a": "", "b": "case b: nothing to see", "c": ""}
    assert [is_complete(tmp_path, case.name) for case in CASES] == [True, False, True]
    assert make(tmp_path) == {"a": "", "c": "", "b": ""}


def test_a_killed_runs_temporary_files_are_removed(tmp_path: Path) -> None:
    left = tmp_path / ".tmp-999999999-00000000-a.b2nd"
    left.touch()
    make(tmp_path)
    assert not left.exists()


@pytest.mark.parametrize("text", ["", "{", '{"case": "a"}', "[]"])
def test_a_damaged_description_is_of_no_digest(tmp_path: Path, text: str) -> None:
    make(tmp_path)
    description_path(tmp_path, "a").write_text(text)
    assert not is_complete(tmp_path, "a", "a 1")
    make(tmp_path)
    assert is_complete(tmp_path, "a", "a 1")


def test_a_case_is_complete_with_both_of_its_files(tmp_path: Path) -> None:
    make(tmp_path)
    assert is_complete(tmp_path, "a") and is_complete(tmp_path, "a", "a 1") and not is_complete(tmp_path, "a", "a 2")
    array_path(tmp_path, "a").unlink()
    assert not is_complete(tmp_path, "a")
    forget(tmp_path, "b")
    assert not is_complete(tmp_path, "b")
    forget(tmp_path, "never made")


def test_what_is_outdated_is_forgotten_before_it_is_made_anew(tmp_path: Path) -> None:
    make(tmp_path)
    forget_outdated(CASES, tmp_path, lambda case: digest(case, 2 if case.name == "b" else 1))
    assert [is_complete(tmp_path, case.name) for case in CASES] == [True, False, True]
    forget_outdated(CASES, tmp_path / "nowhere", digest)


def test_a_case_changes_with_each_of_its_files(tmp_path: Path) -> None:
    image, label = tmp_path / "a_0000.nii.gz", tmp_path / "a.nii.gz"
    for path in (image, label):
        path.write_bytes(b"1")
    case = Case(name="a", images=(image,), label=label)
    found = [identities(case)]
    for path in (image, label):
        os.utime(path, ns=(0, len(found)))
        found.append(identities(case))
    label.write_bytes(b"12")
    found.append(identities(case))
    assert all(one != other for number, one in enumerate(found) for other in found[:number])
    assert len(identities(case.model_copy(update={"label": None}))) == 1
