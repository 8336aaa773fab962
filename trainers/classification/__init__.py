"""Training classifiers on whole cases: everything that the task adds to training one fold."""

from __future__ import annotations

from autoseg.tasks.classification import INFO
from autoseg.tasks.classification.plan import ClassPlans
from autoseg.trainers.classification.data import AGREEMENT, ClassificationData, check, load_data
from autoseg.trainers.classification.fold import steps
from autoseg.trainers.classification.learner import ClassifierLearner, classifier_learner
from autoseg.trainers.classification.recipes import RECIPES
from autoseg.trainers.classification.settings import ClassificationSettings
from autoseg.trainers.recipe import Recipe
from autoseg.workspace import DatasetFolder, read_model

__all__ = [
    "RECIPES", "SETTINGS", "ClassificationData", "ClassificationSettings", "ClassifierLearner", "check", "check_begun",
    "classifier_learner", "defaults", "load_data", "steps",
]

SETTINGS = ClassificationSettings
check_begun = AGREEMENT.check_begun


def defaults(recipe: Recipe, folder: DatasetFolder) -> ClassificationSettings:
    """Return the recipe's settings with the plan's epochs. Raises AutosegError where the dataset has no such plans."""
    plans = read_model(folder.root / INFO.plans_file, ClassPlans)
    return ClassificationSettings.model_validate(recipe.settings).model_copy(update={"epochs": plans.epochs})
