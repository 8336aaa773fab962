"""Cases spread over several processes: what there must be for it, and which case comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.api import predict_files
from autoseg.api.spreading import file_bytes
from autoseg.cli.predict import main
from autoseg.device import devices_of
from autoseg.errors import AutosegError
from autoseg.inference.inputs import PredictionInput


def test_more_devices_than_there_are_are_refused_with_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "H200")
    monkeypatch.setattr("autoseg.device.number_of_cores", lambda: 4)
    assert devices_of("auto", 2) == devices_of("cuda", 2) == ["cuda:0", "cuda:1"] and devices_of("auto", 1) == ["cuda:0"]
    assert devices_of("cpu", 4) == ["cpu"] * 4 and devices_of("mps", 1) == ["mps"] and devices_of("cuda:1", 1) == ["cuda:1"]
    for device, count, message in (
        ("auto", 3, r"2 CUDA devices can be used here \(cuda:0 H200, cuda:1 H200\)"), ("cpu", 5, "4 cores can be used"),
        ("cuda:1", 2, "--device cuda:1 names one"), ("mps", 2, "names one"), ("cpu", 0, "must be 1 or more"),
    ):
        with pytest.raises(AutosegError, match=message):
            devices_of(device, count)
    with pytest.raises(AutosegError, match="2 CUDA devices"):
        predict_files(tmp_path, tmp_path / "out", gpus=3)
    with pytest.raises(SystemExit):
        main(["-i", "in", "-o", "out", "--gpus", "0"])
    assert "is no whole number of 1 or more" in capsys.readouterr().err


def test_the_size_of_a_case_is_that_of_its_files(tmp_path: Path) -> None:
    for name, size in (("a_0000.nii.gz", 5), ("a_0001.nii.gz", 7)):
        (tmp_path / name).write_bytes(b"x" * size)
    gone = tmp_path / "gone.nii.gz"
    assert file_bytes(PredictionInput("a", (tmp_path / "a_0000.nii.gz", tmp_path / "a_0001.nii.gz", gone))) == 12
