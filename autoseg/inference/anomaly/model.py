"""Trained anomaly detectors: `model.json` says what they are, safetensors hold their weights."""

from __future__ import annotations

from typing import Any, Literal

from autoseg.inference.anomaly.settings import SearchSettings
from autoseg.networks.dcgan import GanShape
from autoseg.plan import Frozen
from autoseg.slices.plan import SlicePlans


class AnomalyDescription(Frozen):
    """All that scoring needs but weights; one to one with the `model.json` of an anomaly detector.

    plans: without cases. gan: shape of the networks. spectral_norm: of the discriminator. has_encoder: whether the weights hold
    one. search: as it was trained with; a prediction may take another. recipe, settings, flags, name, versions: as in
    `autoseg.inference.model.ModelDescription`.
    """

    task: Literal["anomaly"] = "anomaly"
    dataset: str
    plans: SlicePlans
    gan: GanShape
    spectral_norm: bool
    has_encoder: bool
    search: SearchSettings
    recipe: str
    settings: dict[str, Any]
    flags: tuple[str, ...] = ()
    versions: dict[str, str]
    name: str | None = None

    @property
    def called(self) -> str:
        """As the user knows it: by its name, or its recipe's."""
        return self.name or self.recipe
