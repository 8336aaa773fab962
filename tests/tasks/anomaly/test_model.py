"""Detectors come from their folder whole, or with a clear word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.tasks.anomaly.model import load_detector


@pytest.mark.parametrize(("has_encoder", "spectral_norm"), [(True, False), (False, True)])
def test_all_networks_of_all_folds_come_in_eval_mode(
    describe_detector: Any, save_detector: Any, tmp_path: Path, has_encoder: bool, spectral_norm: bool
) -> None:
    folder = save_detector(tmp_path, describe_detector(has_encoder=has_encoder, spectral_norm=spectral_norm), ("0", "1"))
    loaded = load_detector(folder)
    assert loaded.folds == ("0", "1") and load_detector(folder, ["1"]).folds == ("1",)
    for networks in loaded.networks:
        assert len(list(networks)) == 2 + has_encoder
        assert not any(network.training or any(p.requires_grad for p in network.parameters()) for network in networks)
    latent = torch.ones(1, 6)
    first, second = (networks.generator(latent) for networks in loaded.networks)
    assert first.shape == (1, 1, 16, 16) and not torch.equal(first, second)
