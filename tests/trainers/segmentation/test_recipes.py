"""The recipes that segment: their published settings, and networks that prediction can build."""

from __future__ import annotations

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.networks import build_network
from autoseg.plan import Configuration
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import topology_of
from autoseg.trainers.segmentation import RECIPES, SegmentationSettings
from autoseg.trainers.segmentation.fold import require_predictable

LABELS = Labels(values={"background": 0, "organ": 1})


def test_the_published_settings_of_multiscale() -> None:
    """Zhao and Zeng 2019; Wong et al. 2018."""
    settings = SegmentationSettings.model_validate(RECIPES["multiscale"].settings).settled()
    assert (settings.base_features, settings.optimizer, settings.learning_rate) == (30, "adam", 3e-4)
    assert (settings.schedule, settings.plateau.factor, settings.plateau.patience) == ("plateau", 0.2, 30)
    loss = settings.exp_log
    assert (loss.gamma, loss.dice_weight, loss.ce_weight) == (0.3, 0.8, 0.2)


def test_a_network_that_nothing_could_predict_with_is_refused_before_it_is_trained() -> None:
    configuration = Configuration(
        spacing_mm=(1.0, 1.0), median_shape=(8, 8), patch_size=(8, 8), batch_size=1, normalization=("zscore",),
        normalize_inside_mask=(False,), network=topology_of("unet", pool((1, 1), (8, 8)), 4))
    network = build_network(configuration.network, 1, 2)
    require_predictable({"network": network}, configuration, LABELS, "own:build")
    for modules in ({"network": torch.nn.Linear(1, 1)}, {"generator": network}, {}):
        with pytest.raises(AutosegError, match='"own:build" trains another network than the configuration\'s \\(unet\\)'):
            require_predictable(modules, configuration, LABELS, "own:build")
