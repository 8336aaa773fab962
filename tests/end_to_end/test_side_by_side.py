"""`autoseg run --gpus 2 --device cpu`: a fold that fails stops only what needs it, and the same command completes the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from autoseg.cli.main import main
from autoseg.demo import make_synthetic_dataset
from autoseg.jobs.states import job_states
from autoseg.steps import read_record
from autoseg.tasks.segmentation import INFO
from autoseg.workspace import DatasetFolder, JobsFolder

SHORT = ("--epochs", "1", "--iterations", "1", "--set", "batch_size=2", "base_features=4", "validation_iterations=1", "--device",
         "cpu", "-np", "1")


def test_folds_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    source = make_synthetic_dataset(tmp_path, training=2, test=0, shape=(8, 24, 24))  # two folds
    folder = DatasetFolder(tmp_path / "w" / source.name)
    files = JobsFolder(folder.root / "jobs")
    blocked = folder.model("2d", "default").fold(1).root  # a file where its folder would be: it cannot be trained
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    command = ["run", str(source), "-c", "2d", "--workspace", str(folder.root.parent), *SHORT, "--no-cheaper-ways", "--gpus", "2"]
    assert main(command) == 1
    out, error = capsys.readouterr()
    assert "2d default fold 0 is done." in out and "find-best is not run: it needs 2d default fold 1." in out
    log = files.log("2d default fold 1")
    assert f"1 of 4 jobs failed:\n  2d default fold 1: Log: {log}, which ends with\n" in error
    assert f"    Error: {blocked / 'cases.json'} could not be written: something else has this name." in error
    assert "Not run, as they need them: find-best." in error
    assert folder.report_html.exists() and not folder.best_of(INFO).exists()
    assert {state.job.name: state.state for state in job_states(files)} == {
        "2d default fold 0": "done", "2d default fold 1": "failed", "find-best": "not run", "report": "done"}

    first = folder.model("2d", "default").fold(0).checkpoint_final.stat().st_mtime_ns
    blocked.unlink()
    assert main([*command[:2], "--workspace", str(folder.root.parent), "--device", "cpu", "-np", "1", "--gpus", "2"]) == 0
    capsys.readouterr()
    assert folder.model("2d", "default").fold(0).checkpoint_final.stat().st_mtime_ns == first
    assert json.loads(folder.best_of(INFO).read_text())["ways"] is None  # as the run was begun
    record = read_record(folder.root / "run.json")
    assert {"plan", "2d default fold 0", "2d default fold 1", "find-best", "report"} == set(record.whole) == set(record.ran)
    assert all("core" in record.ran[name].machine for name in record.ran if name not in ("plan", "report"))
    assert main(["jobs", source.name, "--workspace", str(folder.root.parent)]) == 0
    assert capsys.readouterr().out.endswith("5 done.\n")

    # find-best by two processes finds what one does, but for the time that it took
    chosen = []
    for gpus in ([], ["--gpus", "2"]):
        shutil.rmtree(folder.ways, ignore_errors=True)
        assert main(["find-best", source.name, "--workspace", str(folder.root.parent), "--device", "cpu", "-np", "1", *gpus]) == 0
        best = json.loads(folder.best_of(INFO).read_text())
        assert len(best["ways"]["measured"]) > 1
        chosen.append(without_seconds(best))
    assert chosen[0] == chosen[1]


def without_seconds(content: Any) -> Any:
    """Plain values without what was measured by a clock."""
    if isinstance(content, dict):
        return {key: without_seconds(value) for key, value in content.items() if key not in ("seconds", "reason")}
    return [without_seconds(value) for value in content] if isinstance(content, list) else content
