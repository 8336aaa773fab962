"""`autoseg run`: whole, killed in each stage and gone on with, and what is used of it afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.best import Best
from autoseg.cli.main import main
from autoseg.demo import make_synthetic_dataset
from autoseg.steps import read_record
from autoseg.workspace import read_model

PROGRAM = (sys.executable, "-c", "import sys; from autoseg.cli.main import main; sys.exit(main())")
SHORT = ("--epochs", "1", "--iterations", "2", "--set", "batch_size=2", "--device", "cpu", "-np", "1")
PATIENCE_S = 300


def run_until(there: Callable[[], bool], arguments: list[str]) -> None:
    """Start `autoseg ARGUMENTS` and kill it, as a power cut would, as soon as `there` says so."""
    process = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.DEVNULL, start_new_session=True)
    started = time.monotonic()
    while not there():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() - started < PATIENCE_S
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def has_ways(best: Path) -> bool:
    """Whether find-best's choice is whole: until the ways to predict are measured, it is there without them."""
    return best.exists() and read_model(best, Best).ways is not None


def whole_artefacts(folder: Path) -> dict[Path, int]:
    """Each file that a later run must leave alone, and when it was written."""
    patterns = ("plans.json", "fingerprint.json", "splits.json", "best.json", "report.html", "models/*/*/*/[!.]*.safetensors",
                "models/*/*/*/validation/[!.]*.nii.gz", "ensembles/*/[!.]*.nii.gz",
                "ways/cases/[!.]*.json")
    paths = [path for pattern in patterns for path in folder.glob(pattern) if path.name != "best.json" or has_ways(path)]
    for described in folder.glob("preprocessed/*/[!.]*.json"):
        paths += [described, described.with_suffix(".b2nd")]
    return {path: path.stat().st_mtime_ns for path in paths}


@pytest.fixture(scope="module")
def killed_everywhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a run that was killed while it preprocessed, trained, predicted ensembles, measured ways to predict, and
    before its report."""
    root = tmp_path_factory.mktemp("run")
    source = make_synthetic_dataset(root, training=3, test=1, shape=(10, 32, 36))  # three folds
    workspace = root / "workspace"
    folder = workspace / source.name
    arguments = ["run", str(source), "-c", "2d", "3d_fullres", "--workspace", str(workspace), *SHORT]
    stages: list[Callable[[], bool]] = [
        lambda: any(folder.glob("preprocessed/*/[!.]*.json")),
        lambda: (folder / "models/2d/default/fold_1/training_state.pt").exists(),
        lambda: any(folder.glob("models/3d_fullres/default/fold_2/validation/[!.]*.nii.gz")),
        lambda: any(folder.glob("ensembles/*/[!.]*.nii.gz")),
        lambda: any(folder.glob("ways/cases/[!.]*.json")),
        lambda: has_ways(folder / "best.json"),
    ]
    whole: dict[Path, int] = {}
    for there in stages:
        run_until(there, arguments)
        found = whole_artefacts(folder)
        assert whole.items() <= found.items(), "a run wrote anew what was whole"
        whole = found
    assert main(arguments) == 0
    assert whole.items() <= whole_artefacts(folder).items()
    return workspace


def dataset_folder(workspace: Path) -> Path:
    return next(workspace.glob("*/plans.json")).parent


def test_a_run_that_was_killed_in_each_stage_is_completed_by_the_same_command(killed_everywhere: Path) -> None:
    folder = dataset_folder(killed_everywhere)
    assert not list(folder.rglob(".tmp-*"))
    assert len(list(folder.glob("models/*/default/fold_*/validation/summary.json"))) == 6
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")[:200]
    steps = read_record(folder / "run.json")
    folds = {f"{configuration} default fold {fold}" for configuration in ("2d", "3d_fullres") for fold in range(3)}
    assert {"plan", "report"} | folds <= set(steps.whole)
    best = read_model(folder / "best.json", Best)
    assert {candidate.name for candidate in best.candidates} == {"2d", "3d_fullres", "2d + 3d_fullres"}


def test_a_run_of_what_is_complete_does_nothing(killed_everywhere: Path) -> None:
    folder = dataset_folder(killed_everywhere)
    before = whole_artefacts(folder)
    source = killed_everywhere.parent / folder.name
    assert main(["run", str(source), "-c", "2d", "3d_fullres", "--workspace", str(killed_everywhere), *SHORT]) == 0
    assert whole_artefacts(folder) == before


def test_prediction_runs_what_best_json_names(
    killed_everywhere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = dataset_folder(killed_everywhere)
    best = read_model(folder / "best.json", Best)
    images = killed_everywhere.parent / folder.name / "imagesTs"
    arguments = ["predict", "-i", str(images), "-o", str(tmp_path), "--workspace", str(killed_everywhere), "--no-mirroring"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    origin = json.loads((tmp_path / "autoseg_prediction.jsonl").read_text().splitlines()[0])["origin"]
    assert {model["configuration"] for model in origin["models"].values()} == {member.configuration for member in best.members}
    assert all(tried.says in said for tried in best.rules if tried.accepted)


def test_find_best_names_the_folds_that_are_missing_and_the_commands_that_complete_them(
    killed_everywhere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(killed_everywhere, workspace)
    folder = dataset_folder(workspace)
    shutil.rmtree(folder / "models/2d/default/fold_1")
    unfinished = folder / "models/2d/default/fold_2"
    (unfinished / "checkpoint_final.safetensors").rename(unfinished / "training_state.pt")
    assert main(["find-best", folder.name, "--workspace", str(workspace)]) == 0
    said = capsys.readouterr().out
    assert "2d, default: fold 1 is missing, fold 2 is unfinished" in said
    assert f"autoseg_train {folder.name} 2 -c 2d --continue" in said
    assert f"autoseg_train {folder.name} 1 -c 2d --epochs 1 --iterations 2 --set batch_size=2" in said
    assert main(["find-best", folder.name, "-c", "2d", "--workspace", str(workspace)]) == 1
    error = capsys.readouterr().err
    assert f"No model of {folder.name} has a complete cross-validation: 2d, default: fold 1" in error and "--continue" in error


def test_hours_that_are_over_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_synthetic_dataset(tmp_path, training=2, test=0, shape=(8, 24, 24))
    assert main(["run", str(source), "-c", "2d", "--max-hours", "0.00001", "--workspace", str(tmp_path / "w"), "-np", "1"]) == 1
    assert "hours are over" in capsys.readouterr().err
