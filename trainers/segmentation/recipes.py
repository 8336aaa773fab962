"""Recipes that segment. Each is built by `build(configuration, data, settings, device)`."""

from __future__ import annotations

from autoseg.trainers.recipe import Recipe
from autoseg.trainers.segmentation.learner import segmentation_learner
from autoseg.trainers.segmentation.settings import SegmentationSettings
from autoseg.trainers.settings import SupervisionSettings

RECIPES: dict[str, Recipe] = {
    "default": Recipe(
        segmentation_learner, SegmentationSettings(),
        "Dice + cross-entropy, deep supervision, SGD with Nesterov momentum, polynomial decay (nnU-Net; Isensee et al. 2021)"),
    "multiscale": Recipe(  # 7th of 106 in KiTS19
        segmentation_learner,
        SegmentationSettings(
            base_features=30, loss="exp_log", supervision=SupervisionSettings(weights="equal", resolution="level"),
            optimizer="adam", schedule=None, augmentation="elastic"),
        "every decoder level against the label at its own resolution, exponential logarithmic loss, Adam (MSS U-Net; Zhao and "
        "Zeng 2019; Wong et al. 2018)"),
    "unet3plus": Recipe(
        segmentation_learner,
        SegmentationSettings(
            network="unet3plus", loss="hybrid", supervision=SupervisionSettings(weights="equal", resolution="full")),
        "full-scale skip connections and supervision, focal + MS-SSIM + IoU loss (UNet 3+; Huang et al. 2020)")}
