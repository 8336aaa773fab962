"""Devices that are not there, or are there and cannot be used, are named with what to do."""

from __future__ import annotations

import pytest
import torch

from autoseg.device import resolve_device
from autoseg.errors import AutosegError


def test_the_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


def test_a_device_that_there_is_not_is_named() -> None:
    with pytest.raises(AutosegError, match='There is no device "gpu"'):
        resolve_device("gpu")
    with pytest.raises(AutosegError, match=r"cuda:9\d was asked for, but \d+ CUDA devices are here"):
        resolve_device("cuda:99")


def test_a_cuda_device_that_runs_nothing_is_named_before_anything_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the error that torch raises on a GPU that it was not built for."""
    def no_kernel(*arguments: object, **named: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.ones", no_kernel)
    with pytest.raises(AutosegError, match=r"cuda is there, but cannot be used: CUDA error: no kernel image is .*\. Use another"):
        resolve_device("cuda")
