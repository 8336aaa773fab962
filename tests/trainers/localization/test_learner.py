"""What a locator's network learns from a batch, and that a few steps teach it to find a ball, or to say that there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.dataset import Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.plan import Topology
from autoseg.tasks.localization.locator import LocatedImage, Locator
from autoseg.tasks.localization.model import LoadedLocator, LocatorDescription
from autoseg.tasks.localization.options import LocationSettings
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.localization.projecting import project_image
from autoseg.tasks.localization.store import StoredLevel
from autoseg.trainers.localization.batches import InMemory, LocatorBatch, LocatorBatches
from autoseg.trainers.localization.learner import LocatorLearner, locator_learner, locator_network
from autoseg.trainers.localization.settings import LocalizationSettings

CPU = torch.device("cpu")
SettingsOf = Callable[..., LocalizationSettings]
BALL_SLICES = 3  # on either side of its middle


def made_plans(**changes: Any) -> ProjectionPlans:
    """For volumes of 40 × 16 × 10 voxels of 1 mm, a pixel each, with a network of two stages."""
    source = Dataset(name="Made", folder=Path("made"), layout="nnunet", channel_names=("MRI",), file_ending=".nii.gz",
                     labels=Labels(values={"background": 0, "ball": 1}), training=())
    network = Topology(name="unet3plus", features=(8, 16), strides=((1, 1), (2, 2)), kernel_sizes=((3, 3), (3, 3)),
                       convs_per_stage=(1, 1), norm="batch")
    return ProjectionPlans.model_validate({
        "dataset": "Made", "versions": {}, "target": {"name": "ball", "labels": ("ball",)}, "axis": "z", "project": "x",
        "slab": 1.0, "channel_names": ("MRI",), "windows": (None,), "pixel_mm": 1.0, "size": (40, 16), "batch_size": 8,
        "epochs": 1, "network": network, "source": source, **changes})


def volume(random: np.random.Generator, slice_: int | None) -> Image:
    """Noise, and where it is wished a ball in the middle of that slice."""
    array = random.normal(200, 40, (40, 16, 10))
    if slice_ is not None:
        z, y, x = np.indices(array.shape)
        array[(z - slice_) ** 2 + (y - random.integers(5, 11)) ** 2 + (x - 5) ** 2 <= BALL_SLICES**2 + 1] += 400
    return Image(array[None].astype(np.float32), Geometry((1.0, 1.0, 1.0)))


def in_memory(image: Image, slice_: int | None, plans: ProjectionPlans) -> InMemory:
    projection = project_image(image, "case", plans)
    level = None
    if slice_ is not None:
        row = projection.placement.row_of(slice_)
        level = StoredLevel(row=row, top=row - BALL_SLICES, bottom=row + BALL_SLICES)
    return InMemory(torch.from_numpy(projection.channels), level)


def trained(settings: LocalizationSettings, is_true: bool, steps: int = 80) -> Locator:
    """On twelve volumes with a ball and four without. is_true: else the levels are those of other volumes."""
    plans, random = made_plans(), np.random.default_rng(1)
    slices: list[int | None] = [*map(int, random.integers(6, 34, 12)), *[None] * 4]
    called = slices if is_true else [*slices[5:12], *slices[:5], *slices[12:]]
    cases = [in_memory(volume(random, slice_), other, plans) for slice_, other in zip(slices, called, strict=True)]
    learner = locator_learner(plans, settings, CPU)
    for number, batch in enumerate(LocatorBatches(cases, plans.size, 8, settings, False, CPU).batches(0, steps)):
        learner.set_progress(number / steps)
        learner.training_step(batch)
    description = LocatorDescription(
        dataset="Made", plans=plans, network=locator_network(plans, settings), band=settings.band,
        location=LocationSettings(), recipe="locator", settings={}, versions={})
    return Locator(LoadedLocator(description, [learner.modules["network"].eval().requires_grad_(False)], ("0",)), CPU)


def located(locator: Locator) -> tuple[list[float], list[LocatedImage], list[LocatedImage]]:
    """Errors in slices in volumes of their own with a ball, and answers in those and in volumes without."""
    random = np.random.default_rng(99)
    truth = [8, 13, 19, 22, 27, 31]
    there = [locator.locate_image(volume(random, slice_), "case") for slice_ in truth]
    absent = [locator.locate_image(volume(random, None), "case") for _ in range(6)]
    return [abs(found.slice - slice_) for found, slice_ in zip(there, truth, strict=True)], there, absent


@pytest.fixture(scope="module")
def learning() -> LocalizationSettings:
    return LocalizationSettings(
        epochs=1, iterations=80, learning_rate=0.01, precision="float32", band=7.0, absent_share=0.2, window_share=0.2)


def test_a_few_steps_teach_it_to_find_a_ball_and_to_say_that_there_is_none(learning: LocalizationSettings) -> None:
    errors, there, absent = located(trained(learning, is_true=True))
    assert max(errors) < 1 and np.mean(errors) < 0.5
    assert all(answer.located.found for answer in there)
    assert not any(answer.located.found for answer in absent)
    assert min(answer.located.answer.confidence for answer in there) > 0.2 + max(
        answer.located.answer.confidence for answer in absent)


def test_from_levels_of_other_volumes_it_learns_nothing(learning: LocalizationSettings) -> None:
    """So the test above would notice a target that does not fit its picture."""
    errors, there, _ = located(trained(learning, is_true=False))
    assert np.mean(errors) > 2 or not any(answer.located.found for answer in there)


def batch_of(target: float = 1.0, samples: int = 2) -> LocatorBatch:
    image = torch.randn(samples, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    band = torch.zeros(samples, 1, 16, 16)
    band[:, :, 5:10] = target
    return LocatorBatch(image, band)


@pytest.mark.parametrize("changes", [
    {}, {"deep_supervision": True}, {"deep_supervision": True, "supervision": {"resolution": "level"}}, {"network": "unet"},
    {"network": "resunet"}, {"optimizer": "sgd", "learning_rate": 0.05}, {"norm": "instance"}, {"positive_weight": 5.0},
    {"precision": "bfloat16"},
])
def test_steps_lower_the_loss_with_every_setting(settings_of: SettingsOf, changes: dict[str, Any]) -> None:
    learner = locator_learner(made_plans(), settings_of(**{"learning_rate": 0.01, **changes}), CPU)
    losses = [learner.training_step(batch_of())["loss"] for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]
    assert learner.predict(batch_of().image)[0].shape == (2, 1, 16, 16)


class Constant(torch.nn.Module):
    """Puts out the same logits everywhere, at as many levels as it is given."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.values = torch.nn.Parameter(torch.tensor(logits))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        sizes = [(image.shape[2] // 2**level, image.shape[3] // 2**level) for level in range(len(self.values))]
        return [value.expand(len(image), 1, *size) for value, size in zip(self.values, sizes, strict=True)]


