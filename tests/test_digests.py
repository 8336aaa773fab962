"""Digests of files: hashlib's own, read again only where size or times changed, and kept from one command to the next."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from autoseg import digests
from autoseg.digests import content_stamps, file_digest, remembered_digests
from autoseg.errors import AutosegError

OLD = (10**18, 10**18)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read; what other tests knew is forgotten."""
    names, read = list[str](), digests._digest_of
    monkeypatch.setattr(digests, "_known", {})
    monkeypatch.setattr(digests, "MAY_CHANGE_UNSEEN_NS", -1)  # files of a test were all written just now
    monkeypatch.setattr(digests, "_digest_of", lambda path: names.append(path.name) or read(path))
    return names


def test_content_and_name_decide_and_not_time_or_folder(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    path, copy = tmp_path / "a.nii", tmp_path / "copy/a.nii"
    path.write_bytes(b"12")
    shutil.copy(path, copy)
    os.utime(copy, ns=OLD)
    digest = hashlib.blake2b(b"12", digest_size=8).hexdigest()
    assert content_stamps([path, None]) == content_stamps([copy]) == (f"a.nii, {digest}",)
    path.write_bytes(b"21")  # as large, and within the same tick of the clock
    assert file_digest(path) == hashlib.blake2b(b"21", digest_size=8).hexdigest()
    assert content_stamps([tmp_path / "gone.nii"]) == ("gone.nii",)
    with pytest.raises(AutosegError, match=r"gone\.nii cannot be read"):
        file_digest(tmp_path / "gone.nii")


def test_a_file_is_read_again_only_where_size_or_times_changed_also_by_the_next_command(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other, memory = tmp_path / "a", tmp_path / "b", tmp_path / "digests.json"
    path.write_bytes(b"1")
    other.write_bytes(b"2")
    for _ in range(2):
        with remembered_digests(memory):
            before = [file_digest(path), file_digest(other), file_digest(path)]
        assert reads == ["a", "b"] and set(json.loads(memory.read_text())["files"]) == {str(path), str(other)}
        monkeypatch.setattr(digests, "_known", {})  # as another process
    os.utime(other, ns=OLD)
    with remembered_digests(memory):
        assert [file_digest(path), file_digest(other), file_digest(path)] == before and reads == ["a", "b", "b"]
    memory.write_text("{")  # it only saves work
    other.unlink()
    monkeypatch.setattr(digests, "_known", {})
    with remembered_digests(memory):
        assert file_digest(path) == before[0]
    assert set(json.loads(memory.read_text())["files"]) == {str(path)}
