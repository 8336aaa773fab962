"""Zip archives: whole or not at all, and nothing outside of the folder. All archives are made by hand."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoseg import archives
from autoseg.archives import is_archive, pack, unpack
from autoseg.errors import AutosegError
from autoseg.files import atomic_folder

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write an archive of entries: (name, content) each, or (name, content, mode)."""

    def write(*entries: tuple[Any, ...], change: Callable[[bytes], bytes] = bytes, compress: int = zipfile.ZIP_STORED) -> Path:
        path = tmp_path / "made.zip"
        with zipfile.ZipFile(path, "w", compress) as archive:
            for name, content, *mode in entries:
                info = zipfile.ZipInfo(name)
                info.compress_type = compress
                if mode:
                    info.create_system, info.external_attr = 3, mode[0] << 16
                archive.writestr(info, content)
        path.write_bytes(change(path.read_bytes()))
        return path

    return write


def require_refused(archive: Path, match: str) -> None:
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(AutosegError, match=match) as caught:
        unpack(archive, archive.parent / "deep" / "out")
    assert sorted(archive.parent.rglob("*")) == before and str(archive) in str(caught.value)


def test_what_was_packed_comes_out_again_and_equal_files_make_equal_archives(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(os.urandom(3_000_000))
    files: dict[str, Path | bytes] = {"b/weights": tmp_path / "weights", "README.md": b"text", "b/ü.json": b""}
    pack(files, tmp_path / "one.zip")
    os.utime(tmp_path / "weights", (10**9, 10**9))
    pack(dict(reversed(files.items())), tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    unpack(tmp_path / "one.zip", tmp_path / "out")
    assert {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} | {
        "b/weights": (tmp_path / "out" / "b" / "weights").read_bytes()} == {
        "README.md": b"text", "b/ü.json": b"", "b/weights": (tmp_path / "weights").read_bytes()}
    assert not list(tmp_path.glob(".tmp-*")) and is_archive(tmp_path / "one.zip") and not is_archive(tmp_path / "weights")


def test_other_programs_archives_are_unpacked(make: Make, tmp_path: Path) -> None:
    archive = make(("a/", b""), ("a/b.json", b"{}" * 1000, stat.S_IFREG | 0o600), compress=zipfile.ZIP_DEFLATED)
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out" / "a" / "b.json").read_bytes() == b"{}" * 1000
    with zipfile.ZipFile(archive, "w") as opened, opened.open("big", "w", force_zip64=True) as file:  # 64-bit sizes
        file.write(b"x" * 100)
    unpack(archive, tmp_path / "out64")
    assert (tmp_path / "out64" / "big").read_bytes() == b"x" * 100


@pytest.mark.parametrize("name", [
    "../evil", "a/../../evil", "/evil", "C:/evil", "c:evil", "a\\..\\evil", "\\\\host\\evil", "a//b", "./a", "a/.", "..", "a\nb",
    "x" * 300, "a:stream"])
def test_names_that_lead_out_of_the_folder_or_are_none_on_some_system(make: Make, name: str) -> None:
    require_refused(make(("good", b"1"), (name, b"2")), "the name .* (leads out|longer)")


@pytest.mark.parametrize("names", [
    ("a", "A"), ("\u00e9", "e\u0301"), ("a/b", "A/c"), ("a", "a/b"), ("b/a/c", "b/a"), ("a", "a"), ("a/b", "a/B")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_with_one_name(make: Make, names: tuple[str, str]) -> None:
    require_refused(make(*((name, b"1") for name in names)), "on some disks|lies in a file")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK, stat.S_IFDIR])
def test_links_and_special_files(make: Make, kind: int) -> None:
    require_refused(make(("good", b"1"), ("link", b"/etc/passwd", kind | 0o777)), "a link or a special file")


def test_encrypted_entries_and_odd_methods(make: Make) -> None:
    def encrypted(content: bytes) -> bytes:
        place = content.index(b"PK\1\2")
        return content[:place + 8] + b"\1" + content[place + 9:]

    require_refused(make(("a", b"1"), change=encrypted), "encrypted")
    require_refused(make(("a", b"1" * 100), compress=zipfile.ZIP_LZMA), "method 14")
    require_refused(make(("a", b"1" * 100), compress=zipfile.ZIP_BZIP2), "method 12")


def test_bombs(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    require_refused(make(("a", b"\0" * (17 * 2**20)), compress=zipfile.ZIP_DEFLATED), "announces 17 MiB")
    archive = make(*((str(number), b"1") for number in range(20)))
    monkeypatch.setattr(archives, "MOST_ENTRIES", 19)
    require_refused(archive, "20 entries")
    monkeypatch.setattr(archives, "MOST_ENTRIES", 20)
    monkeypatch.setattr(archives, "MOST_LISTED_BYTES", 100)
    require_refused(archive, "list of entries takes more")
    monkeypatch.undo()
    monkeypatch.setattr(archives, "MOST_BYTES", 19)
    require_refused(archive, "the most that is taken")
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 10))  # type: ignore[attr-defined]
    require_refused(archive, "has only 0.0 free")


def test_entries_that_share_their_bytes(make: Make) -> None:
    def shared(content: bytes) -> bytes:
        second = content.rindex(b"PK\1\2")
        return content[:second + 42] + bytes(4) + content[second + 46:]  # the second entry lies where the first does

    require_refused(make(("a", b"1" * 50), ("a", b"1" * 50), change=shared), "overlaps|one name|have the name")
    require_refused(make(("a", b"1" * 50), ("b", b"1" * 50), change=shared), "overlaps")


def test_more_than_announced_and_other_content_than_the_checksum_says(make: Make) -> None:
    def shorter(content: bytes) -> bytes:
        place = content.index(b"PK\1\2")
        return content[:place + 24] + (10).to_bytes(4, "little") + content[place + 28:]

    require_refused(make(("a", b"1" * 50), change=shorter), "two sizes")
    require_refused(make(("a", b"1" * 50), change=shorter, compress=zipfile.ZIP_DEFLATED), "cannot be read|another size")
    require_refused(make(("good", b"2"), ("a", b"precious"), change=lambda content: content.replace(b"precious", b"pretious")),
                    "cannot be read .*CRC")
    require_refused(make(("a", b"12345" * 50), compress=zipfile.ZIP_DEFLATED, change=lambda content: content.replace(
        content[31:35], b"\xff\xff\xff\xff", 1)), "cannot be read")


def test_archives_that_are_cut_off_anywhere_or_are_none(make: Make, tmp_path: Path) -> None:
    whole = make(("a.json", b"{}" * 20), ("b.json", b"{}" * 20)).read_bytes()
    for length in range(0, len(whole) - 1, 3):
        (tmp_path / "made.zip").write_bytes(whole[:length])
        require_refused(tmp_path / "made.zip", "cut off or damaged" if length >= 4 else "no zip archive")
    (tmp_path / "made.zip").write_bytes(b"not an archive" * 100)
    require_refused(tmp_path / "made.zip", "no zip archive")
    require_refused(tmp_path, "a folder")
    with pytest.raises(AutosegError, match="does not exist"):
        unpack(tmp_path / "missing.zip", tmp_path / "out")


def test_any_changed_byte_gives_an_error_or_the_same_files(make: Make, tmp_path: Path) -> None:
    whole = make(("a/b.json", b"{}" * 20), ("c", b"12" * 20), compress=zipfile.ZIP_DEFLATED).read_bytes()
    for place in range(len(whole)):
        for value in (0, 0xff, whole[place] ^ 1):
            (tmp_path / "made.zip").write_bytes(whole[:place] + bytes([value]) + whole[place + 1:])
            try:
                unpack(tmp_path / "made.zip", tmp_path / "out" / "in")
            except AutosegError:
                assert sorted(path.name for path in tmp_path.iterdir()) == ["made.zip"]
            else:
                contents = {path.read_bytes() for path in (tmp_path / "out" / "in").rglob("*") if path.is_file()}
                assert contents <= {b"{}" * 20, b"12" * 20}
                shutil.rmtree(tmp_path / "out")


def test_a_full_disk_leaves_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(("a", b"1"), ("b", b"2"))

    def full(*arguments: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(AutosegError, match="disk is full"):
        unpack(archive, archive.parent / "deep" / "out")
    assert sorted(archive.parent.rglob("*")) == before


def test_a_folder_takes_the_place_of_another_only_where_that_is_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(AutosegError, match="something else has this name"), atomic_folder(target) as folder:
        raise AssertionError("not reached")
    with pytest.raises(KeyboardInterrupt), atomic_folder(target, overwrite=True) as folder:
        (folder / "a").write_text("half")
        raise KeyboardInterrupt
    assert (target / "a").read_text() == "old"
    with atomic_folder(target, overwrite=True) as folder:
        (folder / "b").write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "b"]
