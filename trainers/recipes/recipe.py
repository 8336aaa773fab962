"""A recipe: what is trained, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from autoseg.trainers.settings import TrainingSettings
from autoseg.trainers.settings.anomaly import AnomalySettings


@dataclass(frozen=True)
class Recipe:
    """build: `(configuration, data, settings, device) -> Task`; of a detector `(shape, settings, device) -> Task`. settings:
    where the user sets nothing else; their class says which there are. summary: in a line."""

    build: Callable[..., Any]
    settings: TrainingSettings
    summary: str

    @property
    def trains(self) -> Literal["segmentation", "anomaly"]:
        """What comes of it: a network that segments, or a detector of anomalies."""
        return "anomaly" if isinstance(self.settings, AnomalySettings) else "segmentation"
