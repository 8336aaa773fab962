"""Training locators on projections: everything that the task adds to training one fold."""

from __future__ import annotations

from autoseg.tasks.localization import INFO
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.trainers.localization.data import AGREEMENT, LocalizationData, check, load_data
from autoseg.trainers.localization.fold import steps
from autoseg.trainers.localization.learner import LocatorLearner, locator_learner
from autoseg.trainers.localization.recipes import RECIPES
from autoseg.trainers.localization.settings import LocalizationSettings
from autoseg.trainers.recipe import Recipe
from autoseg.workspace import DatasetFolder, read_model

__all__ = [
    "RECIPES", "SETTINGS", "LocalizationData", "LocalizationSettings", "LocatorLearner", "check", "check_begun", "defaults",
    "load_data", "locator_learner", "steps",
]

SETTINGS = LocalizationSettings
check_begun = AGREEMENT.check_begun


def defaults(recipe: Recipe, folder: DatasetFolder) -> LocalizationSettings:
    """Return the recipe's settings with the plan's epochs. Raises AutosegError where the dataset has no such plans."""
    plans = read_model(folder.root / INFO.plans_file, ProjectionPlans)
    return LocalizationSettings.model_validate(recipe.settings).model_copy(update={"epochs": plans.epochs})
