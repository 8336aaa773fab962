"""One contract for every network with every loss, in 2D, in 3D and on coarse slices, for two classes and for five."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch

from autoseg.dataset import Dataset, Labels
from autoseg.files import write_json
from autoseg.networks import NETWORKS
from autoseg.plan import Configuration, Plans
from autoseg.tasks.localization.model import LocatorDescription, load_locator
from autoseg.tasks.localization.options import LocationSettings
from autoseg.tasks.localization.plan import ProjectionPlans, Target
from autoseg.tasks.segmentation.model import ModelDescription, load_model
from autoseg.topology.pooling import Pooling
from autoseg.topology.shapes import topology_of
from autoseg.trainers import localization, segmentation
from autoseg.trainers.checkpoint import load_state, save_state, save_weights
from autoseg.trainers.localization.batches import LocatorBatch
from autoseg.trainers.localization.learner import LocatorLearner, locator_network
from autoseg.trainers.losses import LOSSES
from autoseg.trainers.losses.targets import TrainingData
from autoseg.trainers.segmentation import SegmentationLearner, SegmentationSettings, segmentation_learner
from autoseg.trainers.segmentation.batches import Batch
from autoseg.trainers.segmentation.configure import effective_configuration
from autoseg.trainers.settings import with_changes
from autoseg.workspace import ModelFolder

CPU = torch.device("cpu")
GRIDS = {
    "2d": Pooling((16, 24), ((1, 1), (2, 2), (2, 2)), ((3, 3),) * 3, (4, 4)),
    "3d": Pooling((8, 8, 12), ((1, 1, 1), (2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 3, (4, 4, 4)),
    "anisotropic": Pooling((3, 16, 16), ((1, 1, 1), (1, 2, 2), (1, 2, 2)), ((1, 3, 3), (1, 3, 3), (3, 3, 3)), (1, 4, 4)),
}
EVERY = [pytest.param(*which, id="-".join(which)) for which in product(sorted(NETWORKS), GRIDS, sorted(LOSSES))]


def labels(classes: int) -> Labels:
    return Labels(values={"background": 0, **{f"class {value}": value for value in range(1, classes)}})


def configuration(network: str, grid: str) -> Configuration:
    pooling = GRIDS[grid]
    dimensions = len(pooling.patch_size)
    return Configuration(
        spacing_mm=(1.0,) * dimensions, median_shape=pooling.patch_size, patch_size=pooling.patch_size, batch_size=2,
        normalization=("zscore",), normalize_inside_mask=(False,), network=topology_of(network, pooling, 4))


def make(network: str, grid: str, loss: str, classes: int = 2, **changes: object) -> SegmentationLearner:
    plain = {"loss": loss, "learning_rate": 0.002, "momentum": 0.0, "precision": "float32"}
    settings = with_changes(SegmentationSettings(), plain | changes)
    planned, known = configuration(network, grid), labels(classes)
    effective = effective_configuration(planned, settings, known.output_channels)
    data = TrainingData(known, 1000 * classes, (1000,) * classes)
    return segmentation_learner(effective, data, settings, CPU)


def toy(grid: str, classes: int, samples: int = 2) -> Batch:
    """Blocks of every class, each as bright as its number."""
    size = GRIDS[grid].patch_size
    random = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, classes, (samples, 1, *(max(1, n // 4) for n in size)), generator=random).float()
    label = torch.nn.functional.interpolate(coarse, size, mode="nearest").to(torch.int16)
    return Batch(label.float() + 0.1 * torch.randn(label.shape, generator=random), label)


def gradients_are_finite(learner: SegmentationLearner) -> bool:
    found = [parameter.grad for parameter in learner.modules["network"].parameters() if parameter.grad is not None]
    return bool(found) and all(bool(torch.isfinite(gradient).all()) for gradient in found)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("network", "grid", "loss"), EVERY)
def test_a_step_lowers_the_loss(network: str, grid: str, loss: str, classes: int) -> None:
    learner, batch = make(network, grid, loss, classes), toy(grid, classes)
    losses = [learner.training_step(batch)["loss"] for _ in range(2)]
    assert losses[1] < losses[0]


@pytest.mark.parametrize(("network", "grid", "loss"), EVERY)
def test_ten_steps_lower_it_a_good_deal_more(network: str, grid: str, loss: str) -> None:
    learner, batch = make(network, grid, loss, optimizer="adam", learning_rate=0.003), toy(grid, 2)
    losses = [learner.training_step(batch)["loss"] for _ in range(11)]
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("network", "grid", "loss"), EVERY)
def test_gradients_are_finite_under_bfloat16_for_a_batch_of_one(network: str, grid: str, loss: str, classes: int) -> None:
    learner = make(network, grid, loss, classes, precision="bfloat16", gradient_clip=1e9)
    assert learner.training_step(toy(grid, classes, samples=1))["loss"] == pytest.approx(0, abs=1e3)  # a number
    assert gradients_are_finite(learner)


@pytest.mark.parametrize("values", [0, 1], ids=["background alone", "one class alone"])
@pytest.mark.parametrize(("network", "grid", "loss"), EVERY)
def test_extreme_logits_and_absent_classes_give_numbers(network: str, grid: str, loss: str, values: int) -> None:
    learner, batch = make(network, grid, loss, 5, learning_rate=1e-6), toy(grid, 5)
    with torch.no_grad():
        for name, parameter in learner.modules["network"].named_parameters():
            if "head" in name:
                parameter.mul_(1e5)
    only = Batch(batch.image, torch.full_like(batch.label, values))
    assert abs(learner.training_step(only)["loss"]) < 1e9
    assert gradients_are_finite(learner)
    assert all(bool(torch.isfinite(parameter).all()) for parameter in learner.modules["network"].parameters())


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_a_checkpoint_gives_the_same_predictions(network: str, grid: str, norm: str, tmp_path: Path) -> None:
    learner, batch = make(network, grid, "dice_ce", 5, norm=norm), toy(grid, 5)
    learner.training_step(batch)
    folder = ModelFolder(tmp_path / "models" / "c" / "default")
    save_weights(folder.fold(0).checkpoint_final, learner.modules, {})
    settings = learner.settings
    effective = effective_configuration(configuration(network, grid), settings, 5)
    plans = Plans(dataset="D", planner="default", transpose=(0, 1, 2), versions={}, foreground_intensities={},
                  configurations={"c": effective})
    description = ModelDescription(
        dataset="D", channel_names=("MRI",), labels=labels(5), file_ending=".nii.gz", configuration_name="c", plans=plans,
        recipe="default", settings=settings.model_dump(mode="json"), mirror_axes=(), versions={})
    write_json(folder.model_json, description)
    [loaded] = load_model(folder).networks
    with torch.inference_mode():
        assert torch.equal(loaded(batch.image)[0], learner.modules["network"].eval()(batch.image)[0])


@pytest.mark.parametrize("recipe", sorted(segmentation.RECIPES))
@pytest.mark.parametrize("grid", GRIDS)
def test_training_goes_on_from_its_state_to_the_same_weights(grid: str, recipe: str, tmp_path: Path) -> None:
    def begin() -> SegmentationLearner:
        settings = with_changes(segmentation.RECIPES[recipe].settings, {"base_features": 4, "precision": "float32"})
        effective = effective_configuration(configuration("unet", grid), settings, 2)
        data = TrainingData(labels(2), 100, (90, 10))
        built: SegmentationLearner = segmentation.RECIPES[recipe].build(effective, data, settings, CPU)
        return built

    unbroken, batch = begin(), toy(grid, 2)
    unbroken.training_step(batch)
    unbroken.end_epoch(1.0)
    save_state(tmp_path / "state.pt", unbroken.state_dict())
    resumed = begin()
    resumed.load_state_dict(load_state(tmp_path / "state.pt", CPU))
    for learner in (unbroken, resumed):
        learner.set_progress(0.5)
        learner.training_step(batch)
    for one, other in zip(unbroken.modules["network"].parameters(), resumed.modules["network"].parameters(), strict=True):
        assert torch.equal(one, other)


def locator_plans(network: str) -> ProjectionPlans:
    """Of projections of one channel on the 2D grid."""
    source = Dataset(name="D", folder=Path("D"), layout="nnunet", channel_names=("MRI",), file_ending=".nii.gz", labels=labels(2),
                     training=())
    return ProjectionPlans(
        dataset="D", versions={}, target=Target(name="class 1", labels=("class 1",)), axis="z", project="x", slab=1,
        channel_names=("MRI",), windows=(None,), pixel_mm=1, size=(16, 24), batch_size=2, epochs=1,
        network=topology_of(network, GRIDS["2d"], 4), source=source)


def locator_batch(plans: ProjectionPlans) -> LocatorBatch:
    """A bright band, which is to be found, in noise."""
    target = torch.zeros(2, 1, *plans.size)
    target[:, :, 6:11] = 1
    noise = torch.randn(2, plans.channels, *plans.size, generator=torch.Generator().manual_seed(0))
    return LocatorBatch(target + 0.1 * noise, target)


@pytest.mark.parametrize("recipe", sorted(localization.RECIPES))
@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_a_locator_learns_goes_on_from_its_state_and_answers_alike_from_its_weights(
    network: str, recipe: str, tmp_path: Path
) -> None:
    plans = locator_plans(network)
    settings = with_changes(localization.RECIPES[recipe].settings, {"precision": "float32", "deep_supervision": True})

    def begin() -> LocatorLearner:
        built: LocatorLearner = localization.RECIPES[recipe].build(plans, settings, CPU)
        return built

    unbroken, batch = begin(), locator_batch(plans)
    losses = [unbroken.training_step(batch)["loss"] for _ in range(8)]
    assert losses[-1] < losses[0]
    unbroken.end_epoch(1.0)
    save_state(tmp_path / "state.pt", unbroken.state_dict())
    resumed = begin()
    resumed.load_state_dict(load_state(tmp_path / "state.pt", CPU))
    for learner in (unbroken, resumed):
        learner.set_progress(0.5)
        learner.training_step(batch)
    for one, other in zip(unbroken.modules["network"].parameters(), resumed.modules["network"].parameters(), strict=True):
        assert torch.equal(one, other)
    folder = ModelFolder(tmp_path / "models" / "projection" / recipe)
    write_json(folder.model_json, LocatorDescription(
        dataset="D", plans=plans, network=locator_network(plans, settings), band=settings.band, location=LocationSettings(),
        recipe=recipe, settings=settings.model_dump(mode="json"), versions={}))
    save_weights(folder.fold(0).checkpoint_final, unbroken.modules, {})
    network_loaded, = load_locator(folder).networks
    with torch.inference_mode():
        assert torch.equal(network_loaded(batch.image)[0], unbroken.predict(batch.image)[0])


@pytest.mark.parametrize("grid", GRIDS)
def test_a_guided_network_learns_which_classes_there_are(grid: str) -> None:
    learner = make("unet3plus", grid, "dice_ce", 5, classification_guided=True, learning_rate=0.01, momentum=0.9)
    batch = toy(grid, 5)
    batch = Batch(batch.image, batch.label.clamp_max(2))
    for _ in range(70):
        learner.training_step(batch)
    network = learner.modules["network"].train()
    presence = torch.stack([network(batch.image)[-1].flatten(1) for _ in range(8)]).mean(0)  # over its dropout
    there = torch.tensor([[bool((sample == value).any()) for value in range(5)] for sample in batch.label])
    assert there.any() and not there.all()
    assert torch.equal(presence > 0, there)


@pytest.mark.parametrize("resolution", ["level", "full"])
@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_supervision_is_a_setting(network: str, deep: bool, resolution: str) -> None:
    learner = make(network, "anisotropic", "exp_log", 2, deep_supervision=deep, **{"supervision.resolution": resolution})
    batch = toy("anisotropic", 2)
    first = learner.training_step(batch)["loss"]
    assert learner.training_step(batch)["loss"] < first
