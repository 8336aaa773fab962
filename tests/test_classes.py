"""Faults of what dataset.json calls the label values; the tiny dataset's labels hold 1 (organ) and 2 (lesion)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.cli.main import main
from autoseg.dataset import load_dataset
from autoseg.image_io import read_label, write_label
from autoseg.verification.classes import check_classes

TINY = {"background": 0, "organ": 1, "lesion": 2}


def codes(dataset: Path, labels: dict[str, Any], held: set[int], **more: Any) -> list[tuple[str, str]]:
    source = dataset / "dataset.json"
    source.write_text(json.dumps(json.loads(source.read_text()) | {"labels": labels, **more}))
    return [(finding.severity, finding.code) for finding in check_classes(load_dataset(dataset), held, True)]


@pytest.mark.parametrize(("labels", "held", "expected"), [
    (TINY, {0, 1, 2}, []),
    (TINY, set(), []),  # no label could be read
    (TINY, {0, 1}, [("warning", "absent_class")]),
    (TINY, {0}, [("error", "all_empty")]),
    ({**TINY, "tumour": 2}, {0, 1, 2}, [("warning", "two_names")]),
    ({**TINY, "Ignore": 3}, {0, 1, 2, 3}, [("error", "ignore_name")]),
    ({**TINY, "ignore": 3}, {0, 1, 2, 3}, []),
    ({"background": 0, "organ": 1, "lesion": 4}, {0, 1, 4}, [("warning", "label_gaps")]),
    ({"background": 0, "organ": 1, "lesion": 2035}, {0, 1, 2035}, [("error", "label_gaps")]),
    ({"background": 0, "organ": 1, "lesion": 60000}, {0, 1, 60000}, [("error", "label_range")]),
])
def test_faults_of_the_classes_are_found(
    tiny_dataset: Path, labels: dict[str, Any], held: set[int], expected: list[tuple[str, str]]
) -> None:
    assert codes(tiny_dataset, labels, held) == expected


def test_two_regions_of_the_same_values_are_one(tiny_dataset: Path) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": [2], "centre": [2]}
    found = codes(tiny_dataset, labels, {0, 1, 2}, regions_class_order=[1, 2, 2])
    assert ("warning", "two_names") in found


def test_verify_and_planning_say_so(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tiny_dataset / "labelsTr").iterdir():
        label = read_label(path)
        write_label(path, np.zeros(label.array.shape[1:], np.uint8), label)
    assert main(["verify", str(tiny_dataset)]) == 1 and "every training label is empty" in _said(capsys)
    assert main(["plan_and_preprocess", str(tiny_dataset), "--workspace", str(tmp_path / "work"), "--skip-bad-cases"]) == 1
    assert "cannot be planned as it is: every training label is empty" in _said(capsys)


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    return " ".join((said.out + said.err).replace("│", " ").split())
