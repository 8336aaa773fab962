"""Paths, names and numbers that cannot be, in every flag: one clear error, exit code 1."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import autoseg
from autoseg.cli.main import main
from autoseg.device import resolve_device
from autoseg.errors import AutosegError, system_error
from autoseg.files import atomic_path, write_json

COMMANDS = {
    "verify": ["verify", "ODD"], "plan": ["plan_and_preprocess", "ODD"], "report": ["report", "ODD"],
    "best": ["find-best", "ODD"],
    "run": ["run", "ODD"], "train": ["train", "ODD", "0"], "fold": ["train", "DATASET", "ODD"],
    "reference": ["evaluate", "ODD", "DATASET/labelsTr"], "prediction": ["evaluate", "DATASET/labelsTr", "ODD"],
    "labels": ["evaluate", "DATASET/labelsTr", "DATASET/labelsTr", "--labels", "ODD", "-o", "there.json"],
    "input": ["predict", "-i", "ODD", "-o", "out", "-m", "model"],
    "model": ["predict", "-i", "DATASET/imagesTr", "-o", "out", "-m", "ODD"],
    "postprocess": ["postprocess", "-i", "ODD", "-o", "out"], "name": ["train", "DATASET", "0", "--name", "ODD"],
    "device": ["run", "DATASET", "--device", "ODD"], "configuration": ["train", "DATASET", "0", "-c", "ODD"],
    "workspace": ["report", "DATASET", "--workspace", "ODD"], "planner": ["plan_and_preprocess", "DATASET", "--planner", "ODD"],
    "points": ["plan_and_preprocess", "DATASET", "--planner", "projection", "--points", "ODD"],
}
ODD = {"long": "a" * 300, "deep": "x/" * 3000, "loop": "loop", "file": "file", "inside": "file/x", "empty": "", "digit": "²"}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_what_cannot_be_ends_in_one_error(
    odd: str, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("x")
    before = sorted(path.name for path in tmp_path.iterdir())
    for name, words in COMMANDS.items():
        code = main([word.replace("DATASET", str(tiny_dataset)).replace("ODD", odd) for word in words])
        told = capsys.readouterr().err
        assert code == 1 and told.count("Error: ") == 1 and told.startswith("Error: ") and "Traceback" not in told, (name, told)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_empty_output_is_refused_by_commands_and_python(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["demo", "-o", ""], ["predict", "-i", "a", "-o", "", "-m", "b"], ["evaluate", "a", "b", "--labels="]):
        assert main(words) == 1 and "is empty. Give a value, or leave it out." in capsys.readouterr().err
    labels = tiny_dataset / "labelsTr"
    with pytest.raises(AutosegError, match="output is empty"):
        autoseg.evaluate(labels, labels, output="")
    with pytest.raises(AutosegError, match="longer than the disk allows"):
        autoseg.verify("a" * 300)
    with pytest.raises(AutosegError, match="prediction is empty"):
        autoseg.evaluate(labels, "")


@pytest.mark.parametrize("value", ["1e308", "nan", "inf", "-1", "0", "²"])
def test_a_memory_that_no_device_has_is_refused(
    value: str, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan_and_preprocess", str(tiny_dataset), "--workspace", str(tmp_path / "w"), "--memory-gb", value]
    if value == "²":
        with pytest.raises(SystemExit, match="2"):  # wrong usage
            main(words)
    else:
        assert main(words) == 1
    assert "--memory-gb" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["meta", "xpu", "cpu:7", "mps:3", "", "cuda:²", "cuda:-1", "a" * 5000])
def test_devices_that_networks_cannot_run_on_are_refused(name: str) -> None:
    with pytest.raises(AutosegError, match=r"There is no device|CUDA devices are here"):
        resolve_device(name)


def test_a_name_that_fits_is_written_though_its_temporary_name_is_longer(tmp_path: Path) -> None:
    target = tmp_path / ("肝" * 80 + ".json")  # 245 bytes
    write_json(target, {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    with atomic_path(tmp_path / "a.nii.gz") as temporary:
        assert temporary.name.endswith("-a.nii.gz") and len(os.fsencode(temporary.name)) < 255
        temporary.touch()


def test_a_name_that_is_not_utf8_is_told_where_it_would_be_written(tmp_path: Path) -> None:
    with pytest.raises(AutosegError, match=r"a\.json could not be written: 'x\\\\udcff' is not UTF-8|is not UTF-8"):
        write_json(tmp_path / "a.json", {"name": "x\udcff"})


@pytest.mark.parametrize("code", [
    errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ENOSPC, errno.ENXIO])
def test_errors_of_the_system_are_told_with_the_path(code: int) -> None:
    told = str(system_error(OSError(code, os.strerror(code), "/some/path")))
    assert told.startswith("/some/path: ") and told.endswith(".")
    assert system_error(ValueError("something else")) is None and system_error(RuntimeError("out of memory")) is None
