"""`anogan`: AnoGAN (Schlegl et al. 2017) with a DCGAN (Radford et al. 2016); its encoder is that of f-AnoGAN."""

from __future__ import annotations

from autoseg.trainers.anomaly.task import GanTask
from autoseg.trainers.recipes.recipe import Recipe
from autoseg.trainers.settings.anomaly import AnomalySettings

RECIPE = Recipe(
    GanTask, AnomalySettings(),
    "detects anomalies: a DCGAN of normal slices, scored by the closest one it generates (AnoGAN; Schlegl et al. 2017); needs "
    "--planner slices")
