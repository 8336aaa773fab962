"""Recipes by name; a user's own is named as "package.module:function"."""

from __future__ import annotations

import importlib
from typing import TypeVar

from pydantic import ValidationError

from autoseg.errors import AutosegError
from autoseg.kinds import kind_for
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.trainers.recipes import anogan, default, locator, multiscale, unet3plus
from autoseg.trainers.recipes.recipe import Recipe
from autoseg.trainers.settings import Settings, TrainingSettings
from autoseg.trainers.settings.anomaly import AnomalySettings
from autoseg.trainers.settings.locator import LocatorSettings

SettingsType = TypeVar("SettingsType", bound=TrainingSettings)

RECIPES: dict[str, Recipe] = {
    "default": default.RECIPE, "multiscale": multiscale.RECIPE, "unet3plus": unet3plus.RECIPE, "anogan": anogan.RECIPE,
    "locator": locator.RECIPE}


def find_recipe(name: str) -> Recipe:
    """A recipe by its name, or a user's own by "package.module:function"; the module's SETTINGS are that recipe's defaults.

    Raises AutosegError that lists the recipes there are, or says what of the user's own is missing.
    """
    if name in RECIPES:
        return RECIPES[name]
    module_name, colon, function_name = name.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), function_name]):
        raise AutosegError(
            f'There is no recipe "{name}". There are: {", ".join(RECIPES)}; your own is named as "module:function".'
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise AutosegError(f'The recipe "{name}" cannot be imported: {error}. Is its folder on PYTHONPATH?') from error
    except (SyntaxError, ValidationError) as error:
        raise AutosegError(f'The recipe "{name}" cannot be imported: {" ".join(str(error).split())}. Correct it.') from error
    build = getattr(module, function_name, None)
    if not callable(build):
        raise AutosegError(f'{module.__file__} has no function "{function_name}", which the recipe "{name}" names.')
    settings = getattr(module, "SETTINGS", Settings())
    if not isinstance(settings, TrainingSettings):
        raise AutosegError(f"{module.__file__}: SETTINGS is {type(settings).__name__}, but must be an "
                           "autoseg.trainers.settings.Settings, such as SETTINGS = Settings(epochs=200).")
    summary = (build.__doc__ or module.__doc__ or "").strip().partition("\n")[0]
    return Recipe(build, settings, summary)


def segmentation_defaults(name: str) -> Settings:
    """The settings of a recipe that segments. Raises AutosegError as `find_recipe`, and for one that does not."""
    return _defaults(name, Settings)


def anomaly_defaults(name: str) -> AnomalySettings:
    """The settings of a recipe that trains a detector. Raises AutosegError as `find_recipe`, and for another one."""
    return _defaults(name, AnomalySettings)


def locator_defaults(name: str, plans: ProjectionPlans) -> LocatorSettings:
    """The settings of a recipe that trains a locator, with the plan's epochs. Raises AutosegError as `find_recipe`, and for
    another one."""
    return _defaults(name, LocatorSettings).model_copy(update={"epochs": plans.epochs})


def _defaults(name: str, wanted: type[SettingsType]) -> SettingsType:
    recipe = find_recipe(name)
    if isinstance(recipe.settings, wanted):
        return recipe.settings
    kind = kind_for(recipe.trains)
    if kind is None:
        raise AutosegError(f'The recipe "{name}" segments, which is not meant here. Choose another one with -tr: `autoseg '
                           "recipes` lists them.")
    raise AutosegError(f'The recipe "{name}" trains {kind.called}, which is not meant here. Plan with '
                       f"{' '.join(kind.planner_flags)}, and train with autoseg_train DATASET 0 -tr {name}.")
