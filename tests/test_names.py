"""Names of cases: fit for files, and no two of them the same to any disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.dataset import load_dataset
from autoseg.errors import AutosegError
from autoseg.names import name_fault, same_on_disk

COMPOSED, DECOMPOSED = "K\u00f6rper", "Ko\u0308rper"  # the forms NFC and NFD of one word


def dataset(folder: Path, *names: str) -> Path:
    cases = {name: {"images": ["a_0000.nii.gz"], "label": "a.nii.gz"} for name in names}
    (folder / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz", "dataset": cases}))
    return folder


def test_names_that_one_disk_or_another_takes_for_the_same_are_found() -> None:
    assert list(same_on_disk(["b", "a", "B", "a_seg", "c"])) == [("B", "b")]
    assert list(same_on_disk([COMPOSED, DECOMPOSED])) == [(DECOMPOSED, COMPOSED)]
    assert list(same_on_disk(["a", "a"])) == [("a", "a")] and not list(same_on_disk(["X", "X_seg", "X.seg"]))


@pytest.mark.parametrize("pair", [("Case", "case"), (COMPOSED, DECOMPOSED)])
def test_cases_that_would_share_a_file_are_refused_with_both_names(tmp_path: Path, pair: tuple[str, str]) -> None:
    with pytest.raises(AutosegError, match="differ only by capital letters or the form of Unicode") as caught:
        load_dataset(dataset(tmp_path, *pair))
    assert all(ascii(name) in str(caught.value) for name in pair)


@pytest.mark.parametrize("name", ["", "..", "../../up", "/tmp/a", "a\\b", "a\nb", "a\0b", "Summary"])
def test_names_that_no_file_can_have_are_refused(tmp_path: Path, name: str) -> None:
    assert name_fault(name) and name_fault("\udcff") == "the name is not UTF-8"
    with pytest.raises(AutosegError, match="files cannot be called after 1 case"):
        load_dataset(dataset(tmp_path, "a", name))


@pytest.mark.parametrize("name", ["a", "a b", "a.b", "X_seg", COMPOSED, "肝臓", "-a"])
def test_other_names_are_taken(tmp_path: Path, name: str) -> None:
    assert not name_fault(name) and load_dataset(dataset(tmp_path, name)).training[0].name == name
