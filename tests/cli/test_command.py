"""What all commands share, as a user types it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.cli.main import main


@pytest.mark.parametrize(("command", "arguments", "loaded"), [
    ("main", ["evaluate", "a", "b"], "autoseg.api.tasks"),  # for the flags
    ("main", ["evaluate", "a", "b"], "autoseg.api.evaluation"),  # for the verb
    ("predict", ["-i", "a", "-o", "b"], "autoseg.api.tasks"),
])
def test_ctrl_c_while_libraries_are_loaded_stops_without_a_traceback(
    command: str, arguments: list[str], loaded: str
) -> None:
    program = (
        f"import os, signal, sys; from autoseg.cli.{command} import main\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {loaded!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Stop())\n"
        f"sys.exit(main({arguments}))")
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
