"""Recipes by name, and those of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.networks import build_network
from autoseg.plan import Configuration
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import topology_of
from autoseg.trainers.catalogue import catalogue
from autoseg.trainers.fold import require_predictable
from autoseg.trainers.recipes import find_recipe, segmentation_defaults

OWN_RECIPE = """
from autoseg.trainers.settings import Settings

class OwnSettings(Settings):
    alpha: float = 0.3

SETTINGS = OwnSettings(epochs=7)

def build(configuration, data, settings, device):
    "Mine."
    return "mine"
"""


@pytest.fixture(autouse=True)
def own_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_recipe.py").write_text(OWN_RECIPE)
    (tmp_path / "wrong_recipe.py").write_text(OWN_RECIPE.replace("OwnSettings(epochs=7)", "{'epochs': 7}"))
    (tmp_path / "half_recipe.py").write_text(OWN_RECIPE[:-10] + "(")
    (tmp_path / "odd_recipe.py").write_text(OWN_RECIPE.replace("epochs=7", "epoch=7"))
    monkeypatch.syspath_prepend(tmp_path)


def test_a_recipe_of_ones_own_is_found_by_its_name_with_its_settings() -> None:
    own = find_recipe("own_recipe:build")
    assert own.build(None, None, None, None) == "mine" and own.summary == "Mine."
    assert own.settings.epochs == 7 and dict(own.settings)["alpha"] == 0.3


def test_what_cannot_be_a_recipe_is_refused_with_what_there_is() -> None:
    with pytest.raises(AutosegError, match='no function "make"'):
        find_recipe("own_recipe:make")
    with pytest.raises(AutosegError, match="SETTINGS is dict"):
        find_recipe("wrong_recipe:build")
    for name in (":build", ".own_recipe:build", "own_recipe:", "own recipe:build"):
        with pytest.raises(AutosegError, match="There is no recipe"):
            find_recipe(name)
    for name in ("half_recipe:build", "odd_recipe:build"):
        with pytest.raises(AutosegError, match="cannot be imported: .* Correct it"):
            find_recipe(name)
    with pytest.raises(AutosegError, match="There are: default, multiscale, unet3plus, anogan, locator; your own"):
        find_recipe("defualt")


def test_the_published_settings_of_multiscale() -> None:
    """Zhao and Zeng 2019; Wong et al. 2018."""
    settings = segmentation_defaults("multiscale")
    assert (settings.base_features, settings.optimizer, settings.learning_rate) == (30, "adam", 3e-4)
    assert (settings.plateau.factor, settings.plateau.patience) == (0.2, 30)
    loss = settings.exp_log
    assert (loss.gamma, loss.dice_weight, loss.ce_weight) == (0.3, 0.8, 0.2)


def test_the_catalogue_lists_every_part_and_setting_with_the_defaults_of_each_recipe() -> None:
    listed = catalogue("own_recipe:build")
    assert list(listed.recipes) == ["default", "multiscale", "unet3plus", "anogan", "locator", "own_recipe:build"]
    assert set(listed.networks) == {"unet", "unet3plus", "resunet"} and set(listed.losses) == {"dice_ce", "exp_log", "hybrid"}
    assert all([*listed.recipes.values(), *listed.networks.values(), *listed.losses.values()])
    settings = {setting.key: setting for setting in listed.settings}
    assert settings["learning_rate"].defaults["multiscale"] == "0.0003"
    assert settings["exp_log.gamma"].defaults["default"] == "0.3"
    assert settings["loss"].choices == ("dice_ce", "exp_log", "hybrid")
    assert settings["alpha"].defaults == {"own_recipe:build": "0.3"}
    of_detectors = {setting.key: setting for setting in listed.of_kinds["anogan"]}
    assert of_detectors["lambda"].defaults == {"anogan": "0.1"} and "lambda" not in settings and "loss" not in of_detectors
    of_locators = {setting.key: setting for setting in listed.of_kinds["locator"]}
    assert of_locators["band"].defaults == {"locator": "7"} and of_locators["moving.rotation"].defaults == {"locator": "10"}
    assert {"threshold", "absent_share"} <= of_locators.keys() and not {"lambda", "loss"} & of_locators.keys()


def test_a_network_that_nothing_could_predict_with_is_refused_before_it_is_trained() -> None:
    configuration = Configuration(
        spacing_mm=(1.0, 1.0), median_shape=(8, 8), patch_size=(8, 8), batch_size=1, normalization=("zscore",),
        normalize_inside_mask=(False,), network=topology_of("unet", pool((1, 1), (8, 8)), 4))
    network = build_network(configuration.network, 1, 2)
    require_predictable({"network": network}, configuration, 2, "own:build")
    for modules in ({"network": torch.nn.Linear(1, 1)}, {"generator": network}, {}):
        with pytest.raises(AutosegError, match='"own:build" trains another network than the configuration\'s \\(unet\\)'):
            require_predictable(modules, configuration, 2, "own:build")
