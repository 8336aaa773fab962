"""What all commands share, as a user types it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from autoseg.cli import command
from autoseg.cli.command import with_each_set
from autoseg.cli.main import COMMANDS, main
from autoseg.errors import AutosegError
from autoseg.settings import chosen_settings
from autoseg.trainers.settings import TrainingSettings


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
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it
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


def test_autoseg_alone_prints_its_help_and_version_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(one.name in shown for one in COMMANDS)
    for program in ("autoseg", "autoseg_train"):
        with pytest.raises(SystemExit, match="0"):
            (main if program == "autoseg" else command.main_of(COMMANDS[3], program))(["--version"])
        assert capsys.readouterr().out.split() == ["autoseg", metadata.version("autoseg")]


@pytest.mark.parametrize(("arguments", "meant"), [
    (["verfiy", "x"], "verify"),
    (["run", "TINY", "-tr", "defualt"], "default"),
    (["plan_and_preprocess", "TINY", "--planner", "defalt"], "default"),
    (["verify", "tinyy"], "Tiny"),
    (["verify", "Dataset001_Tyni"], "Dataset001_Tiny"),
])
def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(
    arguments: list[str], meant: str, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AUTOSEG_RAW", str(tmp_path / "raw"))
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path / "work"))
    (tmp_path / "raw").mkdir()
    tiny_dataset.rename(tmp_path / "raw" / "Dataset001_Tiny")
    try:
        code = main([word.replace("TINY", "tiny") for word in arguments])
    except SystemExit as end:
        code = int(str(end.code))
    assert code == (2 if arguments[0] == "verfiy" else 1)
    assert f'Did you mean "{meant}"?' in capsys.readouterr().err


def test_a_setting_that_is_nearly_right_is_answered_with_the_right_one() -> None:
    with pytest.raises(AutosegError, match='Did you mean "epochs"'):
        chosen_settings({"epoch": "3"}, TrainingSettings())


def test_a_dataset_is_found_by_its_name_without_number_in_any_case(
    tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    tiny_dataset.rename(tmp_path / "raw" / "Dataset004_Hippocampus")
    monkeypatch.setenv("AUTOSEG_RAW", str(tmp_path / "raw"))
    for name in ("Hippocampus", "hippocampus", "dataset004_hippocampus", "004", "4"):
        assert main(["verify", name, "-np", "1", "--workspace", str(tmp_path / "work")]) == 0


@pytest.mark.parametrize(("typed", "read"), [
    ("--set a=1 b=2 -c 2d", "--set a=1 --set b=2 -c 2d"),
    ("--set a=1 --set b=2", "--set a=1 --set b=2"),
    ("--set a=1 DATASET 0 x=y", "--set a=1 DATASET 0 x=y"),
    ("-c a=1 b=2 --set", "-c a=1 b=2 --set"),
])
def test_several_settings_may_follow_one_set(typed: str, read: str) -> None:
    assert with_each_set(typed.split()) == read.split()


def test_a_reader_that_ends_early_ends_the_command_quietly() -> None:
    program = "import sys; from autoseg.cli.main import main; sys.exit(main(['recipes']))"
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert ended.returncode in (1, 141) and ended.stderr == ""  # 1: rich ends the process


@pytest.mark.parametrize(("arguments", "said"), [
    (["train", "D", "0"], "the same command goes on"),
    (["train", "D", "0", "--restart"], "the same command without --restart goes on"),
    (["verify", "D"], "Stopped.\n"),
])
def test_ctrl_c_says_what_is_kept(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for verb in ("train", "verify"):
        monkeypatch.setattr(command.api, verb, stop, raising=False)
    assert main(arguments) == 130
    assert said in (err := capsys.readouterr().err) and err.count("\n") == 1
