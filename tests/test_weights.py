"""Weights by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from autoseg.errors import AutosegError
from autoseg.weights import member_of, weights_digest
from autoseg.workspace import DatasetFolder, write_text


def test_the_digest_of_a_weights_file_is_that_of_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(bytes(range(256)) * 3)
    expected = hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
    assert weights_digest(path) == expected
    monkeypatch.setattr("autoseg.weights.BYTES_AT_ONCE", 7)
    assert weights_digest(path) == expected
    path.write_bytes(b"other")
    assert weights_digest(path) != expected
    with pytest.raises(AutosegError, match="missing.safetensors cannot be read"):
        weights_digest(tmp_path / "missing.safetensors")


def test_a_member_is_a_model_with_the_weights_of_its_folds(tmp_path: Path) -> None:
    model = DatasetFolder(tmp_path).model("2d", "multiscale")
    for fold in ("0", "1", "all"):
        write_text(model.fold(fold).checkpoint_final, fold)
    member = member_of(model, range(2))
    assert member.name == "2d/multiscale" and list(member.weights) == ["0", "1"]
    assert member.weights["1"] == weights_digest(model.fold(1).checkpoint_final)
    with pytest.raises(AutosegError, match="fold_2.*cannot be read"):
        member_of(model, range(3))
