"""Tiny locators with random weights, in folders as training leaves them, and one that sees what is bright."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autoseg.cli.predict import main
from autoseg.dataset import Dataset, Labels
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image
from autoseg.intensities import IntensityWindow
from autoseg.networks import build_network
from autoseg.plan import Topology
from autoseg.tasks.localization import INFO as LOCATION
from autoseg.tasks.localization.locator import Locator
from autoseg.tasks.localization.model import NETWORK, LoadedLocator, LocatorDescription
from autoseg.tasks.localization.options import LocationSettings
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.workspace import ModelFolder, Workspace

DATASET = "Dataset001_Tiny"
LEVEL = 13  # the slice in whose middle the bright band of `volume_with_level` lies
BAND = 5  # slices of it, and rows of its projection
NETWORK_SHAPE = Topology(
    name="unet3plus", features=(4, 8), strides=((1, 1), (2, 2)), kernel_sizes=((3, 3), (3, 3)), convs_per_stage=(1, 1),
    norm="batch")


def describe_locator(
    channels: int = 1, recipe: str = "locator", dataset: str = DATASET, axis: str = "z", project: str = "x",
    threshold: float = 0.5, zooms: tuple[float, ...] = (1.0,),
) -> LocatorDescription:
    """Of projections with pixels of 2 mm; intensities from 0 to 1000 become -1 to 1."""
    names = ("CT",) if channels == 1 else tuple(f"channel{c}" for c in range(channels))
    source = {"name": dataset, "folder": "/nowhere", "layout": "nnunet", "channel_names": names, "file_ending": ".nii.gz",
              "labels": Labels(values={"background": 0, "L3": 1}), "training": ()}
    plans = ProjectionPlans.model_validate({
        "dataset": dataset, "versions": {}, "target": {"name": "L3", "labels": ("L3",)}, "axis": axis, "project": project,
        "slab": 1.0, "channel_names": names, "windows": (IntensityWindow(low=0, high=1000),) * channels, "pixel_mm": 2.0,
        "size": (16, 16), "batch_size": 2, "epochs": 1, "network": NETWORK_SHAPE, "source": source})
    return LocatorDescription(
        dataset=dataset, plans=plans, network=NETWORK_SHAPE, band=BAND,
        location=LocationSettings(threshold=threshold, zooms=zooms), recipe=recipe, settings={}, versions={})


def save_locator(root: Path, description: LocatorDescription, folds: tuple[str, ...] = ("0",)) -> ModelFolder:
    """A locator's folder under root/models, with other random weights in each fold."""
    folder = ModelFolder(root / "models" / "projection" / description.called)
    write_json(folder.model_json, description)
    for seed, fold in enumerate(folds):
        torch.manual_seed(seed)
        network = build_network(description.network, description.inputs, classes=1)
        folder.fold(fold).root.mkdir(parents=True, exist_ok=True)
        weights = {f"{NETWORK}.{name}": values.clone() for name, values in network.state_dict().items()}
        save_file(weights, folder.fold(fold).checkpoint_final)
    return folder


@pytest.fixture(name="describe_locator")
def describe_locator_fixture() -> Callable[..., LocatorDescription]:
    return describe_locator


@pytest.fixture(name="save_locator")
def save_locator_fixture() -> Callable[..., ModelFolder]:
    return save_locator


class Place:
    """A workspace of Dataset001_Tiny that tests fill with locators."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)

    def add_locator(self, folds: tuple[str, ...] = ("0",), **described: Any) -> ModelFolder:
        folder, description = self.workspace.dataset(DATASET), describe_locator(**described)
        write_json(folder.plans_of(LOCATION), description.plans)
        return save_locator(folder.root, description, folds)

    def run(self, *words: object) -> int:
        """autoseg_predict in this workspace."""
        return main([*map(str, words), "--workspace", str(self.workspace.root), "--device", "cpu"])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "workspace")


def volume_with_level(level: int | None = LEVEL, channels: int = 1) -> Image:
    """20 × 6 × 8 voxels of 2 × 3 × 1.5 mm, (Z, Y, X) in DICOM's frame, 100 to 200 but for five slices of 1000 around `level`.

    Without `level`, there are none.
    """
    array = np.random.default_rng(0).integers(100, 200, (channels, 20, 6, 8)).astype(np.int16)
    if level is not None:
        array[:, level - BAND // 2:level + BAND // 2 + 1] = 1000
    return Image(array, Geometry((2.0, 3.0, 1.5), (5.0, -7.0, 11.0)))


@pytest.fixture(name="volume_with_level")
def volume_with_level_fixture() -> Callable[..., Image]:
    return volume_with_level


@pytest.fixture
def sees_what_is_bright(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locators answer 1 where the maximum is above 900, else 0."""
    monkeypatch.setattr(Locator, "_respond", lambda self, channels, case: (channels[1] > 0.8).astype(np.float32))


