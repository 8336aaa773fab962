"""Recipes that find a level in projections. Each is built by `build(plans, settings, device)`."""

from __future__ import annotations

from autoseg.trainers.localization.learner import locator_learner
from autoseg.trainers.localization.settings import LocalizationSettings
from autoseg.trainers.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    "locator": Recipe(  # after Kanavati et al. 2018, with a UNet 3+ (Huang et al. 2020)
        locator_learner, LocalizationSettings(),
        "finds the level of a structure along an axis: a UNet 3+ that marks it in a projection of the scan; planned with "
        "--planner projection")}
