"""Files in the user's cache: what is damaged, another's or unused is not read, and what cannot be kept stops nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.inference import converted
from autoseg.inference.converted import Agreement, ConvertedFiles


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def kept(*made_of: object, size: int = 8) -> ConvertedFiles:
    files = ConvertedFiles("engine", made_of)

    def write(folder: Path) -> None:
        (folder / "a.bin").write_bytes(bytes(range(size)))
        (folder / "b.xml").write_text("<net/>")

    assert files.keep(write)
    return files


def read(*made_of: object) -> dict[str, bytes] | None:
    files = ConvertedFiles("engine", made_of).read()
    return None if files is None else {name: its.tobytes() for name, its in files.items()}


def test_what_was_kept_is_read_where_all_that_it_depends_on_is_the_same() -> None:
    assert read("weights", 1) is None
    kept("weights", 1)
    assert read("weights", 1) == {"a.bin": bytes(range(8)), "b.xml": b"<net/>"}
    assert read("weights", 2) is None


def flip(folder: Path) -> None:
    content = bytearray((folder / "a.bin").read_bytes())
    content[3] ^= 1
    (folder / "a.bin").write_bytes(content)


@pytest.mark.parametrize("damage", [
    flip,
    lambda folder: (folder / "b.xml").write_text("<other/>"),
    lambda folder: (folder / "a.bin").write_bytes(b""),
    lambda folder: (folder / "a.bin").unlink(),
    lambda folder: (folder / "entry.json").write_text("{"),
    lambda folder: (folder / "entry.json").unlink(),
    lambda folder: (folder / "entry.json").write_text((folder / "entry.json").read_text().replace("weights", "others")),
])
def test_what_is_damaged_is_not_read_and_can_be_kept_anew(damage: Callable[[Path], object]) -> None:
    damage(kept("weights").folder)
    assert read("weights") is None
    kept("weights")
    assert read("weights") is not None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owners here")
def test_what_another_user_wrote_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    kept("weights")
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    assert read("weights") is None


def test_an_entry_names_files_of_its_own_folder_alone(tmp_path: Path) -> None:
    folder = kept("weights").folder
    os.rename(folder / "a.bin", tmp_path / "cache" / "a.bin")
    entry = folder / "entry.json"
    entry.write_text(entry.read_text().replace('"a.bin"', f'"{tmp_path}/cache/a.bin"'))
    assert read("weights") is None


def test_comparisons_are_kept_for_each_machine_and_go_with_the_network() -> None:
    files = ConvertedFiles("engine", ("weights",))
    agreement = Agreement(root_mean_square=0.1, largest=0.2, accepted=(0.3, 0.4))
    files.keep_agreement(("this machine", "bfloat16"), agreement)
    assert files.agreement(("this machine", "bfloat16")) is None  # there is no network that it is about
    kept("weights")
    files.keep_agreement(("this machine", "bfloat16"), agreement)
    assert files.agreement(("this machine", "bfloat16")) == agreement
    assert files.agreement(("this machine", "float32")) is None
    kept("weights")
    assert files.agreement(("this machine", "bfloat16")) is None


def test_what_was_not_used_for_long_or_is_beyond_the_limit_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    def used_days_ago(files: ConvertedFiles, days: float) -> None:
        then = time.time() - days * 24 * 3600
        os.utime(files.folder / "entry.json", (then, then))

    for days, name in ((31, "old"), (29, "large"), (2, "small")):
        used_days_ago(kept(name, size=200 if name == "large" else 8), days)
    kept("new")
    assert [name for name in ("old", "large", "small", "new") if read(name)] == ["large", "small", "new"]
    used_days_ago(ConvertedFiles("engine", ("large",)), 29)
    monkeypatch.setattr(converted, "MOST_BYTES", 700)
    kept("newer")
    assert read("large") is None and read("newer") is not None


def test_a_cache_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not ConvertedFiles("engine", ("weights",)).keep(lambda folder: None)
    assert "could not be kept" in capsys.readouterr().out
