"""From names and dataset.json to findings.json and splits.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.cli.main import main
from autoseg.demo import make_synthetic_dataset
from autoseg.tasks.segmentation import INFO
from autoseg.trainers.job import Job
from autoseg.trainers.segmentation import RECIPES, SegmentationSettings, load_data
from autoseg.workspace import DatasetFolder


def test_suspected_patients_are_a_finding_and_the_entry_that_it_gives_makes_the_folds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_synthetic_dataset(tmp_path, training=4, test=0, shape=(8, 16, 16))
    for number, name in enumerate(("01_a", "01_b", "02_a", "02_b")):
        for kind, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
            (source / kind / f"synthetic_{number:03d}{ending}").rename(source / kind / f"{name}{ending}")
    folder = DatasetFolder(tmp_path / "workspace" / source.name)
    plan = ["plan_and_preprocess", str(source), "-c", "3d_fullres", "-np", "1", "--workspace", str(folder.root.parent)]
    assert main(plan) == 0
    findings = [entry for entry in json.loads(folder.findings_json.read_text()) if "scans of one patient" in entry["problem"]]
    assert [(entry["case"], entry["severity"]) for entry in findings] == [("", "warning")]
    assert "scans" in capsys.readouterr().out
    entry = '"groups": {"01": ["01_a", "01_b"], "02": ["02_a", "02_b"]}'
    assert entry in findings[0]["remedy"]

    description = json.loads((source / "dataset.json").read_text())
    (source / "dataset.json").write_text(json.dumps({**description, **json.loads(f"{{{entry}}}")}))
    assert main(plan) == 0
    assert not [entry for entry in json.loads(folder.findings_json.read_text()) if "scans" in entry["problem"]]
    data = load_data(Job(
        folder, INFO, "3d_fullres", "default", RECIPES["default"], "0", None, SegmentationSettings()))
    held_out = [sorted(split["val"]) for split in json.loads(folder.splits_json.read_text())]
    assert sorted(held_out) == [["01_a", "01_b"], ["02_a", "02_b"]] and data.folds == 2
    assert data.notes[-1] == "4 cases of 2 patients: 2 folds instead of 5."
