"""`multiscale`: MSS U-Net (Zhao and Zeng 2019), 7th of 106 in KiTS19."""

from __future__ import annotations

from autoseg.trainers.recipes.recipe import Recipe
from autoseg.trainers.segmentation import segmentation_task
from autoseg.trainers.settings import Settings, SupervisionSettings

RECIPE = Recipe(
    segmentation_task,
    Settings(
        base_features=30, loss="exp_log", supervision=SupervisionSettings(weights="equal", resolution="level"), optimizer="adam",
        learning_rate=3e-4, schedule="plateau", augmentation="elastic"),
    "every decoder level against the label at its own resolution, exponential logarithmic loss, Adam (MSS U-Net; Zhao and Zeng "
    "2019; Wong et al. 2018)")
