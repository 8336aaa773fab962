"""`default`: what nnU-Net does (Isensee et al. 2021)."""

from __future__ import annotations

from autoseg.trainers.recipes.recipe import Recipe
from autoseg.trainers.segmentation import segmentation_task
from autoseg.trainers.settings import Settings

RECIPE = Recipe(
    segmentation_task, Settings(),
    "Dice + cross-entropy, deep supervision, SGD with Nesterov momentum, polynomial decay (nnU-Net; Isensee et al. 2021)")
