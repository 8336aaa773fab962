"""What all commands share, as a user types it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.cli.main import main
from autoseg.commands import gate_command, prediction_command
from autoseg.workspace import DatasetFolder, Workspace


def test_ctrl_c_while_libraries_are_loaded_stops_without_a_traceback() -> None:
    program = (
        "import os, signal, sys; from autoseg.cli.main import main\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'autoseg.api.run': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "sys.exit(main(['evaluate', 'a', 'b']))")
    stopped = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert stopped.returncode == 130
    assert stopped.stderr.startswith("Stopped.") and "Traceback" not in stopped.stderr


@pytest.mark.parametrize("workers", ["0", "-2", "1.5", "many"])
def test_a_number_of_processes_that_is_none_is_wrong_usage(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["verify", "somewhere", "-np", workers])
    assert f"{workers} is no whole number of 1 or more" in capsys.readouterr().err


def test_the_next_command_names_dataset_and_workspace_as_a_shell_takes_them(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, workspace = str(tiny_dataset.rename(tmp_path / "Dataset 7 tiny")), str(tmp_path / "my work")
    assert main(["verify", dataset, "-np", "1", "--workspace", workspace]) == 0
    line = capsys.readouterr().out.strip().splitlines()[-1].removeprefix("Next: ")
    assert shlex.split(line) == ["autoseg_plan_and_preprocess", dataset, "--workspace", workspace]


def test_prediction_is_told_dataset_and_model_where_several_could_be_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path))
    first, second = Workspace(tmp_path).dataset("Dataset001_A"), Workspace(tmp_path).dataset("Dataset002_B")
    _train(first, "2d")
    assert prediction_command(first, "2d", "default") == "autoseg_predict -i IMAGES -o SEGMENTATIONS"
    _train(first, "3d_fullres")
    assert prediction_command(first, "2d", "default").endswith("SEGMENTATIONS -c 2d")
    _train(second, "2d")
    assert prediction_command(first, "2d", "mine:build").endswith("-d Dataset001_A -c 2d -tr mine:build")
    first.best_json.touch()
    assert prediction_command(first, "2d", "default").endswith("SEGMENTATIONS -d Dataset001_A")


def test_the_gate_is_told_dataset_and_model_as_prediction_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path))
    first, second, third = (Workspace(tmp_path).dataset(f"Dataset00{number}_A") for number in (1, 2, 3))
    detector, two = first.model("slices", "anogan"), first.model("2d", "default")
    gate = f"--gate {detector.root}"
    _train(second, "2d")
    assert gate_command(first, detector, None) == f"autoseg_predict -i IMAGES -o SEGMENTATIONS {gate}"
    _train(third, "2d")
    assert gate_command(first, detector, None).endswith(f"SEGMENTATIONS -d DATASET {gate}")
    _train(first, "2d")
    assert gate_command(first, detector, two).endswith(f"SEGMENTATIONS -d Dataset001_A {gate}")
    _train(first, "3d_fullres")
    assert gate_command(first, detector, two).endswith(f"SEGMENTATIONS -d Dataset001_A -c 2d {gate}")


def _train(folder: DatasetFolder, configuration: str) -> None:
    model = folder.model(configuration, "default")
    model.fold(0).root.mkdir(parents=True)
    for file in (folder.plans_json, model.model_json, model.fold(0).checkpoint_final):
        file.touch()
