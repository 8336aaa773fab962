"""Recipes that tell the class of a case. Each is built by `build(plans, settings, device)`."""

from __future__ import annotations

from autoseg.trainers.classification.learner import classifier_learner
from autoseg.trainers.classification.settings import ClassificationSettings
from autoseg.trainers.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    "classifier": Recipe(
        classifier_learner, ClassificationSettings(),
        "tells the class of a case from its image and covariates: the encoder of a U-Net and a linear head; planned with "
        "--planner classification")}
