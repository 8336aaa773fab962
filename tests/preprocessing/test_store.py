"""Preprocessed cases of any task, made and stored: what is complete and from the same stays, the rest is made anew."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Case
from autoseg.errors import AutosegError
from autoseg.files import _host
from autoseg.preprocessing import store
from autoseg.preprocessing.store import (
    CaseToMake,
    Part,
    StoredCase,
    StoredDescription,
    array_path,
    case_origin,
    description_path,
    forget,
    forget_outdated,
    is_complete,
    make_cases,
    read_description,
    stored_cases,
    write_case,
)

CASES = [Case(name=name, images=(Path(f"{name}.nii.gz"),)) for name in "abc"]
CONFIGURATION, OTHER = "toys", "other"


class Toy(StoredDescription):
    """A task's description of a case."""

    colour: str


def write_toy(folder: Path, case: str, origin: str) -> None:
    """An image of 1 × 1 × 4 × 4 voxels and its labels, with metadata."""
    description = Toy(case=case, shapes={}, origin=origin, plans="plans", colour="red")
    write_case(folder, description, [
        Part("", np.full((1, 1, 4, 4), 7, np.float16), (4, 4)),
        Part("seg", np.ones((1, 1, 4, 3), np.int8), (4, 4), {"x": b"y"})])


class StoredToy(StoredCase[Toy]):
    parts = ("", "seg")


def open_toy(folder: Path, case: str) -> StoredToy:
    return StoredToy(folder, read_description(folder, case, Toy))


def make_toy(job: CaseToMake, root: Path, bad: str = "") -> list[str]:
    """As a task makes a case; the one that is `bad` fails."""
    if job.case.name == bad:
        raise AutosegError(f"case {bad}: nothing to see")
    for name, origin in job.origins.items():
        write_toy(root / name, job.case.name, origin)
    return list(job.origins)


def origin_of(case: Case, configuration: str = CONFIGURATION, version: int = 1) -> str:
    return f"{case.name} {configuration} {version}"


def make(root: Path, version: int = 1, bad: str = "", configurations: tuple[str, ...] = (CONFIGURATION,)) -> dict[str, object]:
    """What was made of each case, or its error, in the order in which they come."""
    outcomes = make_cases(
        CASES, {name: root / name for name in configurations}, partial(origin_of, version=version),
        partial(make_toy, root=root, bad=bad), lambda job: 1000, workers=1)
    return {outcome.item.name: outcome.value if outcome.error is None else str(outcome.error) for outcome in outcomes}


