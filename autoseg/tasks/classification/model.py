"""Trained classifiers: what their `model.json` says besides, and their networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from autoseg.bounds import Share
from autoseg.device import to_device
from autoseg.inference.checkpoints import Description, Loaded, Weights, fill, load, part_of
from autoseg.plan import Frozen
from autoseg.tasks.classification.network import Classifier, ClassifierShape, build_classifier
from autoseg.tasks.classification.plan import CONFIGURATION, ClassPlans
from autoseg.workspace import ModelFolder

NETWORK = "network"  # the module of the recipe that weights name


class Calibration(Frozen):
    """The calibration that turns logits into answers, fitted on the validation cases of all folds.

    temperature: that logits are divided by. thresholds: of the second of two classes, or of each label; empty where the most
    probable class is the answer.
    """

    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    thresholds: tuple[Share, ...] = ()


class ClassifierDescription(Description):
    """All that classifying needs but weights; one to one with the `model.json` of a classifier.

    shape: of the network as it was trained. calibration: None until all folds are validated. The others as in `Description`.
    """

    task: Literal["classification"] = "classification"
    configuration_name: str = CONFIGURATION
    plans: ClassPlans
    shape: ClassifierShape
    calibration: Calibration | None = None

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Return the channels of the images that it takes."""
        return self.plans.channel_names


LoadedClassifier = Loaded[ClassifierDescription, Classifier]


def load_classifier(
    folder: ModelFolder, folds: Sequence[str] | None = None, device: torch.device | None = None
) -> LoadedClassifier:
    """Return a trained classifier from its folder, its networks on `device`. The rest as in `checkpoints.load`."""
    return load(folder, "classification", ClassifierDescription, _build, folds, device=device)


def _build(description: ClassifierDescription, weights: Weights, file: Path, device: torch.device) -> Classifier:
    with torch.device("meta"):  # no memory, and no time for random weights
        network = build_classifier(description.shape)
    fill(network, part_of(weights, NETWORK), file)
    to_device(network.float(), device, dimensions=description.shape.encoder.dimensions)
    return network.eval().requires_grad_(False)
