"""`unet3plus`: UNet 3+ (Huang et al. 2020)."""

from __future__ import annotations

from autoseg.trainers.recipes.recipe import Recipe
from autoseg.trainers.segmentation import segmentation_task
from autoseg.trainers.settings import Settings, SupervisionSettings

RECIPE = Recipe(
    segmentation_task,
    Settings(
        network="unet3plus", loss="hybrid", supervision=SupervisionSettings(weights="equal", resolution="full")),
    "full-scale skip connections and supervision, focal + MS-SSIM + IoU loss (UNet 3+; Huang et al. 2020)")
