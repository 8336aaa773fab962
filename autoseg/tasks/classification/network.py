"""A classifier's networks: a planned encoder, global pooling, covariates through a small MLP, and a linear head."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from autoseg.networks.blocks import initialize_he
from autoseg.networks.resunet import residual_encoder
from autoseg.networks.unet import plain_encoder
from autoseg.plan import Frozen, Topology
from autoseg.tasks.classification.plan import Kind

ENCODERS = {"unet": plain_encoder, "resunet": residual_encoder}
ATTENTION = 64  # width of the attention over slices
Pooling = Literal["mean", "max", "both"]


class ClassifierShape(Frozen):
    """The shape of a classifier. encoder: whose encoder is used. channels: of the image. outputs: logits. kind: of the target.
    covariates: numbers that they become, 0 for none. hidden: width of their MLP. slices: whether each slice of a volume is seen
    alone. pooling: over the voxels. dropout: share of the features that is left out in training. images_alone: whether a second
    branch sees the image without covariates, to tell what these add; it is trained beside the first."""

    encoder: Topology
    channels: int = Field(ge=1)
    outputs: int = Field(ge=1)
    kind: Kind
    covariates: int = Field(0, ge=0)
    hidden: int = Field(16, ge=1, le=4096)
    slices: bool = False
    pooling: Pooling = "both"
    dropout: float = Field(0.0, ge=0, lt=1)
    images_alone: bool = False


class GatedAttention(nn.Module):
    """Attention-based pooling of instances (Ilse et al. 2018, the gated form): (B, N, F) -> (B, F), and weights (B, N)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(features, ATTENTION), nn.Linear(features, ATTENTION)
        self.weight = nn.Linear(ATTENTION, 1)

    def forward(self, instances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = self.weight(torch.tanh(self.value(instances)) * torch.sigmoid(self.gate(instances)))[..., 0]
        weights = torch.softmax(scores.float(), dim=1)
        return (weights[..., None] * instances).sum(1), weights


class OrderedHead(nn.Module):
    """Logits of "above class k" that share one direction and fall with k: (B, F) -> (B, K - 1) (CORAL, Cao et al. 2020, with
    thresholds that are in order by construction)."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1, bias=False)
        self.first = nn.Parameter(torch.full((1,), 0.5))
        self.steps = nn.Parameter(torch.zeros(outputs - 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        lower = functional.pad(functional.softplus(self.steps).cumsum(0), (1, 0))
        found: torch.Tensor = self.score(features) + self.first - lower
        return found


class Branch(nn.Module):
    """One network: what it makes of an image, and with covariates of a case."""

    def __init__(self, shape: ClassifierShape, covariates: int) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = nn.ModuleList(ENCODERS[shape.encoder.name](shape.encoder, shape.channels))
        initialize_he(self)
        features = shape.encoder.features[-1] * (2 if shape.pooling == "both" else 1)
        self.attention = GatedAttention(features) if shape.slices else None
        self.mlp = nn.Sequential(
            nn.Linear(covariates, shape.hidden), nn.ReLU(), nn.Linear(shape.hidden, shape.hidden), nn.ReLU()
        ) if covariates else None
        joined = features + (shape.hidden if covariates else 0)
        self.head: nn.Module = OrderedHead(joined, shape.outputs) if shape.kind == "ordered" else nn.Linear(joined, shape.outputs)

    def encoded(self, image: torch.Tensor) -> torch.Tensor:
        """Return the encoder's last features: (B, C, *spatial) -> (B, F, *coarse)."""
        for stage in self.encoder:
            image = stage(image)
        return image

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return pooled features (B, F) of an image (B, C, *spatial); of a volume seen by slices, (B, C, N, y, x)."""
        if self.attention is None:
            return self._pooled(self.encoded(image))
        batch, channels, slices = image.shape[:3]
        apart = image.transpose(1, 2).reshape(batch * slices, channels, *image.shape[3:])
        pooled: torch.Tensor = self.attention(self._pooled(self.encoded(apart)).reshape(batch, slices, -1))[0]
        return pooled

    def logits(self, features: torch.Tensor, covariates: torch.Tensor | None) -> torch.Tensor:
        """Return logits (B, outputs) float32. covariates: standardized, (B, D); None for an image alone."""
        joined = functional.dropout(features.float(), self.shape.dropout, self.training)
        if self.mlp is not None and covariates is not None:
            joined = torch.cat((joined, self.mlp(covariates)), 1)
        found: torch.Tensor = self.head(joined)
        return found

    def _pooled(self, features: torch.Tensor) -> torch.Tensor:
        flat = features.flatten(2).float()
        parts = {"mean": [flat.mean(2)], "max": [flat.amax(2)], "both": [flat.mean(2), flat.amax(2)]}
        return torch.cat(parts[self.shape.pooling], 1)


class Classifier(nn.Module):
    """The branches of a classifier: the one that answers, and where there are covariates, one that sees the image alone.

    mean, std: of the covariates over the training cases. offset: added to logits in prediction, so that probabilities are those
    of the classes as often as they are in truth, where the training showed rare ones more often or weighted them more (Saerens et
    al. 2002). They are stored with the weights, as each fold has its own.
    """

    mean: torch.Tensor
    std: torch.Tensor
    offset: torch.Tensor

    def __init__(self, shape: ClassifierShape) -> None:
        super().__init__()
        self.shape = shape
        self.answer = Branch(shape, shape.covariates)
        self.image = Branch(shape, 0) if shape.images_alone and shape.covariates else None
        self.register_buffer("mean", torch.zeros(shape.covariates))
        self.register_buffer("std", torch.ones(shape.covariates))
        self.register_buffer("offset", torch.zeros(shape.outputs))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return the pooled features of each branch, (B, F) float32."""
        return [branch(image) for branch in self.branches]

    @property
    def branches(self) -> list[Branch]:
        """Return the branch that answers, then the one that sees the image alone, where there is one."""
        return [self.answer] if self.image is None else [self.answer, self.image]

    def logits(self, features: list[torch.Tensor], covariates: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of each branch, (B, outputs) float32. covariates: (B, D) as encoded, nan where missing."""
        scaled = self._scaled(covariates)
        found = [branch.logits(of, scaled) for branch, of in zip(self.branches, features, strict=True)]
        return found if self.training else [logits + self.offset for logits in found]

    def answers(self, image: torch.Tensor, covariates: torch.Tensor) -> torch.Tensor:
        """Return the logits of the branch that answers, (B, outputs) float32, in prediction. image: (B, C, *spatial)."""
        return self.answer.logits(self.answer(image), self._scaled(covariates)) + self.offset

    def _scaled(self, covariates: torch.Tensor) -> torch.Tensor:
        return torch.nan_to_num((covariates - self.mean) / self.std, nan=0.0)


def build_classifier(shape: ClassifierShape) -> Classifier:
    """Return a classifier with random weights; its encoder is that of the named network."""
    return Classifier(shape)
