"""Maps of what a classifier's answer depends on: Grad-CAM, that of random weights beside it, and occlusion; and covariates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from autoseg.evaluation.csv_table import Row
from autoseg.explaining.attribution import (
    Evidence,
    foreground_median,
    grad_cam,
    occlusion,
    randomized,
    require_captum,
)
from autoseg.explaining.maps import Maps
from autoseg.inference.cases import memory_errors_named
from autoseg.tasks.classification.covariates import width_of
from autoseg.tasks.classification.network import Classifier
from autoseg.tasks.classification.plan import Covariate, Target
from autoseg.tasks.classification.probabilities import probabilities
from autoseg.tasks.classification.seer import Seer

GRAD_CAM, OCCLUSION, RANDOM = "gradcam", "occlusion", "random"
WINDOWS = {2: 8, 3: 4}  # windows side by side along an axis, by the number of axes
MOST_OTHERS = 50  # rows that a covariate's values are taken from


@dataclass(frozen=True)
class CaseMaps:
    """Maps of a case, (z, y, x) float32 of what is seen, means over the folds. of: what is more likely for what they show.
    grad_cam: with what speaks against it. random: the same of random weights. occlusion: by how much the evidence falls where
    a window is replaced; None where it was not asked for."""

    of: str
    grad_cam: np.ndarray
    random: np.ndarray
    occlusion: np.ndarray | None = None

    @property
    def named(self) -> dict[str, np.ndarray]:
        """Return the maps that there are by their names in files; Grad-CAM without what speaks against, as it is defined."""
        found = {GRAD_CAM: np.maximum(self.grad_cam, 0), OCCLUSION: self.occlusion, RANDOM: self.random}
        return {name: values for name, values in found.items() if values is not None}


def rows_of(maps: Maps) -> dict[str, Maps]:
    """Return the rows of a case's picture: Grad-CAM beside that of random weights, and occlusion. maps: by names in files."""
    rows: dict[str, Maps] = {GRAD_CAM: {"Grad-CAM": maps[GRAD_CAM], "Grad-CAM of random weights": maps[RANDOM]}}
    return rows | ({OCCLUSION: {"occlusion": maps[OCCLUSION]}} if OCCLUSION in maps else {})


class CovariateRow(Row):
    """A covariate of a case. change: by how much a probability changes, the most of all classes, where the value is replaced by
    those of the other rows of the table, on average. share: of the changes of all covariates."""

    remedy: ClassVar[str] = "Remove the file, and run autoseg_predict again."

    covariate: str
    value: str
    change: float
    share: float | None

    @property
    def about(self) -> str:
        return f"{self.covariate} of case {self.case}"


class Explainer:
    """A classifier's networks beside others of the same shape with random weights."""

    def __init__(self, seer: Seer) -> None:
        """Raise AutosegError where captum is missing."""
        require_captum()
        self.seer = seer
        self._random = [randomized(network, number) for number, network in enumerate(seer.classifier.networks)]

    @property
    def target(self) -> Target:
        """Return what is told."""
        return self.seer.description.plans.target

    def maps(self, seen: np.ndarray, covariates: np.ndarray, case: str, occluded: bool = True) -> CaseMaps:
        """Return the maps of a case. The arguments are those of `Seer.look`; occluded: with occlusion, which takes hundreds of
        looks. Raises AutosegError where memory runs out."""
        image, given = self.seer.batch(seen, covariates)
        output, of = evidence_of(self.target, self.seer.probabilities(seen, covariates, case))
        with memory_errors_named(case, [seen.shape], self.seer.device):
            cams = [self._mean([self._grad_cam(network, image, given, output) for network in networks])
                    for networks in (self.seer.classifier.networks, self._random)]
            hidden = self._mean([self._occlusion(network, image, given, output)
                                 for network in self.seer.classifier.networks]) if occluded else None
        return CaseMaps(of, cams[0], cams[1], hidden)

    def _grad_cam(self, network: Classifier, image: torch.Tensor, given: torch.Tensor, output: int | None) -> torch.Tensor:
        size = self.seer.description.plans.size[-network.shape.encoder.dimensions:]
        return grad_cam(evidence(network, given, output), network.answer.encoder[-1], image, size)

    def _occlusion(self, network: Classifier, image: torch.Tensor, given: torch.Tensor, output: int | None) -> torch.Tensor:
        parts = WINDOWS[image.ndim - 2]
        window = [max(1, round(edge / parts)) for edge in image.shape[2:]]
        return occlusion(evidence(network, given, output), image, foreground_median(image), window)

    def _mean(self, found: Sequence[torch.Tensor]) -> np.ndarray:
        """Return the mean of maps (1, z, y, x), of slices (z, y, x) or of pictures (1, y, x), as (z, y, x)."""
        mean = torch.stack(list(found)).mean(0)
        values: np.ndarray = mean.reshape(self.seer.description.plans.size).cpu().numpy()
        return values


