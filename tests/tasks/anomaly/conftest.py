"""Tiny detectors with random weights, in folders as training leaves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autoseg.cli.predict import main
from autoseg.dataset import Dataset, Labels
from autoseg.evaluation.csv_table import write_rows
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.anomaly.dcgan import Discriminator, Encoder, GanShape, Generator
from autoseg.tasks.anomaly.model import DISCRIMINATOR, ENCODER, GENERATOR, AnomalyDescription
from autoseg.tasks.anomaly.options import SearchSettings
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.anomaly.scores import CaseScore
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace

SaveDetector = Callable[..., ModelFolder]


def describe_detector(
    channels: int = 1, axis: str | None = "axial", has_encoder: bool = True, spectral_norm: bool = False, recipe: str = "anogan",
    dataset: str = "Dataset001_Tiny", image_size: int = 16, **settings: Any,
) -> AnomalyDescription:
    """Of slices of 16 × 16 pixels; pictures where `axis` is None. settings: of its training. Its search takes 3 updates."""
    names = ("gray",) if channels == 1 else tuple(f"channel{c}" for c in range(channels))
    source = {"name": dataset, "folder": "/nowhere", "layout": "nnunet", "channel_names": names, "file_ending": ".nii.gz",
              "labels": Labels(values={"background": 0}), "training": ()}
    plans = SlicePlans.model_validate({
        "dataset": dataset, "versions": {}, "axis": axis, "image_size": image_size, "channel_names": names,
        "windows": (None,) * channels, "normal_by": "all", "source": source})
    return AnomalyDescription(
        dataset=dataset, plans=plans, gan=GanShape(image_size=image_size, channels=channels, latent=6, conv_layers=2, features=4),
        spectral_norm=spectral_norm, has_encoder=has_encoder, search=SearchSettings(search_steps=3), recipe=recipe,
        settings={"validation_slices": None, **settings}, versions={})


def save_detector(
    root: Path, description: AnomalyDescription, folds: tuple[str, ...] = ("0",), normal_scores: Sequence[float] = (),
) -> ModelFolder:
    """A detector's folder under root/models, with other random weights in each fold, and scores of normal and one abnormal
    validation cases where there are any."""
    folder, shape = ModelFolder(root / "models" / "slices" / description.called), description.gan
    write_json(folder.model_json, description)
    for seed, fold in enumerate(folds):
        torch.manual_seed(seed)
        networks = {GENERATOR: Generator(shape), DISCRIMINATOR: Discriminator(shape, description.spectral_norm)}
        if description.has_encoder:
            networks[ENCODER] = Encoder(shape)
        for network in networks.values():
            _strengthen(network)
        weights = {f"{prefix}.{name}": values.clone() for prefix, network in networks.items()
                   for name, values in network.state_dict().items()}
        folder.fold(fold).root.mkdir(parents=True, exist_ok=True)
        save_file(weights, folder.fold(fold).checkpoint_final)
        if normal_scores:
            scores = [CaseScore(case=f"n{fold}_{i}", score=score, mean=score, highest=score, highest_slice=0, slices=1,
                                truth="normal") for i, score in enumerate(normal_scores)]
            far = CaseScore(case=f"a{fold}", score=1e6, mean=1e6, highest=1e6, highest_slice=0, slices=1, truth="abnormal")
            write_rows(folder.fold(fold).validation / "scores.csv", CaseScore, [*scores, far])
    return folder


def _strengthen(network: torch.nn.Module) -> None:
    """Weights of N(0, 0.02²) give images that are nearly zero: larger ones, and statistics as training would leave them."""
    with torch.no_grad():
        for name, values in network.state_dict().items():
            if name.endswith(("weight", "original")) and values.dim() > 1:
                values.normal_(0, 0.3)
            elif name.endswith("running_mean"):
                values.normal_(0, 0.1)
            elif name.endswith("running_var"):
                values.uniform_(0.5, 1.5)


@pytest.fixture(name="describe_detector")
def describe_detector_fixture() -> Callable[..., AnomalyDescription]:
    return describe_detector


@pytest.fixture(name="save_detector")
def save_detector_fixture() -> SaveDetector:
    return save_detector


class Place:
    """A workspace of Dataset001_Tiny that tests fill with models: detectors of axial slices, and segmentation models."""

    def __init__(self, root: Path, describe: Any, save_model: Any) -> None:
        self.workspace = Workspace(root)
        self._describe, self._save_model = describe, save_model

    def folder(self, dataset: str = "Dataset001_Tiny") -> DatasetFolder:
        return self.workspace.dataset(dataset)

    def add_detector(
        self, recipe: str = "anogan", dataset: str = "Dataset001_Tiny", folds: tuple[str, ...] = ("0",),
        normal_scores: Sequence[float] = (), **described: Any,
    ) -> ModelFolder:
        description = describe_detector(recipe=recipe, dataset=dataset, **described)
        write_json(self.folder(dataset).plans_of(ANOMALY), description.plans)
        return save_detector(self.folder(dataset).root, description, folds, normal_scores)

    def add_segmentation(self, recipe: str = "default", dataset: str = "Dataset001_Tiny", channels: int = 1) -> ModelFolder:
        description = self._describe(channels=channels).model_copy(update={"recipe": recipe, "dataset": dataset})
        write_json(self.folder(dataset).plans_json, description.plans)
        folder: ModelFolder = self._save_model(self.folder(dataset).root, description)
        return folder

    def run(self, *words: object) -> int:
        """autoseg_predict in this workspace."""
        return main([*map(str, words), "--workspace", str(self.workspace.root), "--device", "cpu"])


@pytest.fixture
def place(tmp_path: Path, describe: Any, save_model: Any) -> Place:
    return Place(tmp_path / "workspace", describe, save_model)


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """A folder of two images of 4 × 18 × 16 voxels, "a" and "b"."""
    for seed, name in enumerate("ab"):
        array = np.random.default_rng(seed).normal(size=(1, 4, 18, 16)).astype(np.float32)
        write_image(tmp_path / "in" / f"{name}.nii.gz", array, Image(array, Geometry((3.0, 1.0, 1.0), (5.0, -7.0, 11.0))))
    return tmp_path / "in"


@pytest.fixture
def slice_plans() -> Callable[..., SlicePlans]:
    """Plans for gray images, 64 pixels, scaled image by image, with changes by keyword; `labels` are the dataset's."""

    def make(labels: dict[str, int] | None = None, **changes: Any) -> SlicePlans:
        source = Dataset(name="Made", folder=Path("made"), layout="nnunet", channel_names=("MRI",), file_ending=".nii.gz",
                         labels=Labels(values=labels or {"background": 0}, ignore=(labels or {}).get("ignore")), training=())
        wanted = {"dataset": "Made", "versions": {}, "axis": None, "image_size": 64, "channel_names": ("MRI",),
                  "windows": (None,), "normal_by": "all", "source": source, **changes}
        return SlicePlans(**wanted)

    return make
