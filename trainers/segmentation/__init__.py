"""Training segmentation models: everything that the task adds to training one fold."""

from __future__ import annotations

from autoseg.trainers.recipe import Recipe
from autoseg.trainers.segmentation.data import AGREEMENT, SegmentationData, check, load_data
from autoseg.trainers.segmentation.fold import steps
from autoseg.trainers.segmentation.learner import SegmentationLearner, segmentation_learner
from autoseg.trainers.segmentation.recipes import RECIPES
from autoseg.trainers.segmentation.settings import SegmentationSettings
from autoseg.workspace import DatasetFolder

__all__ = [
    "RECIPES", "SETTINGS", "SegmentationData", "SegmentationLearner", "SegmentationSettings", "check", "check_begun", "defaults",
    "load_data", "segmentation_learner", "steps",
]

SETTINGS = SegmentationSettings
check_begun = AGREEMENT.check_begun


def defaults(recipe: Recipe, folder: DatasetFolder) -> SegmentationSettings:
    """Return the recipe's settings; the dataset's plans change none."""
    return SegmentationSettings.model_validate(recipe.settings)