def evidence_of(target: Target, found: np.ndarray) -> tuple[int | None, str]:
    """Return which output is explained, and what it is evidence for: the second of two classes, else the most probable class or
    label; of classes in an order None, for all of their thresholds. found: (K,) probabilities."""
    if target.kind == "ordered":
        return None, f"a class nearer to {target.classes[-1]}"
    output = 1 if target.is_binary else int(found.argmax())
    return output, target.classes[output]


def evidence(network: Classifier, covariates: torch.Tensor, output: int | None) -> Evidence:
    """Return what gives the evidence of images (B, C, *spatial) with these covariates (1, D): the logarithm of the odds of a
    class or label against all others; of classes in an order the mean of those of "above"."""

    def of(images: torch.Tensor) -> torch.Tensor:
        logits = network.answers(images, covariates.expand(len(images), -1))
        if output is None:
            return logits.mean(1)
        if network.shape.kind == "labels":
            return logits[:, output]
        others = [index for index in range(logits.shape[1]) if index != output]
        return logits[:, output] - torch.logsumexp(logits[:, others], 1)

    return of


def columns_of(covariates: Sequence[Covariate]) -> dict[str, slice]:
    """Return which of the encoded numbers are those of each covariate."""
    found, start = dict[str, slice](), 0
    for covariate in covariates:
        found[covariate.name] = slice(start, start + width_of([covariate]))
        start = found[covariate.name].stop
    return found


def covariate_changes(
    seer: Seer, seen: np.ndarray, covariates: np.ndarray, others: np.ndarray, names: Sequence[Covariate]
) -> dict[str, float]:
    """Return by how much a probability changes, the most of all classes, where a covariate has the values of other cases: the
    mean over these (permutation, Breiman 2001). covariates: (D,) of the case, others: (M, D), as encoded; M at least 1."""
    image, _ = seer.batch(seen, covariates)
    rows = others[np.linspace(0, len(others) - 1, min(len(others), MOST_OTHERS)).astype(int)]
    with torch.inference_mode():
        features = [network(image) for network in seer.classifier.networks]

        def told(given: np.ndarray) -> np.ndarray:
            batch = torch.from_numpy(given).to(seer.device)
            found: np.ndarray = np.mean([
                _probabilities(network, [of.expand(len(given), -1) for of in its], batch, seer.calibration.temperature)
                for network, its in zip(seer.classifier.networks, features, strict=True)], axis=0)
            return found

        own, changes = told(covariates[None]), dict[str, float]()
        for name, columns in columns_of(names).items():
            given = np.repeat(covariates[None], len(rows), axis=0)
            given[:, columns] = rows[:, columns]
            changes[name] = float(np.abs(told(given) - own).max(1).mean())
    return changes


def covariate_rows(case: str, changes: dict[str, float], cells: Sequence[str]) -> list[CovariateRow]:
    """Return the rows of a case's table, the largest change first. cells: the covariates' texts, in the order of `changes`."""
    total = sum(changes.values())
    rows = [CovariateRow(case=case, covariate=name, value=text, change=round(change, 5),
                         share=round(change / total, 4) if total else None)
            for (name, change), text in zip(changes.items(), cells, strict=True)]
    return sorted(rows, key=lambda row: -row.change)


def _probabilities(
    network: Classifier, features: list[torch.Tensor], covariates: torch.Tensor, temperature: float
) -> np.ndarray:
    return probabilities(network.logits(features, covariates)[0].double().cpu().numpy(), network.shape.kind, temperature)
