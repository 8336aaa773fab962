"""One contract for every loss: in 2D, in 3D and on coarse slices, for classes, regions and ignored voxels."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.trainers.losses import LOSSES, Loss, build_loss
from autoseg.trainers.losses.targets import TrainingData, outputs_of
from autoseg.trainers.segmentation import SegmentationSettings
from autoseg.trainers.settings import HybridSettings

SHAPES = {"2d": (24, 20), "3d": (12, 10, 14), "anisotropic": (3, 24, 20), "one slice": (1, 12, 13), "one voxel": (1, 1, 1)}
LABELS = {
    "2 classes": Labels(values={"background": 0, "a": 1}),
    "5 classes": Labels(values={"background": 0, "a": 1, "b": 2, "c": 3, "d": 4}),
    "ignore": Labels(values={"background": 0, "a": 1, "b": 2, "ignore": 3}, ignore=3),
    "regions": Labels(values={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2)),
    "regions, ignore": Labels(
        values={"background": 0, "whole": (1, 2), "core": (2,), "ignore": 3}, regions_class_order=(1, 2), ignore=3),
}
EVERY = [pytest.param(*which, id="-".join(which)) for which in product(sorted(LOSSES), SHAPES, LABELS)]
LARGE = [which for which in EVERY if "one " not in str(which.id)]


def loss_of(name: str, shape: str, labels: str) -> Loss:
    outputs = LABELS[labels].output_channels
    data = TrainingData(LABELS[labels], 1000, tuple(1000 // outputs for _ in range(outputs)))
    return build_loss(SegmentationSettings(loss=name), data, len(SHAPES[shape]) == 2)  # type: ignore[arg-type]


def blocks(shape: str, labels: str, samples: int = 1) -> torch.Tensor:
    """Blocks of every label value, the ignore label among them."""
    size, random = SHAPES[shape], torch.Generator().manual_seed(1)
    values = len(LABELS[labels].known_values)
    coarse = torch.randint(0, values, (samples, 1, *((n + 3) // 4 for n in size)), generator=random).float()
    return torch.nn.functional.interpolate(coarse, size, mode="nearest").to(torch.int16)


def noise(shape: str, labels: str, samples: int = 1) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    return torch.randn(samples, LABELS[labels].output_channels, *SHAPES[shape], generator=random)


def perfect(label: torch.Tensor, labels: str, size: float) -> torch.Tensor:
    """Logits that are sure of the truth."""
    return size * (2 * outputs_of(label, LABELS[labels]) - 1)


def value_and_gradient(loss: Loss, logits: torch.Tensor, label: torch.Tensor) -> tuple[float, torch.Tensor]:
    logits = logits.clone().requires_grad_()
    value = loss(logits, label)
    assert value.shape == () and value.dtype == torch.float32
    value.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return value.item(), logits.grad


def is_finite(value: float, gradient: torch.Tensor) -> bool:
    return bool(torch.isfinite(torch.tensor(value))) and bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("name", "shape", "labels"), EVERY)
def test_value_and_gradient_are_finite(name: str, shape: str, labels: str, dtype: torch.dtype) -> None:
    for samples in (1, 2):
        logits = noise(shape, labels, samples).to(dtype)
        assert is_finite(*value_and_gradient(loss_of(name, shape, labels), logits, blocks(shape, labels, samples)))


@pytest.mark.parametrize("size", [10.0, 17.0, 40.0, 88.0, 103.0, 1e4, 6e4])
@pytest.mark.parametrize(("name", "shape", "labels"), EVERY)
def test_extreme_logits_give_finite_values_and_gradients(name: str, shape: str, labels: str, size: float) -> None:
    loss, label = loss_of(name, shape, labels), blocks(shape, labels)
    for logits in (perfect(label, labels, size), -perfect(label, labels, size), size * noise(shape, labels).sign()):
        assert is_finite(*value_and_gradient(loss, logits, label))


@pytest.mark.parametrize(("name", "shape", "labels"), EVERY)
def test_absent_classes_give_finite_values_and_gradients(name: str, shape: str, labels: str) -> None:
    loss, known = loss_of(name, shape, labels), LABELS[labels].known_values
    for value in known:  # the last may be the ignore label: nothing at all is known
        label = torch.full((1, 1, *SHAPES[shape]), value, dtype=torch.int16)
        for logits in (noise(shape, labels), perfect(label, labels, 1e4), -perfect(label, labels, 1e4)):
            assert is_finite(*value_and_gradient(loss, logits, label))


@pytest.mark.parametrize(("name", "shape", "labels"), EVERY)
def test_no_prediction_is_better_than_the_perfect_one(name: str, shape: str, labels: str) -> None:
    loss, label = loss_of(name, shape, labels), blocks(shape, labels)
    best = loss(perfect(label, labels, 60), label).item()
    assert best == pytest.approx(0, abs=1e-4)
    assert best < loss(noise(shape, labels), label).item()


@pytest.mark.parametrize(("name", "shape", "labels"), LARGE)
def test_gradient_descent_on_the_logits_finds_the_minimum(name: str, shape: str, labels: str) -> None:
    loss, label = loss_of(name, shape, labels), blocks(shape, labels)
    logits = noise(shape, labels).requires_grad_()
    optimizer = torch.optim.Adam([logits], 0.3)
    first = loss(logits, label).item()
    for _ in range(100):
        optimizer.zero_grad()
        loss(logits, label).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss(logits, label).item() < 0.1 * first


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("labels", ["ignore", "regions, ignore"])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_what_is_predicted_at_ignored_voxels_changes_nothing(name: str, shape: str, labels: str) -> None:
    loss, label, logits = loss_of(name, shape, labels), blocks(shape, labels), noise(shape, labels)
    ignored = label == 3
    changed = torch.where(ignored, 50 * logits.flip(1) + 7, logits)
    value, gradient = value_and_gradient(loss, logits, label)
    assert loss(changed, label).item() == pytest.approx(value, abs=1e-6)
    assert (gradient * ignored == 0).all()


@pytest.mark.parametrize("labels", ["ignore", "regions, ignore"])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_ignored_voxels_might_as_well_not_be_there(name: str, labels: str) -> None:
    """Of MS-SSIM, a window of one voxel; it alone sees ignored voxels, as background that is not predicted, and is off here."""
    data = TrainingData(LABELS[labels], 1000, (300,) * LABELS[labels].output_channels)
    settings = SegmentationSettings(loss=name, hybrid=HybridSettings(ssim_weight=0))  # type: ignore[arg-type]
    loss, random = build_loss(settings, data, True), torch.Generator().manual_seed(0)
    label, logits = torch.tensor([[[[0, 1, 2, 0, 1]]]]), torch.randn(1, data.labels.output_channels, 1, 9, generator=random)
    with_ignored = torch.cat([label, torch.full((1, 1, 1, 4), 3)], dim=3)
    assert loss(logits, with_ignored).item() == pytest.approx(loss(logits[..., :5], label).item(), abs=1e-6)


def test_an_unknown_loss_is_refused_with_those_that_there_are() -> None:
    settings = SegmentationSettings.model_construct(loss="dice")  # type: ignore[arg-type]
    with pytest.raises(AutosegError, match='no loss "dice". There are: dice_ce, exp_log, hybrid'):
        build_loss(settings, TrainingData(LABELS["2 classes"], 10, (5, 5)), False)


def test_every_loss_says_what_it_is() -> None:
    assert all(build.__doc__ for build in LOSSES.values())
