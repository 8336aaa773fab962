"""Losses by name: each is called with logits (B, K, *spatial) and label values (B, 1, *spatial) and gives a scalar float32."""

from __future__ import annotations

from collections.abc import Callable

import torch

from autoseg.errors import AutosegError
from autoseg.trainers.losses import dice_ce, exp_log, hybrid
from autoseg.trainers.losses.targets import TrainingData
from autoseg.trainers.settings import LossSettings

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

LOSSES: dict[str, Callable[[LossSettings, TrainingData, bool], Loss]] = {
    "dice_ce": dice_ce.build,
    "exp_log": exp_log.build,
    "hybrid": hybrid.build,
}


def build_loss(settings: LossSettings, data: TrainingData, pool_batch: bool) -> Loss:
    """Return the loss that `settings.loss` names, for the dataset's labels. pool_batch: count a batch as one image.

    Raises AutosegError for an unknown name, and for settings of the loss that do not fit each other or the labels.
    """
    if settings.loss not in LOSSES:
        raise AutosegError(f'There is no loss "{settings.loss}". There are: {", ".join(LOSSES)}.')
    return LOSSES[settings.loss](settings, data, pool_batch)
