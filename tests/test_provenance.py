"""What artefacts were made from, and the record of an output folder: appended to, never rewritten, by several processes."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from autoseg.digests import file_digest
from autoseg.errors import AutosegError
from autoseg.files import atomic_path, remove_leftovers
from autoseg.provenance import PREDICTIONS, Origin, OutputFolder, file_stamp, remove_recorded


def lines_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / PREDICTIONS).read_text().splitlines() if line]


def image(folder: Path, name: str, content: str = "x") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.nii.gz"
    path.write_text(content)
    return path


def make(outputs: OutputFolder, source: Path) -> bool:
    """Whether the output was made now, and not there already."""
    if outputs.made(source.name, [source]):
        return False
    with outputs.writing(source.name, [source], {"score": len(source.name)}) as path:
        path.write_text("made")
    return True


def test_an_origin_is_the_same_for_the_same_facts_in_any_order_and_says_what_differs() -> None:
    one, same = Origin.of(folds=("0", "1"), rate=0.1), Origin.of(rate=0.1, folds=["0", "1"])
    assert one == same and one.digest == same.digest
    other = Origin.of(model={"folds": ["0"], "weights": "ab"}, rules=[])
    now = Origin.of(model={"folds": ["1"], "weights": "ab"}, rules=[{"kind": "drop_small", "below_ml": 0.5}])
    assert other.differences(now) == ["folds 0 (now 1)", "rules none (now kind drop_small, below_ml 0.5)"]
    assert other.differences(other) == [] and other.digest != now.digest


def test_an_origin_on_disk_holds_as_long_as_it_says_the_same(tmp_path: Path) -> None:
    origin = Origin.of(weights="ab")
    assert not origin.holds_for(tmp_path / "made_from.json")
    origin.write(tmp_path / "made_from.json")
    assert origin.holds_for(tmp_path / "made_from.json")
    assert not Origin.of(weights="cd").holds_for(tmp_path / "made_from.json")
    (tmp_path / "made_from.json").write_text("{")
    assert not origin.holds_for(tmp_path / "made_from.json")


def test_a_stamp_changes_with_size_time_and_name_and_a_digest_with_content_alone(tmp_path: Path) -> None:
    path, twin = image(tmp_path / "a", "case"), image(tmp_path / "b", "case")
    os.utime(twin, ns=(0, path.stat().st_mtime_ns))
    assert file_stamp(path) == file_stamp(twin) and file_stamp(path, with_folder=True) != file_stamp(twin, with_folder=True)
    assert file_digest(path) == file_digest(twin)
    os.utime(twin, ns=(0, 1))
    assert file_stamp(path) != file_stamp(twin) and file_digest(path) == file_digest(twin)
    before = file_digest(path)
    path.write_text("other")
    assert file_digest(path) != before
    assert file_stamp(tmp_path / "gone.nii") == "gone.nii"
    with pytest.raises(AutosegError, match=r"gone\.nii cannot be read"):
        file_digest(tmp_path / "gone.nii")


def test_a_second_run_does_nothing_and_the_record_has_a_line_for_each_case(tmp_path: Path) -> None:
    sources = [image(tmp_path / "in", name) for name in "abc"]
    first = OutputFolder(tmp_path / "out", Origin.of(weights="1"))
    assert [make(first, source) for source in sources] == [True] * 3
    second = OutputFolder(tmp_path / "out", Origin.of(weights="1"))
    assert [make(second, source) for source in sources] == [False] * 3
    assert len(lines_of(tmp_path / "out")) == 1 + 3 and list(second.results) == [source.name for source in sources]
    sources[0].write_text("another image")
    assert [make(second, source) for source in sources] == [True, False, False]
    assert len(lines_of(tmp_path / "out")) == 1 + 3 + 2  # of an older file's replacement: that it begins, and that it is done


def test_outputs_of_another_origin_are_refused_or_replaced_one_by_one(tmp_path: Path) -> None:
    a, b = image(tmp_path / "in", "a"), image(tmp_path / "in", "b")
    ours = OutputFolder(tmp_path / "out", Origin.of(weights="1"))
    assert make(ours, a) and make(ours, b)
    with pytest.raises(AutosegError, match=r"another model or other options made: weights 1 \(now 2\)\. .*--overwrite"):
        OutputFolder(tmp_path / "out", Origin.of(weights="2"))
    theirs = OutputFolder(tmp_path / "out", Origin.of(weights="2"), overwrite=True)
    assert make(theirs, a) and list(theirs.results) == ["a.nii.gz"]
    later = OutputFolder(tmp_path / "out", Origin.of(weights="2"))
    assert not make(later, a)
    with pytest.raises(AutosegError, match=r"b\.nii\.gz is there, but this model did not make it"):
        make(later, b)
    assert list(OutputFolder(tmp_path / "out", Origin.of(weights="1"), overwrite=True).results) == ["b.nii.gz"]  # still there


def test_a_file_that_nothing_recorded_made_is_refused(tmp_path: Path) -> None:
    a = image(tmp_path / "in", "a")
    image(tmp_path / "out", "a", "mine")
    with pytest.raises(AutosegError, match="did not make it"):
        make(OutputFolder(tmp_path / "out", Origin.of(weights="1")), a)
    with pytest.raises(AutosegError, match="autoseg did not make it .* files of yours are not replaced"):
        make(OutputFolder(tmp_path / "out", Origin.of(weights="1"), overwrite=True), a)
    with pytest.raises(AutosegError, match="autoseg did not make it"):
        OutputFolder(tmp_path / "out", Origin.of(weights="1"), overwrite=True).begin_all({"a.nii.gz": [a]})
    remove_recorded(tmp_path / "out" / "a.nii.gz")
    assert (tmp_path / "out" / "a.nii.gz").read_text() == "mine"
    b = image(tmp_path / "in", "b")
    assert make(OutputFolder(tmp_path / "out", Origin.of(weights="1"), overwrite=True), b)
    remove_recorded(tmp_path / "out" / "b.nii.gz")
    assert not (tmp_path / "out" / "b.nii.gz").exists()


def test_an_older_output_stays_until_it_is_replaced_and_is_made_again_after_a_failure(tmp_path: Path) -> None:
    a = image(tmp_path / "in", "a")
    make(OutputFolder(tmp_path / "out", Origin.of(weights="1")), a)
    outputs = OutputFolder(tmp_path / "out", Origin.of(weights="2"), overwrite=True)
    with pytest.raises(RuntimeError), outputs.writing("a.nii.gz", [a], {"score": 2}) as path:
        assert path.read_text() == "made"
        raise RuntimeError("killed before the new file is renamed")
    again = OutputFolder(tmp_path / "out", Origin.of(weights="2"), overwrite=False)
    assert path.read_text() == "made" and not again.results and not again.made("a.nii.gz", [a])
    assert make(again, a) and again.results == {"a.nii.gz": {"score": 8}}
    assert not make(OutputFolder(tmp_path / "out", Origin.of(weights="2")), a)


def test_a_run_that_makes_nothing_leaves_nothing(tmp_path: Path) -> None:
    image(tmp_path / "out", "a", "mine")
    outputs = OutputFolder(tmp_path / "out", Origin.of(weights="1"))
    with pytest.raises(AutosegError, match="did not make it"):
        make(outputs, image(tmp_path / "in", "a"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.nii.gz"]
    outputs.begin_all({})
    assert not (tmp_path / "out" / PREDICTIONS).exists()


def test_a_failure_is_noted_and_the_case_tried_again(tmp_path: Path) -> None:
    a, outputs = image(tmp_path / "in", "a"), OutputFolder(tmp_path / "out", Origin.of(weights="1"))
    outputs.fail("a.nii.gz", "no image")
    assert lines_of(tmp_path / "out")[-1]["failed"] == "no image" and outputs.is_new
    assert make(OutputFolder(tmp_path / "out", Origin.of(weights="1")), a)


@pytest.mark.parametrize("rest", ['{"output": "b.nii', "\x00\x00"])
def test_a_line_that_a_killed_process_left_unfinished_harms_nothing(rest: str, tmp_path: Path) -> None:
    a, b = image(tmp_path / "in", "a"), image(tmp_path / "in", "b")
    make(OutputFolder(tmp_path / "out", Origin.of(weights="1")), a)
    with open(tmp_path / "out" / PREDICTIONS, "a") as file:
        file.write(rest)
    again = OutputFolder(tmp_path / "out", Origin.of(weights="1"))
    assert not make(again, a) and make(again, b)
    assert not make(OutputFolder(tmp_path / "out", Origin.of(weights="1")), b)


@pytest.mark.parametrize("line", ['{"origin": {"a": 1}}', '{"output": 1}', "[1]}"])
def test_a_record_of_something_else_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / PREDICTIONS).write_text(f"{line}\n")
    with pytest.raises(AutosegError, match=rf"{PREDICTIONS} is damaged: .* does not fit"):
        OutputFolder(tmp_path, Origin.of(weights="1"))
    OutputFolder(tmp_path, Origin.of(weights="1"), overwrite=True)


def _fill(folder: Path, sources: list[Path]) -> None:
    outputs = OutputFolder(folder, Origin.of(weights="1"))
    for source in sources:
        make(outputs, source)


def test_two_processes_that_write_at_the_same_time_keep_each_others_entries(tmp_path: Path) -> None:
    sources = [image(tmp_path / "in", f"case_{number:03d}") for number in range(200)]
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_fill, args=(tmp_path / "out", sources[part::2])) for part in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    third = OutputFolder(tmp_path / "out", Origin.of(weights="1"))
    assert len(third.results) == 200 and not any(make(third, source) for source in sources)
    assert 201 <= len(lines_of(tmp_path / "out")) <= 202  # each may have written the line that says what makes them


def test_temporary_names_hold_host_and_process_and_only_dead_or_old_ones_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "node-1.cluster")
    with atomic_path(tmp_path / "plans.json") as temporary:
        assert temporary.name.startswith(f".tmp-node-1_cluster.{os.getpid()}.") and temporary.name.endswith("-plans.json")
        temporary.touch()
        remove_leftovers(tmp_path)
        assert temporary.exists()  # its process lives
    dead, of_another_host, old = (tmp_path / name for name in (
        ".tmp-node-1_cluster.999999999.0a-a", ".tmp-node-2.999999999.0a-b", ".tmp-node-2.999999999.0b-c"))
    for path in (dead, of_another_host, old):
        path.touch()
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path)
    assert [path.exists() for path in (dead, of_another_host, old)] == [False, True, False]


def test_an_output_that_is_its_own_input_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").symlink_to(tmp_path / "a.txt")
    outputs = OutputFolder(tmp_path / "out", Origin.of(model="m"), overwrite=True)
    with pytest.raises(AutosegError, match="is what it would be made from"):
        outputs.begin_all({"a.txt": [tmp_path / "a.txt"]})
    assert (tmp_path / "out" / "a.txt").read_text() == "precious"
