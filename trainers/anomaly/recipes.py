"""Recipes that detect anomalies. Each is built by `build(shape, settings, device)`, the shape that of the GAN's networks."""

from __future__ import annotations

from autoseg.trainers.anomaly.learner import GanLearner
from autoseg.trainers.anomaly.settings import AnomalySettings
from autoseg.trainers.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    "anogan": Recipe(  # with a DCGAN (Radford et al. 2016) and, where it is asked for, the encoder of f-AnoGAN
        GanLearner, AnomalySettings(),
        "detects anomalies: a DCGAN of normal slices, scored by the closest one it generates (AnoGAN; Schlegl et al. 2017); "
        "planned with --planner slices")}
