"""Weights and states on disk."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.trainers.checkpoint import load_state, save_state, save_weights


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_weights_can_be_read_by_who_can_read_their_folder(tmp_path: Path) -> None:
    for mode, expected in ((0o755, 0o644), (0o750, 0o640), (0o700, 0o600)):
        tmp_path.chmod(mode)
        save_weights(tmp_path / "weights.safetensors", {"network": torch.nn.Linear(1, 1)}, {})
        assert (tmp_path / "weights.safetensors").stat().st_mode & 0o777 == expected


def test_a_damaged_state_is_told_whatever_its_bytes_are(tmp_path: Path) -> None:
    """torch raises errors of many kinds for files that were cut short or changed."""
    path, draw = tmp_path / "state.pt", random.Random(0)
    save_state(path, {"a": torch.ones(5), "b": {"c": 1.0, "d": "x"}})
    whole = path.read_bytes()
    for number in range(400):
        changed = bytearray(whole if number % 2 else draw.randbytes(draw.randrange(200)))
        if number % 4 == 1:
            changed = changed[:draw.randrange(len(changed))]
        elif number % 4 == 3:
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            load_state(path, torch.device("cpu"))
        except AutosegError as error:
            assert "state.pt" in str(error)
