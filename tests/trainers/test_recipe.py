"""Recipes by name, and those of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.api import tasks
from autoseg.api.listing import catalogue
from autoseg.api.tasks import recipes_of_all
from autoseg.errors import AutosegError
from autoseg.trainers import anomaly, localization, segmentation
from autoseg.trainers.recipe import Recipe, check_model_name
from autoseg.trainers.recipe import find_recipe as find_among
from autoseg.trainers.segmentation import SegmentationSettings

OWN_RECIPE = """
from autoseg.trainers.segmentation import SegmentationSettings

class OwnSettings(SegmentationSettings):
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
    (tmp_path / "vague_recipe.py").write_text(OWN_RECIPE.replace(
        "segmentation import SegmentationSettings", "settings import TrainingSettings as SegmentationSettings"))
    monkeypatch.syspath_prepend(tmp_path)


def find_recipe(name: str) -> Recipe:
    return find_among(name, recipes_of_all())


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
    with pytest.raises(AutosegError, match="There are: default, multiscale, unet3plus, anogan, locator, classifier; your own"):
        find_recipe("defualt")


def test_the_settings_of_a_recipe_say_for_which_task_it_is() -> None:
    assert {name: tasks.find_recipe(name)[0].info.name for name in ("own_recipe:build", *recipes_of_all())} == {
        "own_recipe:build": "segmentation", "default": "segmentation", "multiscale": "segmentation",
        "unet3plus": "segmentation", "anogan": "anomaly", "locator": "localization",
        "classifier": "classification"}
    with pytest.raises(AutosegError, match='"vague_recipe:build" has SETTINGS of the class OwnSettings, .* Make it one of '
                       "SegmentationSettings, AnomalySettings, LocalizationSettings"):
        tasks.find_recipe("vague_recipe:build")


def test_a_recipe_without_settings_has_those_of_the_first_recipe(tmp_path: Path) -> None:
    (tmp_path / "plain_recipe.py").write_text("def build(configuration, data, settings, device):\n    return settings\n")
    assert find_recipe("plain_recipe:build").settings == SegmentationSettings()


def test_a_models_name_can_be_a_folders_and_is_not_another_recipes() -> None:
    for name in (None, "default", "with_exp-log.2"):
        check_model_name(name, "default", recipes_of_all())
    for name in ("a/b", ".hidden", "two words", ""):
        with pytest.raises(AutosegError, match="is to become a folder"):
            check_model_name(name, "default", recipes_of_all())
    with pytest.raises(AutosegError, match="--name anogan is the name of a recipe, but the recipe is default"):
        check_model_name("anogan", "default", recipes_of_all())


def test_the_catalogue_lists_every_part_and_setting_with_the_defaults_of_each_recipe() -> None:
    own = {"own_recipe:build": find_recipe("own_recipe:build")}
    listed = catalogue({**recipes_of_all(), **own}, [room.SETTINGS for room in (segmentation, anomaly, localization)])
    assert list(listed.settings) == ["default", "anogan", "locator"]
    assert list(listed.recipes) == ["default", "multiscale", "unet3plus", "anogan", "locator", "classifier", "own_recipe:build"]
    assert set(listed.networks) == {"unet", "unet3plus", "resunet"} and set(listed.losses) == {"dice_ce", "exp_log", "hybrid"}
    assert all([*listed.recipes.values(), *listed.networks.values(), *listed.losses.values()])
    settings = {setting.key: setting for setting in listed.settings["default"]}
    assert settings["base_features"].defaults["multiscale"] == "30"
    assert settings["exp_log.gamma"].defaults["default"] == "0.3"
    assert settings["loss"].choices == ("dice_ce", "exp_log", "hybrid")
    assert settings["alpha"].defaults == {"own_recipe:build": "0.3"}
    of_detectors = {setting.key: setting for setting in listed.settings["anogan"]}
    assert of_detectors["lambda"].defaults == {"anogan": "0.1"} and "lambda" not in settings and "loss" not in of_detectors
    of_locators = {setting.key: setting for setting in listed.settings["locator"]}
    assert of_locators["band"].defaults == {"locator": "7"} and of_locators["moving.rotation"].defaults == {"locator": "10"}
    assert {"threshold", "absent_share"} <= of_locators.keys() and not {"lambda", "loss"} & of_locators.keys()
