"""Targets that every loss is computed from: logits beside the label, for classes and for regions, and how frequent labels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn import functional

from autoseg.dataset import Labels
from autoseg.trainers.whole_batch import whole_sum

TINY = 1e-30


@dataclass(frozen=True)
class TrainingData:
    """The facts of the training cases that a loss may use.

    labels: of the dataset. voxels: of all training cases on the configuration's grid, without those of the ignore label.
    class_voxels: those of each output channel: background first, then the classes by label value; or each region.
    """

    labels: Labels
    voxels: int
    class_voxels: tuple[int, ...]


def regions_of(label: torch.Tensor, regions: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """Return (B, regions, *spatial) float32 of 0 and 1 for a label (B, 1, *spatial) of class values."""
    inside = [torch.isin(label[:, 0], torch.as_tensor(values, device=label.device, dtype=label.dtype)) for values in regions]
    return torch.stack(inside, dim=1).float()


def outputs_of(label: torch.Tensor, labels: Labels) -> torch.Tensor:
    """Return the target of each output, (B, output channels, *spatial) float32 of 0 and 1, for a label (B, 1, *spatial).

    Classes: one-hot, the channel is the class value, background first. Regions: a channel for each. Voxels of the ignore
    label are 0 in all channels.
    """
    if labels.has_regions:
        return regions_of(label, list(labels.foreground.values()))
    one_hot = torch.zeros(len(label), labels.output_channels, *label.shape[2:], device=label.device)
    annotated = annotated_in(label, labels)
    if annotated is None:
        return one_hot.scatter_(1, label.long(), 1)
    return one_hot.scatter_(1, _classes(label, labels), annotated)


def annotated_in(label: torch.Tensor, labels: Labels) -> torch.Tensor | None:
    """Return (B, 1, *spatial) float32, 0 at voxels of the ignore label and 1 elsewhere; None where there is no such label."""
    return None if labels.ignore is None else (label != labels.ignore).float()


class Comparison:
    """A comparison of logits and label: softmax and cross-entropy for classes, sigmoid and its cross-entropy for regions.

    logits: (B, K, *spatial) of any float dtype, computed with as float32. label: (B, 1, *spatial) integer class values.
    pool_batch: count the whole batch as one image (where a patch alone holds too little). Voxels of the ignore label count
    in no sum and no mean.
    """

    def __init__(self, logits: torch.Tensor, label: torch.Tensor, labels: Labels, pool_batch: bool) -> None:
        self.logits = logits.float()
        self.label = label
        self.labels = labels
        self.pool_batch = pool_batch
        self.axes = ([0] if pool_batch else []) + list(range(2, label.ndim))
        self.annotated = annotated_in(label, labels)

    @cached_property
    def target(self) -> torch.Tensor:
        """Return (B, K, *spatial) of 0 and 1; all 0 at voxels of the ignore label."""
        return outputs_of(self.label, self.labels)

    @cached_property
    def classes(self) -> torch.Tensor:
        """Return the channel of the true class, (B, 1, *spatial) int64, where there are no regions; 0 at the ignore label."""
        return _classes(self.label, self.labels)

    @cached_property
    def probabilities(self) -> torch.Tensor:
        """Return the probabilities, (B, K, *spatial)."""
        return torch.sigmoid(self.logits) if self.labels.has_regions else self._log_softmax.exp()

    @cached_property
    def foreground(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return probabilities and targets of all channels but the background's."""
        first = 0 if self.labels.has_regions else 1
        return self.probabilities[:, first:], self.target[:, first:]

    @cached_property
    def cross_entropy(self) -> torch.Tensor:
        """Return -ln p of the true label of each voxel, (B, 1, *spatial), or of each region, (B, K, *spatial); exact to 1e-7."""
        if self.labels.has_regions:
            return functional.binary_cross_entropy_with_logits(self.logits, self.target, reduction="none")
        return functional.nll_loss(self._log_softmax, self.classes[:, 0], reduction="none")[:, None]

    @cached_property
    def one_minus_p(self) -> torch.Tensor:
        """Return 1 - p of the true label, shaped as `cross_entropy`, with a small relative error; no float32 p lies in 1 - 6e-8
        .. 1."""
        return torch.sigmoid(self._logit_of_opposite) if self.labels.has_regions else self._p_of_others.sum(1, keepdim=True)

    @cached_property
    def error(self) -> torch.Tensor:
        """Return |probability - target|, (B, K, *spatial), with a small relative error; undefined at the ignore label."""
        return self.one_minus_p if self.labels.has_regions else self._p_of_others + self.target * self.one_minus_p

    @cached_property
    def minus_log_p(self) -> torch.Tensor:
        """Return -ln p as `cross_entropy` does, with a small relative error: its roots and powers are right near p = 1, too."""
        if self.labels.has_regions:
            return functional.softplus(self._logit_of_opposite)
        return torch.where(self.one_minus_p < 0.5, -torch.log1p(-self.one_minus_p.clamp(max=0.5)), self.cross_entropy)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over annotated voxels of (B, K, *spatial): (B, K), or (K,) where the batch is one image."""
        total = (values if self.annotated is None else values * self.annotated).sum(self.axes)
        return whole_sum(total) if self.pool_batch else total

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean over channels and annotated voxels of (B, channels, *spatial), a scalar; 0 where there are none."""
        if self.annotated is None:
            return values.mean()
        return whole_sum((values * self.annotated).sum()) / whole_sum(self.annotated.sum() * values.shape[1]).clamp_min(1)

    @cached_property
    def _p_of_others(self) -> torch.Tensor:
        """Return the probabilities of all classes but the true one, which has 0."""
        return self.probabilities.scatter(1, self.classes, 0)

    @cached_property
    def _logit_of_opposite(self) -> torch.Tensor:
        """Return for each region the logit of the opposite of the target."""
        return self.logits * (1 - 2 * self.target)

    @cached_property
    def _log_softmax(self) -> torch.Tensor:
        return functional.log_softmax(self.logits, dim=1)


def power(values: torch.Tensor, exponent: float) -> torch.Tensor:
    """Return values^exponent of values >= 0, with a finite gradient at 0, too: below 1e-30 they count as that and have none."""
    return values.clamp_min(TINY).pow(exponent)


def _classes(label: torch.Tensor, labels: Labels) -> torch.Tensor:
    classes = label.long()
    return classes if labels.ignore is None else torch.where(classes != labels.ignore, classes, 0)
