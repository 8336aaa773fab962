"""Focal + MS-SSIM + IoU, from voxel to patch to whole map (UNet 3+; Huang et al. 2020)."""

from __future__ import annotations

import torch

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.trainers.losses.ms_ssim import ms_ssim
from autoseg.trainers.losses.targets import Comparison, TrainingData, power
from autoseg.trainers.settings import HybridSettings, LossSettings

SMOOTH = 1e-5


def build(settings: LossSettings, data: TrainingData, pool_batch: bool) -> Hybrid:
    """Focal + multi-scale structural similarity + IoU (UNet 3+; Huang et al. 2020)."""
    if settings.hybrid.focal_weight == settings.hybrid.ssim_weight == settings.hybrid.iou_weight == 0:
        raise AutosegError("hybrid.focal_weight, hybrid.ssim_weight and hybrid.iou_weight are all 0: nothing would be learned. "
                           "Raise one of them.")
    return Hybrid(data.labels, settings.hybrid, pool_batch)


class Hybrid:
    """focal_weight · focal + ssim_weight · (1 - MS-SSIM) + iou_weight · (1 - IoU).

    Focal covers the true label of every voxel, background included (regions: each of them). MS-SSIM and IoU are means over
    the foreground classes or regions. Voxels of the ignore label count in neither focal nor IoU; MS-SSIM takes prediction
    and target as 0 there.
    """

    def __init__(self, labels: Labels, settings: HybridSettings, pool_batch: bool) -> None:
        self.labels = labels
        self.settings = settings
        self.pool_batch = pool_batch

    def __call__(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return a scalar float32. logits: (B, K, *spatial). label: (B, 1, *spatial) integer."""
        compared = Comparison(logits, label, self.labels, self.pool_batch)
        settings, loss = self.settings, torch.zeros((), device=logits.device)
        if settings.focal_weight > 0:
            loss = loss + settings.focal_weight * focal(compared, settings.focal_gamma)
        if settings.ssim_weight > 0:
            loss = loss + settings.ssim_weight * (1 - mean_ms_ssim(compared, settings.ssim_window, settings.ssim_scales))
        if settings.iou_weight > 0:
            loss = loss + settings.iou_weight * (1 - soft_iou(compared))
        return loss


def focal(compared: Comparison, gamma: float) -> torch.Tensor:
    """Return the mean over voxels (and regions) of (1 - p)^gamma · -ln p, p of the true label (Lin et al. 2017)."""
    return compared.mean(power(compared.one_minus_p, gamma) * compared.cross_entropy)


def soft_iou(compared: Comparison) -> torch.Tensor:
    """Return the mean over foreground channels and images of |P∩T| / |P∪T|, a scalar in 0..1.

    A class that is absent and not predicted counts as 1.
    """
    probabilities, target = compared.foreground
    overlap = compared.total(probabilities * target)
    union = compared.total(probabilities) + compared.total(target) - overlap
    return ((overlap + SMOOTH) / (union + SMOOTH)).mean()


def mean_ms_ssim(compared: Comparison, window: int, scales: int) -> torch.Tensor:
    """Return the mean over foreground channels and images of the MS-SSIM of probabilities and targets, a scalar in 0..1."""
    probabilities, target = compared.foreground
    if compared.annotated is not None:
        probabilities = probabilities * compared.annotated
    return ms_ssim(probabilities, target, window, scales).mean()
