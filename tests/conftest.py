"""What tests share: real data where it is there, and small anisotropic cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autoseg.dataset import Labels
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from autoseg.plan import Configuration, Plans, Topology
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.workspace import ModelFolder

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Networks as small as these spend their time waiting for threads, above all where other tests run beside them."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets beside the checkout; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data is not here: {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """A dataset in nnU-Net's layout: three training cases and a test case of 4 × 6 × 5 voxels of 3 × 1 × 1 mm.

    Channel "MRI"; labels organ (1, a block of 8 voxels) and lesion (2, one voxel inside the case's corner).
    """
    folder = tmp_path / "Dataset001_Tiny"
    for number in range(4):
        image, label = tiny_case(number)
        kind = "Tr" if number < 3 else "Ts"
        write_image(folder / f"images{kind}" / f"tiny_{number}_0000.nii.gz", image.array, like=image)
        if kind == "Tr":
            write_label(folder / "labelsTr" / f"tiny_{number}.nii.gz", label, like=image)
    write_json(folder / "dataset.json", {
        "channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1, "lesion": 2}, "numTraining": 3,
        "file_ending": ".nii.gz",
    })
    return folder


def tiny_case(seed: int) -> tuple[Image, np.ndarray]:
    """Image (1, 4, 6, 5) int16, none of its voxels zero, and label (4, 6, 5) uint8."""
    image = np.random.default_rng(seed).integers(1, 1000, (1, 4, 6, 5)).astype(np.int16)
    label = np.zeros((4, 6, 5), np.uint8)
    label[1:3, 1:3, 1:3] = 1
    label[3, 5, 4] = 2
    return Image(image, Geometry((3.0, 1.0, 1.0), (10.0, -20.0, 30.0))), label


BALL_MM, UPSIDE_DOWN = 7.0, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


@pytest.fixture(scope="session")
def make_balls() -> Callable[..., Path]:
    """A function that writes a dataset of volumes with a bright ball at some height: `ball_case` of 0, 1, ... ."""

    def make(parent: Path, with_ball: int = 5, without: int = 1, name: str = "Dataset002_Balls") -> Path:
        folder = parent / name
        for number in range(with_ball + without):
            image, label = ball_case(number, number < with_ball)
            write_image(folder / "imagesTr" / f"ball_{number}_0000.nii.gz", image.array, like=image)
            write_label(folder / "labelsTr" / f"ball_{number}.nii.gz", label, like=image)
        write_json(folder / "dataset.json", {
            "channel_names": {"0": "MRI"}, "labels": {"background": 0, "ball": 1, "mark": 2}, "numTraining": with_ball + without,
            "file_ending": ".nii.gz"})
        return folder

    return make


def ball_case(seed: int, has_ball: bool = True) -> tuple[Image, np.ndarray]:
    """Image (1, 24, 12, 10) int16 of 3 × 2 × 2.5 mm, and label (24, 12, 10) uint8; every other one is stored from the head down.

    The ball (label 1) has 1000 where there is noise of 100 to 300 else, and lies 15 mm from the ends at least; the mark (label 2)
    is a voxel near one of them that cannot be seen.
    """
    random = np.random.default_rng(seed)
    array = random.integers(100, 300, (24, 12, 10)).astype(np.int16)
    label = np.zeros(array.shape, np.uint8)
    mm = np.stack(np.meshgrid(*(np.arange(n) * step for n, step in zip(array.shape, (3.0, 2.0, 2.5), strict=True)),
                              indexing="ij"), -1)
    centre = (random.uniform(15, 54), random.uniform(8, 14), 11.25)
    if has_ball:
        label[((mm - centre) ** 2).sum(-1) < BALL_MM ** 2] = 1
        array[label == 1] = 1000
    label[22, 6, 5] = 2
    if seed % 2:
        return Image(array[None, ::-1], Geometry((3.0, 2.0, 2.5), (10.0, -20.0, 30.0 + 23 * 3), UPSIDE_DOWN)), label[::-1]
    return Image(array[None], Geometry((3.0, 2.0, 2.5), (10.0, -20.0, 30.0))), label


Describe = Callable[..., ModelDescription]
WeightsOf = Callable[[ModelDescription], dict[str, torch.Tensor]]
SaveModel = Callable[..., ModelFolder]


def describe(
    channels: int = 1, classes: int = 3, patch_size: tuple[int, ...] = (8, 8, 8),
    transpose: tuple[int, int, int] = (0, 1, 2), mirror_axes: tuple[int, ...] = (), labels: Labels | None = None,
    spacing_mm: tuple[float, ...] | None = None,
) -> ModelDescription:
    """A model of `channels` channels that are taken as they are (no normalization), 1 mm apart."""
    dimensions = len(patch_size)
    topology = Topology(features=(4, 8), strides=((1,) * dimensions, tuple(2 - size % 2 for size in patch_size)),
                        kernel_sizes=((3,) * dimensions,) * 2, convs_per_stage=(1, 1))
    configuration = Configuration(
        spacing_mm=spacing_mm or (1.0,) * dimensions, median_shape=(16,) * dimensions, patch_size=patch_size, batch_size=2,
        normalization=("none",) * channels, normalize_inside_mask=(False,) * channels, network=topology)
    plans = Plans(dataset="Dataset001_Tiny", planner="default", transpose=transpose, versions={},
                  foreground_intensities={}, configurations={"tiny": configuration})
    return ModelDescription(
        dataset="Dataset001_Tiny", channel_names=tuple(f"channel{c}" for c in range(channels)),
        labels=labels or Labels(values={"background": 0, **{f"class{k}": k for k in range(1, classes)}}),
        file_ending=".nii.gz", configuration_name="tiny", plans=plans, recipe="default", settings={"epochs": 1},
        mirror_axes=mirror_axes, versions={})


def weights_of(description: ModelDescription) -> dict[str, torch.Tensor]:
    """Fresh weights, under the names that training gives them."""
    return {f"network.{name}": values for name, values in description.build().state_dict().items()}


def save_model(
    root: Path, description: ModelDescription, folds: tuple[str, ...] = ("0",), checkpoint: str = "final"
) -> ModelFolder:
    """A model folder with random weights, other ones in each fold."""
    folder = ModelFolder(root / "models" / description.configuration_name / description.recipe)
    write_json(folder.model_json, description)
    for seed, fold in enumerate(folds):
        torch.manual_seed(seed)
        folder.fold(fold).root.mkdir(parents=True, exist_ok=True)
        save_file(weights_of(description), folder.fold(fold).root / f"checkpoint_{checkpoint}.safetensors")
    return folder


@pytest.fixture(name="describe")
def describe_fixture() -> Describe:
    return describe


@pytest.fixture(name="weights_of")
def weights_of_fixture() -> WeightsOf:
    return weights_of


@pytest.fixture(name="save_model")
def save_model_fixture() -> SaveModel:
    return save_model
