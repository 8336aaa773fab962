"""Losses of classes, of classes in an order, and of labels; and what weights and balanced draws change of the frequencies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from autoseg.tasks.classification.plan import UNKNOWN, Kind, Loss


def class_weights(counts: Sequence[int]) -> torch.Tensor:
    """Return N / (K n) of each class, (K,): all classes weigh the same in total; 1 for a class without cases."""
    there = [max(count, 1) for count in counts]
    return torch.tensor([sum(there) / (len(there) * count) for count in there])


def loss_of(
    logits: torch.Tensor, target: torch.Tensor, kind: Kind, loss: Loss, weights: torch.Tensor, gamma: float
) -> torch.Tensor:
    """Return the mean loss of a batch. logits: (B, outputs) float32. target: (B, 1) classes, or (B, L) labels. weights: of the
    classes (K,), or of the yes of each label (L,), where loss is "weighted".

    Labels that are not known count for nothing. Classes in an order: binary cross-entropy of "above k" for every k (Cao et al.
    2020).
    """
    if kind == "classes":
        log_probability = functional.log_softmax(logits, 1).gather(1, target)[:, 0]
        each = -log_probability
        if loss == "focal":
            each = each * (1 - log_probability.exp()) ** gamma
        return _weighted_mean(each, weights[target[:, 0]] if loss == "weighted" else torch.ones_like(each))
    if kind == "ordered":
        above = (target > torch.arange(logits.shape[1], device=logits.device)).float()
        each = _binary(logits, above, loss, gamma).mean(1)
        return _weighted_mean(each, weights[target[:, 0]] if loss == "weighted" else torch.ones_like(each))
    known, yes = (target != UNKNOWN).float(), (target == 1).float()
    each = _binary(logits, yes, loss, gamma)
    return _weighted_mean(each, known * (torch.where(target == 1, weights, 1.0) if loss == "weighted" else 1.0))


def _binary(logits: torch.Tensor, yes: torch.Tensor, loss: Loss, gamma: float) -> torch.Tensor:
    each = functional.binary_cross_entropy_with_logits(logits, yes, reduction="none")
    return each * (1 - torch.exp(-each)) ** gamma if loss == "focal" else each


def _weighted_mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(1e-6)


def label_weights(counts: Sequence[int], known: Sequence[int]) -> torch.Tensor:
    """Return the odds of no of each label, (L,): yes and no then weigh the same in total."""
    return torch.tensor([max(all_ - yes, 1) / max(yes, 1) for yes, all_ in zip(counts, known, strict=True)])


def prior_offset(counts: Sequence[int], kind: Kind, loss: Loss, weights: torch.Tensor, balanced: bool) -> torch.Tensor:
    """Return what is to be added to logits so that probabilities are those of the true frequencies (Saerens et al. 2002).

    counts: training cases of each class. Balanced draws and weights show the classes as often as each other; both together the
    rare ones more often. Of labels: yes was weighted. Of classes in an order, and where neither was done, nothing is added.
    """
    if kind == "labels":
        return -torch.log(weights) if loss == "weighted" else torch.zeros(len(counts))
    if kind == "ordered":
        return torch.zeros(len(counts) - 1)
    shown = torch.tensor([float(count > 0) if balanced else float(count) for count in counts])
    if loss == "weighted":
        shown = shown * weights
    true = torch.tensor([float(count) for count in counts])
    offset = torch.log((true / true.sum()).clamp_min(1e-6)) - torch.log((shown / shown.sum()).clamp_min(1e-6))
    return offset - offset.mean()