def times(folder: Path) -> dict[str, int]:
    return {case.name: array_path(folder, case.name).stat().st_mtime_ns for case in CASES}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the three cases are made."""
    make(tmp_path)
    return tmp_path / CONFIGURATION


def test_what_was_stored_is_read_back(folder: Path) -> None:
    stored = open_toy(folder, "b")
    assert (stored.name, stored.origin, stored.description.colour) == ("b", "b toys 1", "red")
    assert stored.description.shapes == {"": (1, 1, 4, 4), "seg": (1, 1, 4, 3)}
    assert (stored.array()[:] == 7).all() and (stored.array("seg")[:] == 1).all()
    seg = stored.array("seg")
    assert seg.schunk.vlmeta["x"] == b"y"


def test_what_is_there_stays_and_what_is_not_complete_or_from_others_is_made(folder: Path) -> None:
    first = times(folder)
    assert make(folder.parent) == {"a": [], "b": [], "c": []} and times(folder) == first
    description_path(folder, "b").unlink()  # as after a kill between the arrays and their description
    made = make(folder.parent)
    assert made == {"a": [], "c": [], "b": [CONFIGURATION]} and list(made) == ["a", "c", "b"]  # those that are there come first
    second = times(folder)
    assert {name for name in first if first[name] != second[name]} == {"b"}
    make(folder.parent, version=2)
    assert all(second[name] != time for name, time in times(folder).items())


def test_a_case_is_made_once_for_all_configurations_that_lack_it(folder: Path) -> None:
    both = (CONFIGURATION, OTHER)
    assert make(folder.parent, configurations=both) == {name: [OTHER] for name in "abc"}
    array_path(folder, "c", "seg").unlink()
    forget(folder, "a")
    forget(folder.parent / OTHER, "a")
    assert make(folder.parent, configurations=both) == {"b": [], "a": [CONFIGURATION, OTHER], "c": [CONFIGURATION]}


def test_one_that_cannot_be_made_stops_no_other(tmp_path: Path) -> None:
    assert make(tmp_path, bad="b") == {"a": [CONFIGURATION], "b": "case b: nothing to see", "c": [CONFIGURATION]}
    folder = tmp_path / CONFIGURATION
    assert [is_complete(folder, case.name) for case in CASES] == [True, False, True]
    assert [stored.name for stored in stored_cases(folder, CASES, open_toy)] == ["a", "c"]
    with pytest.raises(AutosegError, match="case b: .* holds no complete preprocessed data of it. Run autoseg_plan_and"):
        open_toy(folder, "b")
    assert make(tmp_path) == {"a": [], "c": [], "b": [CONFIGURATION]}


def test_temporary_files_of_a_killed_run_are_removed_and_those_of_other_hosts_stay(folder: Path) -> None:
    left, theirs = (folder / f".tmp-{host}.999999999.0a-a.b2nd" for host in (_host(), f"not-{_host()}"))
    for path in (left, theirs):
        path.touch()
    make(folder.parent)
    assert not left.exists() and theirs.exists()


@pytest.mark.parametrize("text", ["", "{", '{"case": "a"}', "[]"])
def test_a_damaged_description_is_of_no_origin(folder: Path, text: str) -> None:
    description_path(folder, "a").write_text(text)
    assert not is_complete(folder, "a") and not is_complete(folder, "a", "a toys 1")
    with pytest.raises(AutosegError, match=r"a\.json"):
        open_toy(folder, "a")
    make(folder.parent)
    assert is_complete(folder, "a", "a toys 1")


def test_a_case_is_complete_with_all_of_its_files(folder: Path) -> None:
    assert is_complete(folder, "a") and is_complete(folder, "a", "a toys 1") and not is_complete(folder, "a", "a toys 2")
    for case, part in (("a", ""), ("b", "seg")):
        array_path(folder, case, part).unlink()
        assert not is_complete(folder, case)
    forget(folder, "c")
    assert not is_complete(folder, "c")
    forget(folder, "never made")


@pytest.mark.parametrize("part", ["", "seg"])
def test_an_array_that_is_damaged_or_of_another_shape_is_named(folder: Path, part: str) -> None:
    array_path(folder, "a", part).write_bytes(b"no array")
    with pytest.raises(AutosegError, match=rf"{part}/a\.b2nd cannot be read .*Delete it and run autoseg_plan_and_preprocess"):
        open_toy(folder, "a").array(part)
    stored = open_toy(folder, "b")
    other = StoredToy(folder, stored.description.model_copy(update={"shapes": {"": (1, 1, 4, 5), "seg": (1, 1, 4, 5)}}))
    with pytest.raises(AutosegError, match=rf"{part}/b\.b2nd holds shape .* but an array of shape \(1, 1, 4, 5\) is expected"):
        other.array(part)


def test_a_write_that_breaks_off_leaves_the_case_incomplete(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_toy(folder, "a", "a toys 1")
    assert not is_complete(folder, "a")


@pytest.mark.parametrize(
    ("shape", "patch"),
    [((1, 219, 512, 512), (96, 160, 160)), ((1, 90, 512, 512), (512, 512)), ((2, 1, 5, 1), (40, 56, 40))],
)
def test_blocks_and_chunks_stay_within_their_bounds(shape: tuple[int, ...], patch: tuple[int, ...]) -> None:
    chunks, blocks = store.layout(shape, patch, 4)
    assert np.prod(blocks) * 4 <= store.BLOCK_BYTES and np.prod(chunks) * 4 <= store.CHUNK_BYTES
    assert all(1 <= b <= c <= s for b, c, s in zip(blocks, chunks, shape, strict=True))
    if len(patch) == 2:
        assert blocks[1] == chunks[1] == 1


def test_what_is_outdated_is_forgotten_before_it_is_made_anew(folder: Path) -> None:
    forget_outdated(CASES, folder, lambda case: origin_of(case, version=2 if case.name == "b" else 1))
    assert [is_complete(folder, case.name) for case in CASES] == [True, False, True]
    forget_outdated(CASES, folder / "nowhere", origin_of)


def test_a_case_changes_with_each_of_its_files_with_the_plans_and_with_what_else_it_is_made_from(tmp_path: Path) -> None:
    image, label = tmp_path / "a_0000.nii.gz", tmp_path / "a.nii.gz"
    for path in (image, label):
        path.write_bytes(b"1")
    case = Case(name="a", images=(image,), label=label)
    found = [case_origin(case, "plans")]
    assert case_origin(case, "plans") == found[0]
    for path in (image, label):
        os.utime(path, ns=(0, len(found)))
        assert case_origin(case, "plans") == found[-1]  # times alone change nothing
        path.write_bytes(b"2")
        found.append(case_origin(case, "plans"))
    label.write_bytes(b"12")
    found += [case_origin(case, "plans"), case_origin(case, "others"), case_origin(case, "plans", point=3),
              case_origin(case.model_copy(update={"label": None}), "plans")]
    assert len(set(found)) == len(found)


def test_no_case_is_stored_over_another_whatever_they_are_called(tmp_path: Path) -> None:
    names = ["X", "X_seg", "X.seg", "seg", "X.json", "X.b2nd"]
    for name in names:
        write_toy(tmp_path, name, name)
    files = [array_path(tmp_path, name, part) for name in names for part in ("", "seg")]
    assert len({str(path).lower() for path in (*files, *(description_path(tmp_path, name) for name in names))}) == 3 * len(names)
    for name in names:
        stored = store.opened(open_toy(tmp_path, name))
        assert (stored.array()[:] == 7).all() and (stored.array("seg")[:] == 1).all() and stored.origin == name


@pytest.mark.parametrize("part", ["", "seg"])
def test_a_flipped_bit_or_another_dtype_is_found_when_a_case_is_opened(folder: Path, part: str) -> None:
    assert store.opened(open_toy(folder, "a")).name == "a"
    path = array_path(folder, "a", part)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # in the trailer, which the array does not need
    path.write_bytes(content)
    with pytest.raises(AutosegError, match=r"case a: .*/a\.b2nd is damaged.*Delete it and run autoseg_plan_and_preprocess"):
        store.opened(open_toy(folder, "a"))
    stored = open_toy(folder, "b")
    path = array_path(folder, "b", part)
    path.unlink()
    store.write_array(path, np.zeros(stored.description.shapes[part], np.float64), (4, 4), {})
    with pytest.raises(AutosegError, match=r"case b: .*/b\.b2nd is damaged"):
        store.opened(stored)
    path.unlink()
    assert make(folder.parent)["b"] == [CONFIGURATION] and store.opened(open_toy(folder, "b"))


def test_a_store_of_an_earlier_version_is_made_anew(folder: Path) -> None:
    """Where labels lay beside the images, and nothing carried a digest."""
    for case in "ab":
        path = description_path(folder, case)
        now, then = ('"digests"', '"was"') if case == "a" else ('"seg"', '"_seg"')
        path.write_text(path.read_text().replace(now, then))
        assert not is_complete(folder, case)
    assert make(folder.parent) == {"a": [CONFIGURATION], "b": [CONFIGURATION], "c": []}


def test_a_description_of_another_case_is_not_taken_for_it(folder: Path) -> None:
    description_path(folder, "b").write_text(description_path(folder, "a").read_text())
    with pytest.raises(AutosegError, match=r"b\.json describes the case a, but b is expected"):
        open_toy(folder, "b")
