"""The learner of a classifier: one or two branches, each by the loss of its own logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from autoseg.device import to_device
from autoseg.tasks.classification.covariates import width_of
from autoseg.tasks.classification.network import Classifier, ClassifierShape, build_classifier
from autoseg.tasks.classification.plan import UNKNOWN, ClassPlans
from autoseg.tasks.classification.probabilities import probabilities
from autoseg.tasks.classification.rows import decided
from autoseg.topology.shapes import reshaped
from autoseg.trainers.classification.batches import ClassBatch, InMemory
from autoseg.trainers.classification.losses import class_weights, label_weights, loss_of, prior_offset
from autoseg.trainers.classification.settings import ClassificationSettings
from autoseg.trainers.one_network import OneNetworkLearner


def classifier_learner(plans: ClassPlans, settings: ClassificationSettings, device: torch.device) -> ClassifierLearner:
    """Return a learner of the plans' network as the settings change it."""
    torch.manual_seed(settings.seed)
    shape = classifier_shape(plans, settings)
    network = build_classifier(shape)
    to_device(network, device, dimensions=shape.encoder.dimensions)
    return ClassifierLearner(network, plans, settings, device)


def classifier_shape(plans: ClassPlans, settings: ClassificationSettings) -> ClassifierShape:
    """Return the shape of the network that these settings train."""
    width = width_of(plans.covariates) if settings.covariates else 0
    return ClassifierShape(
        encoder=reshaped(plans.network, settings.network, settings.base_features, settings.norm),
        channels=len(plans.channel_names),
        outputs=plans.target.outputs, kind=plans.target.kind, covariates=width, hidden=settings.hidden,
        slices=plans.view == "slices",
        pooling=settings.pooling, dropout=settings.dropout, images_alone=bool(width) and settings.images_alone)


class ClassifierLearner(OneNetworkLearner):
    """A learner of a `Classifier` (see `autoseg.trainers.loop.Learner`). Its branches share nothing, so that each learns as if it
    were alone. `know` tells it what the training cases are like."""

    in_parts = False  # see `Learner`: the epoch is chosen by losses that one process sees

    def __init__(
        self, network: Classifier, plans: ClassPlans, settings: ClassificationSettings, device: torch.device
    ) -> None:
        super().__init__(network, settings, device)
        self.network, self.plans, self.kind = network, plans, plans.target.kind
        self.loss = settings.loss or plans.loss
        self.balanced = (settings.sampling or plans.sampling) == "balanced" and self.kind != "labels"
        self.gamma, self.corrects = settings.focal_gamma, settings.prior
        self.chooses, self.best, self.best_loss = settings.early > 0, dict[str, torch.Tensor](), math.inf
        self._losses: list[float] = []
        self.weights = torch.ones(len(plans.target.classes), device=device)

    def end_epoch(self, training_loss: float) -> None:
        """Take note that an epoch is over: where its online validation is the best so far, its weights are remembered."""
        super().end_epoch(training_loss)
        losses, self._losses = self._losses, []
        if self.chooses and losses and (mean := sum(losses) / len(losses)) < self.best_loss:
            self.best_loss = mean
            self.best = {name: values.detach().clone() for name, values in self.network.state_dict().items()}

    def take_best(self) -> None:
        """Go back to the weights of the epoch with the best online validation, where epochs are chosen."""
        if self.best:
            self.network.load_state_dict(self.best)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"best": self.best, "best_loss": self.best_loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.best, self.best_loss = dict(state["best"]), float(state["best_loss"])

    def know(self, cases: Sequence[InMemory], mean: torch.Tensor, std: torch.Tensor) -> None:
        """Take note of the training cases: how often each class is among them; mean and standard deviation (D,) of covariates."""
        targets = torch.stack([case.target for case in cases])
        classes = range(len(self.plans.target.classes))
        if self.kind == "labels":
            yes = [int((targets[:, label] == 1).sum()) for label in classes]
            counts, weights = yes, label_weights(yes, [int((targets[:, label] != UNKNOWN).sum()) for label in classes])
        else:
            counts = [int((targets[:, 0] == number).sum()) for number in classes]
            weights = class_weights(counts)
        self.weights = weights.to(self.device)
        if self.network.shape.covariates:
            self.network.mean.copy_(mean)
            self.network.std.copy_(std)
        if self.corrects:
            self.network.offset.copy_(prior_offset(counts, self.kind, self.loss, weights, self.balanced))

    def training_step(self, batch: ClassBatch) -> dict[str, float]:
        """Make one step with the gradient's norm held at `gradient_clip`."""
        return self.step(batch.image, lambda features: self._loss(features, batch).sum())

    def validation_step(self, batch: ClassBatch) -> tuple[dict[str, float], torch.Tensor]:
        """Return the loss of the branch that answers at the true frequencies, and true positive, false positive, false negative
        cases (classes, 3) int64."""
        features = self.predict(batch.image)
        with torch.inference_mode():
            logits = self.network.logits(features, batch.covariates)[0]
            loss = loss_of(logits, batch.target, self.kind, "cross_entropy", self.weights, self.gamma)
        target, truth = self.plans.target, batch.target.cpu()
        told = torch.from_numpy(decided(probabilities(logits.double().cpu().numpy(), self.kind), target))
        counts = torch.zeros(len(target.classes), 3, dtype=torch.int64)
        for number in range(len(target.classes)):
            its, says = (truth[:, number] == 1, told[:, number] == 1) if self.kind == "labels" else (
                truth[:, 0] == number, told[:, 0] == number)
            counts[number] = torch.stack([(its & says).sum(), (~its & says).sum(), (its & ~says).sum()])
        self._losses.append(loss.item())
        return {"loss": loss.item()}, counts

    def _loss(self, features: list[torch.Tensor], batch: ClassBatch) -> torch.Tensor:
        """Return the loss of each branch, (branches,)."""
        return torch.stack([loss_of(logits, batch.target, self.kind, self.loss, self.weights, self.gamma)
                            for logits in self.network.logits(features, batch.covariates)])
