"""JSON files of others: one function reads them all, within bounds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from autoseg import files
from autoseg.dataset import load_dataset
from autoseg.errors import AutosegError
from autoseg.files import parse_json
from autoseg.provenance import Origin, OutputFolder
from autoseg.training_log import read_log
from autoseg.workspace import read_json

DEEP = "[" * 20_000 + "]" * 20_000


@pytest.mark.parametrize(("text", "said"), [
    (DEEP, "nested more than 100 deep"), ('{"a":' * 20_000 + "1" + "}" * 20_000, "nested more than 100 deep"),
    ("[" * 101 + "]" * 101, "nested more than 100 deep"), ("[" * 20_000, "nested more than 100 deep"),
    ("9" * 5000, "a whole number of 5000 digits"), (f'{{"a": [{2**64}]}}', "a whole number of 20 digits"),
    (f"[-{2**63 + 1}]", "a whole number of 19 digits"), ("9" * 4000, "a whole number of 4000 digits"),
    (r'{"a": "\ud800"}', "half a letter"), (r'{"\udc00x": 1}', "half a letter"), (r'["\uD83Dx"]', "half a letter"),
    ("{", "line 1, column 2"), ("", "line 1, column 1"),
])
def test_what_nothing_could_work_with_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(AutosegError, match=rf"a\.json is not valid JSON \(.*{said}"):
        read_json(tmp_path / "a.json", "Remove it.")


@pytest.mark.parametrize("content", [
    [[[{"a": [1, 2.5, None, True, "x"]}]]], {"name": "\U0001f600 肝", "id": "9" * 50}, [2**64 - 1, -2**63, 0], [1e300], {}])
def test_all_else_is_what_the_standard_library_makes_of_it(tmp_path: Path, content: object) -> None:
    for text in (json.dumps(content), json.dumps(content, ensure_ascii=False)):
        (tmp_path / "a.json").write_text("\ufeff" + text, encoding="utf-8")
        assert read_json(tmp_path / "a.json") == content == parse_json(text) == parse_json(text.encode())
    assert parse_json("[" * 100 + "]" * 100) and parse_json("[NaN]") != [0]


def test_a_text_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_TEXT_BYTES", 2**20)
    with open(tmp_path / "a.json", "wb") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(AutosegError, match=r"a\.json has 1 MiB; expected are 1 at most"):
        read_json(tmp_path / "a.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_folders_and_names_that_are_no_paths_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path, said in ((tmp_path / "pipe", "is a pipe"), (tmp_path, "is a folder"), (Path(os.devnull), "is a pipe, a device"),
                       (tmp_path / "loop", "cannot be read"), (tmp_path / ("a" * 300), "cannot be read"),
                       (tmp_path / "a\0b", "cannot")):
        with pytest.raises(AutosegError, match=said):
            read_json(path)


@pytest.mark.parametrize("text", [DEEP, "9" * 5000, r'{"output": "\ud800", "origin": "a"}', "{}"])
def test_records_and_logs_are_read_by_the_same_rules(tmp_path: Path, text: str) -> None:
    for name in ("autoseg_prediction.jsonl", "log.jsonl"):
        (tmp_path / name).write_text(text + "}\n" if text == "9" * 5000 else text + "\n")
    with pytest.raises(AutosegError, match=r"log\.jsonl is damaged"):
        read_log(tmp_path / "log.jsonl")
    (tmp_path / "autoseg_prediction.jsonl").write_text(f'{{"origin": {text}}}\n')
    with pytest.raises(AutosegError, match="is damaged: it holds a line that does not fit"):
        OutputFolder(tmp_path, Origin.of(a=1))


@pytest.mark.parametrize("value", ["²", "９", "9" * 5000, 10**30, -1, 1.5, True, None])
def test_a_label_that_is_no_whole_number_is_named(tmp_path: Path, value: object) -> None:
    text = json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": value}, "file_ending": ".nii.gz"})
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(AutosegError, match=r"dataset\.json"):
        load_dataset(tmp_path)
