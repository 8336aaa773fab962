"""Focal, IoU and their sum with MS-SSIM against answers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.trainers.losses import build_loss
from autoseg.trainers.losses.hybrid import Hybrid, focal, mean_ms_ssim, soft_iou
from autoseg.trainers.losses.ms_ssim import ms_ssim
from autoseg.trainers.losses.targets import Comparison, TrainingData
from autoseg.trainers.segmentation import SegmentationSettings
from autoseg.trainers.settings import HybridSettings

TWO = Labels(values={"background": 0, "a": 1})
REGIONS = Labels(values={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))
LOGITS = torch.tensor([[[[0.2, 0.6]], [[0.8, 0.4]]]]).log()
LABEL = torch.tensor([[[[1, 0]]]])


def test_focal_of_two_voxels_by_hand() -> None:
    compared = Comparison(LOGITS, LABEL, TWO, pool_batch=False)
    assert focal(compared, 2).item() == pytest.approx(-(0.2**2 * math.log(0.8) + 0.4**2 * math.log(0.6)) / 2, abs=1e-6)
    assert focal(compared, 0).item() == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2, abs=1e-6)


def test_focal_of_regions_by_hand() -> None:
    compared = Comparison(torch.tensor([0.8, 0.3]).logit().reshape(1, 2, 1, 1), LABEL[..., :1], REGIONS, pool_batch=False)
    assert focal(compared, 2).item() == pytest.approx(-(0.2**2 * math.log(0.8) + 0.3**2 * math.log(0.7)) / 2, abs=1e-6)


def test_iou_of_two_voxels_by_hand() -> None:
    assert soft_iou(Comparison(LOGITS, LABEL, TWO, pool_batch=False)).item() == pytest.approx(0.8 / (1.2 + 1 - 0.8), abs=1e-4)


def test_an_absent_class_that_is_not_predicted_has_an_iou_of_one() -> None:
    logits = torch.tensor([[[[50.0, 50.0]], [[-50.0, -50.0]]]])
    assert soft_iou(Comparison(logits, torch.zeros_like(LABEL), TWO, pool_batch=False)).item() == pytest.approx(1, abs=1e-4)


def test_the_loss_of_two_voxels_by_hand() -> None:
    """Two voxels hold no window: of MS-SSIM only the mean luminance term is left."""
    luminance = ((1.6 + 1e-4) / (1.64 + 1e-4) + 1e-4 / (0.16 + 1e-4)) / 2
    expected = -(0.2**2 * math.log(0.8) + 0.4**2 * math.log(0.6)) / 2 + 2 * (1 - luminance) + 3 * (1 - 0.8 / 1.4)
    settings = HybridSettings(ssim_weight=2, iou_weight=3)
    assert Hybrid(TWO, settings, pool_batch=False)(LOGITS, LABEL).item() == pytest.approx(expected, abs=1e-4)


def test_similarity_takes_foreground_classes_and_all_regions() -> None:
    logits, label = torch.randn(2, 2, 16, 16), torch.randint(0, 2, (2, 1, 16, 16))
    of_classes = mean_ms_ssim(Comparison(logits, label, TWO, pool_batch=True), 11, 5)
    assert of_classes.item() == pytest.approx(ms_ssim(torch.softmax(logits, 1)[:, 1:], label.float()).mean().item(), abs=1e-6)
    of_regions = mean_ms_ssim(Comparison(logits, label, REGIONS, pool_batch=True), 11, 5)
    target = torch.cat([label > 0, label == 2], 1).float()
    assert of_regions.item() == pytest.approx(ms_ssim(torch.sigmoid(logits), target).mean().item(), abs=1e-6)


def test_all_terms_off_are_refused() -> None:
    settings = SegmentationSettings(loss="hybrid", hybrid=HybridSettings(focal_weight=0, ssim_weight=0, iou_weight=0))
    with pytest.raises(AutosegError, match="are all 0"):
        build_loss(settings, TrainingData(TWO, 10, (5, 5)), False)
