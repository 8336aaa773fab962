"""A trained classifier at work: probabilities of the classes of a case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from autoseg.device import autocast, keep_large_blocks, memory_format, resolve_precision
from autoseg.errors import AutosegError
from autoseg.inference.cases import memory_errors_named
from autoseg.tasks.classification.model import Calibration, ClassifierDescription, LoadedClassifier
from autoseg.tasks.classification.network import Classifier
from autoseg.tasks.classification.probabilities import probabilities


@dataclass(frozen=True)
class Told:
    """The answer of networks for a case. logits: (networks, outputs) float64 of the branch that answers; images_alone: of the
    other branch, (networks, outputs), or None."""

    logits: np.ndarray
    images_alone: np.ndarray | None


class Seer:
    """The folds of a classifier: each gives probabilities, and their mean counts."""

    def __init__(self, classifier: LoadedClassifier, device: torch.device) -> None:
        """classifier: its networks lie on `device`."""
        self.classifier, self.device = classifier, device
        self.calibration = classifier.description.calibration or Calibration()
        self._dtype = resolve_precision("auto", device)
        if device.type == "cpu":
            keep_large_blocks()

    @property
    def description(self) -> ClassifierDescription:
        return self.classifier.description

    def look(self, seen: np.ndarray, covariates: np.ndarray, case: str) -> Told:
        """Return the logits of each network. seen: (C, z, y, x) float32 as framed. covariates: (D,) as encoded, nan where
        missing.

        Raises AutosegError where memory runs out, or weights give no numbers.
        """
        batch, given = self.batch(seen, covariates)
        with memory_errors_named(case, [seen.shape], self.device), torch.inference_mode():
            found = [self._logits(network, batch, given) for network in self.classifier.networks]
        logits = [np.stack([branches[index] for branches in found]) for index in range(len(found[0]))]
        if not all(np.isfinite(of).all() for of in logits):
            raise AutosegError("The classifier's networks give no numbers (NaN): its training failed. Train it again.")
        return Told(logits[0], logits[1] if len(logits) > 1 else None)

    def batch(self, seen: np.ndarray, covariates: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what networks take of a case: its image (1, C, *spatial) and its covariates (1, D), on the device."""
        image = seen[:, 0] if self.description.plans.view == "picture" else seen
        batch = torch.from_numpy(np.ascontiguousarray(image))[None].to(self.device)
        batch = batch.contiguous(memory_format=memory_format(self.device, batch.ndim - 2))
        return batch, torch.from_numpy(covariates)[None].to(self.device)

    def probabilities(self, seen: np.ndarray, covariates: np.ndarray, case: str) -> np.ndarray:
        """Return the probability of each class or label, (K,): the mean over the networks, each at the fitted temperature."""
        logits = self.look(seen, covariates, case).logits
        mean: np.ndarray = probabilities(logits, self.description.shape.kind, self.calibration.temperature).mean(0)
        return mean

    def _logits(self, network: Classifier, image: torch.Tensor, covariates: torch.Tensor) -> list[np.ndarray]:
        with autocast(self.device, self._dtype):
            features = network(image)
        return [logits[0].double().cpu().numpy() for logits in network.logits(features, covariates)]