def test_the_loss_is_the_binary_cross_entropy_of_the_band_by_hand(settings_of: SettingsOf) -> None:
    """Probability p everywhere, the band 5 of 16 rows, of which a pixel may be covered in part."""
    p = 1 / (1 + np.exp(-0.3))
    for target, weight in ((1.0, 1.0), (0.25, 1.0), (1.0, 4.0)):
        share = target * 5 / 16
        learner = LocatorLearner(Constant(0.3), settings_of(positive_weight=weight), CPU)
        expected = -(weight * share * np.log(p) + (1 - share) * np.log(1 - p))
        assert learner.training_step(batch_of(target))["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("resolution", ["full", "level"])
def test_deep_supervision_is_the_mean_over_the_levels(settings_of: SettingsOf, resolution: str) -> None:
    def of_one(logit: float) -> float:
        p = 1 / (1 + np.exp(-logit))
        return float(-(5 / 16 * np.log(p) + 11 / 16 * np.log(1 - p)))

    band = batch_of()
    band.target[:, :, 4:10] = 1  # rows of the lower level, too
    learner = LocatorLearner(Constant(0.3, -0.4), settings_of(supervision={"weights": "equal", "resolution": resolution}), CPU)
    expected = np.mean([of_one(logit) + (-logit / 16) for logit in (0.3, -0.4)])  # a sixth row of the band
    assert learner.training_step(band)["loss"] == pytest.approx(expected, rel=1e-5)


def test_validation_counts_pixels_of_the_band(settings_of: SettingsOf) -> None:
    for logit, expected in ((2.0, [2 * 80, 2 * 176, 0]), (-2.0, [0, 0, 2 * 80])):
        values, counts = LocatorLearner(Constant(logit), settings_of(), CPU).validation_step(batch_of())
        assert counts.tolist() == [expected] and counts.dtype == torch.int64 and values["loss"] > 0


def test_a_network_that_there_is_not_is_refused(settings_of: SettingsOf) -> None:
    wrong = settings_of().model_copy(update={"network": "vnet"})
    with pytest.raises(AutosegError, match='There is no network "vnet"'):
        locator_network(made_plans(), wrong)


def test_the_same_seed_gives_the_same_network(settings_of: SettingsOf) -> None:
    def weights(seed: int) -> torch.Tensor:
        learner = locator_learner(made_plans(), settings_of(seed=seed), CPU)
        return torch.cat([parameter.flatten() for parameter in learner.modules["network"].parameters()])

    assert torch.equal(weights(3), weights(3)) and not torch.equal(weights(3), weights(4))
