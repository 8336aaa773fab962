"""`locator`: the level of a structure from a projection (after Kanavati et al. 2018), with a UNet 3+ (Huang et al. 2020)."""

from __future__ import annotations

from autoseg.trainers.locator.task import locator_task
from autoseg.trainers.recipes.recipe import Recipe
from autoseg.trainers.settings.locator import LocatorSettings

RECIPE = Recipe(
    locator_task, LocatorSettings(),
    "finds the level of a structure along an axis: a UNet 3+ that marks it in a projection of the scan; needs --planner "
    "projection")
