"""Training anomaly detectors on normal slices: everything that the task adds to training one fold."""

from __future__ import annotations

from autoseg.trainers.anomaly.data import AGREEMENT, AnomalyData, check, load_data
from autoseg.trainers.anomaly.fold import steps
from autoseg.trainers.anomaly.learner import GanLearner
from autoseg.trainers.anomaly.recipes import RECIPES
from autoseg.trainers.anomaly.settings import AnomalySettings
from autoseg.trainers.recipe import Recipe
from autoseg.workspace import DatasetFolder

__all__ = [
    "RECIPES", "SETTINGS", "AnomalyData", "AnomalySettings", "GanLearner", "check", "check_begun", "defaults", "load_data",
    "steps",
]

SETTINGS = AnomalySettings
check_begun = AGREEMENT.check_begun


def defaults(recipe: Recipe, folder: DatasetFolder) -> AnomalySettings:
    """Return the recipe's settings; the dataset's plans change none."""
    return AnomalySettings.model_validate(recipe.settings)
