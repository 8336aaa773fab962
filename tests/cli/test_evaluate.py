"""autoseg evaluate, as a user types it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from autoseg.cli.main import main


def test_json_and_csv_lie_beside_each_other(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, output = str(tiny_dataset / "labelsTr"), tmp_path / "out" / "result.json"
    assert main(["evaluate", labels, labels, "-o", str(output), "--tolerance-mm", "3", "-np", "1"]) == 0
    content = json.loads(output.read_text())
    assert content["tolerance_mm"] == 3 and content["mean"]["1"]["NSD"] == 1 and content["confidence"]["1"]["Dice"] == [1, 1]
    with open(output.with_suffix(".csv"), newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["organ", "lesion"] * 3
    said = capsys.readouterr().out
    assert "3 mm" in said and "organ" in said and "result.csv" in said


def test_a_json_that_would_be_its_own_table_and_a_tolerance_that_is_none_are_refused(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = str(tiny_dataset / "labelsTr")
    assert main(["evaluate", labels, labels, "-o", str(tmp_path / "result.csv")]) == 1
    assert "ends in .json" in capsys.readouterr().err
    assert main(["evaluate", labels, labels, "-o", str(tmp_path / "a.json"), "--tolerance-mm", "-1"]) == 1
    assert "expected 0 or a positive number" in capsys.readouterr().err and not list(tmp_path.glob("*.csv"))


def test_a_class_that_no_reference_holds_is_told(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As where dataset.json says 1 and the files hold 255."""
    labels, dataset = str(tiny_dataset / "labelsTr"), tiny_dataset / "dataset.json"
    assert main(["evaluate", labels, labels, "-d", str(tiny_dataset), "-o", str(tmp_path / "a.json"), "-np", "1"]) == 0
    assert "no reference holds" not in capsys.readouterr().out
    dataset.write_text(dataset.read_text().replace('"lesion": 2', '"lesion": 3'))
    assert main(["evaluate", labels, labels, "-d", str(tiny_dataset), "-o", str(tmp_path / "a.json"), "-np", "1"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "no reference holds lesion." in out and "values that dataset.json does not name: 2 (tiny_0, tiny_1" in out
    assert "- is not defined: no case has the class on either side" in out