@pytest.fixture
def locator(sees_what_is_bright: None) -> Locator:
    """One that sees what is bright, without networks."""
    return Locator(LoadedLocator(describe_locator(), [], ("0",)), torch.device("cpu"))


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """A folder of three images: in "a" and "b" the level is at slices 13 and 5, in "c" it is not."""
    for name, level in (("a", LEVEL), ("b", 5), ("c", None)):
        image = volume_with_level(level)
        write_image(tmp_path / "in" / f"{name}.nii.gz", image.array, like=image)
    return tmp_path / "in"


ORIENTATIONS = list(product(permutations(range(3)), product((False, True), repeat=3)))
SMALL_NETWORK = Topology(
    name="unet3plus", features=(4, 8), strides=((1, 1), (2, 2)), kernel_sizes=((3, 3), (3, 3)), convs_per_stage=(1, 1))


@pytest.fixture
def projection_plans() -> Callable[..., ProjectionPlans]:
    """Plans for one channel, found along z and projected along x as a whole, 1 mm pixels, scaled image by image; with changes
    by keyword; `labels` are the dataset's."""

    def make(labels: dict[str, Any] | None = None, **changes: Any) -> ProjectionPlans:
        source = Dataset(
            name="Made", folder=Path("made"), layout="nnunet", channel_names=changes.get("channel_names", ("MRI",)),
            file_ending=".nii.gz", labels=Labels(values=labels or {"background": 0, "L3": 1}), training=())
        return ProjectionPlans.model_validate({
            "dataset": "Made", "versions": {}, "target": {"name": "L3", "labels": ("L3",)}, "axis": "z", "project": "x",
            "slab": 1.0, "channel_names": ("MRI",), "windows": (None,) * len(changes.get("channel_names", ("MRI",))),
            "pixel_mm": 1.0, "size": (16, 16), "batch_size": 2, "epochs": 1, "network": SMALL_NETWORK, "source": source,
            **changes})

    return make


def stored_otherwise(image: Image, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Image:
    """The same volume with its array axes (Z, Y, X) taken in another order, then some of them flipped.

    Every voxel stays where it is in the patient.
    """
    old, steps = image.geometry, {}
    for axis in range(3):  # of the array, Z first: its columns of the affine stand the other way round
        steps[axis] = np.reshape(old.direction, (3, 3))[:, 2 - axis]
    corner = np.array(old.origin_mm)
    for axis, flipped in zip(order, flips, strict=True):
        if flipped:
            corner = corner + (image.array.shape[axis + 1] - 1) * old.spacing_mm[axis] * steps[axis]
    signs = [-1 if flipped else 1 for flipped in flips]
    columns = [sign * steps[axis] for axis, sign in zip(order, signs, strict=True)][::-1]
    z, y, x = (old.spacing_mm[axis] for axis in order)
    array = image.array.transpose(0, *(axis + 1 for axis in order))[:, ::signs[0], ::signs[1], ::signs[2]]
    return Image(array, replace(old, spacing_mm=(z, y, x), origin_mm=tuple(map(float, corner)),
                                direction=tuple(map(float, np.stack(columns, 1).ravel()))))


@pytest.fixture
def in_every_orientation() -> Callable[[Image], Iterator[Image]]:
    """A function that gives a volume in all 48 ways in which an array can hold it."""
    return lambda image: (stored_otherwise(image, order, flips) for order, flips in ORIENTATIONS)
