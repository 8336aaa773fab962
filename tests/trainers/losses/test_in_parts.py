"""Every loss of a batch that is computed in parts: value and gradient of the whole batch's, in parts of different sizes."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.plan import Topology
from autoseg.trainers.losses import LOSSES, build_loss
from autoseg.trainers.losses.targets import TrainingData
from autoseg.trainers.segmentation import SegmentationSettings
from autoseg.trainers.settings import SupervisionSettings
from autoseg.trainers.supervision import supervise
from autoseg.trainers.whole_batch import WholeBatch

LABELS = {
    "classes": Labels(values={"background": 0, "a": 1, "b": 2}),
    "ignore": Labels(values={"background": 0, "a": 1, "b": 2, "ignore": 3}, ignore=3),
    "regions": Labels(values={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2)),
    "regions, ignore": Labels(
        values={"background": 0, "whole": (1, 2), "core": (2,), "ignore": 3}, regions_class_order=(1, 2), ignore=3)}
PARTS = (slice(0, 1), slice(1, 3), slice(3, 6), slice(6, 7))
TWO_LEVELS = Topology(name="unet3plus", features=(2, 2), strides=((1, 1), (2, 2)), kernel_sizes=((3, 3),) * 2,
                      convs_per_stage=(1, 1), classification_guided=True)


@pytest.mark.parametrize(("name", "labels", "pool"), list(product(LOSSES, LABELS, (False, True))))
def test_parts_give_the_loss_and_the_gradient_of_the_whole(name: str, labels: str, pool: bool) -> None:
    its, random = LABELS[labels], torch.Generator().manual_seed(1)
    data = TrainingData(its, 1000, (1000 // its.output_channels,) * its.output_channels)
    loss = supervise(build_loss(SegmentationSettings(loss=name), data, pool), TWO_LEVELS, its,  # type: ignore[arg-type]
                     SupervisionSettings(weights="equal"))
    label = torch.randint(0, len(its.known_values), (7, 1, 8, 6), generator=random, dtype=torch.int16)
    if its.ignore is not None:
        label[2], label[3:5] = its.ignore, 1  # annotations that differ from part to part
    logits = [torch.randn(7, its.output_channels, *size, generator=random).requires_grad_() for size in ((8, 6), (4, 3), (1, 1))]
    whole = loss(logits, label)
    expected = torch.autograd.grad(whole, logits)

    batch, total = WholeBatch(7, in_parts=True), 0.0
    with torch.no_grad(), batch.first_pass():
        for part in PARTS:
            with batch.part(part.stop - part.start):
                loss([level[part] for level in logits], label[part])
    for part in PARTS:
        with batch.part(part.stop - part.start) as share:
            value = share * loss([level[part] for level in logits], label[part])
        value.backward()
        total += value.item()
    assert total == pytest.approx(whole.item(), rel=1e-5)
    for level, gradient in zip(logits, expected, strict=True):
        torch.testing.assert_close(level.grad, gradient, rtol=1e-4, atol=1e-7)
    assert batch.has_sums or not (pool or its.ignore is not None)
