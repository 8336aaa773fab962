"""A recipe: what is trained, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autoseg.kinds import ANOMALY, LOCATION
from autoseg.kinds import Task as KindOfModel
from autoseg.trainers.settings import TrainingSettings
from autoseg.trainers.settings.anomaly import AnomalySettings
from autoseg.trainers.settings.locator import LocatorSettings


@dataclass(frozen=True)
class Recipe:
    """build: `(configuration, data, settings, device) -> Task`; of a detector `(shape, settings, device) -> Task`, of a locator
    `(plans, settings, device) -> Task`. settings: where the user sets nothing else; their class says which there are. summary:
    in a line."""

    build: Callable[..., Any]
    settings: TrainingSettings
    summary: str

    @property
    def trains(self) -> KindOfModel:
        """What comes of it: a model that segments, or does something else (see `autoseg.kinds`)."""
        if isinstance(self.settings, AnomalySettings):
            return ANOMALY.task
        return LOCATION.task if isinstance(self.settings, LocatorSettings) else "segmentation"
