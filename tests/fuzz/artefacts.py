"""What autoseg writes and reads again, good: JSON of every kind, stored cases, weights, states."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from autoseg.api.exchange import model_folders
from autoseg.api.exporting import export_models
from autoseg.dataset import Case, Dataset, Labels
from autoseg.files import write_json
from autoseg.fingerprint import Fingerprint
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image
from autoseg.image_io.tiff import TiffHeader
from autoseg.networks import build_network
from autoseg.plan import Configuration, Plans, Topology
from autoseg.postprocessing.selection import candidate_rules
from autoseg.preprocessing.store import CaseProperties
from autoseg.provenance import Origin, OutputFolder
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.localization.plan import ProjectionPlans, Target
from autoseg.tasks.segmentation.model import ModelDescription, load_model
from autoseg.tasks.segmentation.store import open_volume, write_volume
from autoseg.trainers.checkpoint import load_state, save_state, save_weights
from autoseg.trainers.splits import load_or_make_splits
from autoseg.workspace import ModelFolder, read_model

LABELS = Labels(values={"background": 0, "organ": 1, "lesion": 2})
CASES = tuple(f"case_{number}" for number in range(6))
VERSIONS = {"autoseg": "0.1.0"}
STATISTICS = {"0": {"mean": 10.0, "std": 2.0, "median": 10.0, "percentile_00_5": 1.0, "percentile_99_5": 90.0}}


def plans() -> Plans:
    """Return small plans for the dataset of `LABELS`."""
    topology = Topology(features=(4, 8), strides=((1, 1, 1), (2, 2, 2)), kernel_sizes=((3, 3, 3),) * 2, convs_per_stage=(1, 1))
    configuration = Configuration(
        spacing_mm=(3.0, 1.0, 1.0),
        median_shape=(16, 16, 16),
        patch_size=(8, 8, 8),
        batch_size=2,
        normalization=("none",),
        normalize_inside_mask=(False,),
        network=topology,
    )
    return Plans(
        dataset="Dataset001_Tiny",
        planner="default",
        transpose=(0, 1, 2),
        versions=VERSIONS,
        foreground_intensities=STATISTICS,
        configurations={"tiny": configuration},
    )  # type: ignore[arg-type]


def description() -> ModelDescription:
    """Return a model of `plans`."""
    return ModelDescription(
        dataset="Dataset001_Tiny",
        channel_names=("MRI",),
        labels=LABELS,
        file_ending=".nii.gz",
        configuration_name="tiny",
        plans=plans(),
        recipe="default",
        settings={"epochs": 1},
        mirror_axes=(0,),
        versions=VERSIONS,
    )


def dataset(folder: Path) -> Dataset:
    """Return a dataset of six cases whose files need not be there."""
    cases = tuple(Case(name=name, images=(folder / f"{name}_0000.nii.gz",), label=folder / f"{name}.nii.gz") for name in CASES)
    return Dataset(
        name="Dataset001_Tiny",
        folder=folder,
        layout="nnunet",
        channel_names=("MRI",),
        labels=LABELS,
        file_ending=".nii.gz",
        training=cases,
    )


def write_model(folder: Path) -> Path:
    """Write a model with one fold, and return its folder."""
    model = ModelFolder(folder / "models" / "tiny" / "default")
    write_json(model.model_json, description())
    model.fold(0).root.mkdir(parents=True)
    torch.manual_seed(0)
    save_weights(model.fold(0).checkpoint_final, {"network": description().build()}, {})
    return model.root


def read_network(folder: Path) -> dict[str, np.ndarray]:
    """Return the weights of a model as it is loaded to predict, with what model.json says."""
    loaded = load_model(ModelFolder(folder))
    weights = {name: values.numpy() for network in loaded.networks for name, values in network.state_dict().items()}
    return weights | {"model.json": loaded.description}  # type: ignore[dict-item]


def write_archive(folder: Path) -> Path:
    """Write a model as an archive, and return its path."""
    model = write_model(folder)
    export_models(folder / "model.zip", model, quiet=True)
    shutil.rmtree(folder / "models")
    return folder / "model.zip"


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """Return the weights of the only model of an archive, whatever program wrote it, as they are loaded to predict."""
    model, = model_folders(path)
    return {name: values for name, values in read_network(model.root).items() if name != "model.json"}


def read_taken(folder: Path) -> dict[str, np.ndarray]:
    """Return the same as `read_network` of another program's model."""
    model, = model_folders(folder)
    return read_network(model.root)


def write_stored(folder: Path) -> Path:
    """Store a preprocessed case, and return the folder."""
    random = np.random.default_rng(0)
    data = random.normal(size=(1, 20, 24, 16)).astype(np.float32)
    seg = random.integers(0, 3, (1, 20, 24, 16)).astype(np.int8)
    size, spacing = (20, 24, 16), (3.0, 1.0, 1.0)
    properties = CaseProperties(
        case="case_0",
        shape_original=size,
        spacing_mm=spacing,
        transpose=(0, 1, 2),
        crop_box=((0, 20), (0, 24), (0, 16)),
        shape_cropped=size,
        shape_resampled=size,
        spacing_resampled_mm=spacing,
        versions=VERSIONS,
    )
    write_volume(folder, data, seg, properties, LABELS, (8, 8, 8))
    return folder


def read_stored(folder: Path) -> dict[str, Any]:
    """Return all of a stored case."""
    stored = open_volume(folder, "case_0")
    return {
        "image": stored.read_data(),
        "labels": stored.read_seg(),
        **{f"voxels {key}": stored.voxels_of(key) for key in (1, 2)},
    }


def write_state(folder: Path) -> Path:
    """Write the state of a training, and return its path."""
    torch.manual_seed(0)
    network = nn.Conv3d(1, 4, 3)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    network(torch.ones(1, 1, 4, 4, 4)).sum().backward()
    optimizer.step()
    save_state(
        folder / "training_state.pt",
        {
            "epoch": 3,
            "modules": {"network": network.state_dict()},
            "optimizers": {"network": optimizer.state_dict()},
            "best": 0.5,
        },
    )
    return folder / "training_state.pt"


def read_state(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors and values of a state, by the way to each."""
    found: dict[str, Any] = {}

    def take(value: Any, where: str) -> None:
        if isinstance(value, dict):
            for key, entry in value.items():
                take(entry, f"{where}/{key}")
        else:
            found[where] = value.numpy() if isinstance(value, torch.Tensor) else value

    take(load_state(path, torch.device("cpu")), "")
    return found


def user_dataset(folder: Path) -> dict[str, Any]:
    """Return a dataset.json as a user writes it, and make the files that it is about, all empty."""
    for name in CASES:
        for place in (folder / "imagesTr" / f"{name}_0000.nii.gz", folder / "labelsTr" / f"{name}.nii.gz"):
            place.parent.mkdir(exist_ok=True)
            place.touch()
    return {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "organ": 1, "lesion": 2},
        "numTraining": 6,
        "file_ending": ".nii.gz",
        "groups": {name: name for name in CASES},
    }


def read_plans(path: Path) -> Plans:
    """Return plans, once the networks that they describe have been built."""
    found = read_model(path, Plans)
    with torch.device("meta"):
        for configuration in found.configurations.values():
            build_network(configuration.network, 1, 3)
    return found


def read_fingerprint(path: Path) -> Any:
    """Return the rules that a fingerprint gives."""
    return candidate_rules(read_model(path, Fingerprint), LABELS)


def read_splits(path: Path) -> Any:
    """Return the folds."""
    return load_or_make_splits(path, dataset(path.parent), list(CASES), None).splits


def fingerprint() -> dict[str, Any]:
    """Return a small fingerprint."""
    span = {"minimum": 1.0, "median": 1.0, "maximum": 2.0}
    label = {
        "name": "organ",
        "cases": 1,
        "volume_ml": span,
        "components": span,
        "smallest_ml": 0.5,
        "touches": {"2": 0.95},
        "inside": [],
    }
    of_case = {"volume_ml": 1.0, "components": 1, "smallest_ml": 1.0, "largest_ml": 1.0, "touches": {"2": 1}, "inside": []}
    union = {"labels": [1, 2], "cases": 1, "components": span, "main_components": span, "smallest_ml": 0.5}
    case = {
        "spacing_mm": [3.0, 1.0, 1.0],
        "shape": [20, 24, 16],
        "shape_after_crop": [20, 24, 16],
        "share_kept": 1.0,
        "orientation": "LPS",
        "labels": {"1": of_case},
        "foreground_components": 1,
        "unions": {},
    }
    return {
        "dataset": "Dataset001_Tiny",
        "versions": VERSIONS,
        "channel_names": ["MRI"],
        "foreground_intensities": STATISTICS,
        "orientations": {"LPS": 1},
        "orientation": "LPS",
        "foreground_components": span,
        "labels": {"1": label, "2": label},
        "unions": {"1+2": union},
        "cases": {"case_0": case},
    }


def best() -> dict[str, Any]:
    """Return a small choice of find-best."""
    member = {"configuration": "tiny", "recipe": "default", "weights": {"0": "0" * 16}}
    candidate = {"members": [member], "dice": 0.9, "classes": {"1": 0.9}, "cases": 6}
    rule = {
        "rule": {"kind": "keep_largest", "labels": [1], "count": 1},
        "says": "the largest",
        "accepted": True,
        "dice_before": 0.8,
        "dice_after": 0.9,
        "classes_before": {"1": 0.8},
        "classes_after": {"1": 0.9},
    }
    return {
        "dataset": "Dataset001_Tiny",
        "members": [member],
        "reason": "it is the best",
        "candidates": [candidate],
        "rules": [rule],
        "names": {"1": "organ"},
        "references": "0" * 16,
        "versions": VERSIONS,
    }


def summary() -> dict[str, Any]:
    """Return a summary.json in nnU-Net's form."""
    metrics = {"1": {"Dice": 0.9, "IoU": 0.8, "TP": 9, "FP": 1, "FN": 1, "TN": 100, "n_pred": 10, "n_ref": 10}}
    return {
        "metric_per_case": [
            {
                "metrics": metrics,
                "prediction_file": "a.nii.gz",
                "reference_file": "b.nii.gz",
                "volumes_ml": {"1": {"reference": 1.0, "prediction": 1.0}},
            }
        ],
        "mean": metrics,
        "foreground_mean": metrics["1"],
    }


def write_record(folder: Path) -> Path:
    """Write the record of a folder of outputs, and return the folder."""
    outputs = OutputFolder(folder, Origin.of(model="tiny"))
    with outputs.writing("a.nii.gz", [folder / "in.nii.gz"]) as path:
        path.touch()
    return folder


def read_record(folder: Path) -> Any:
    """Return what a record says."""
    return OutputFolder(folder, Origin.of(model="tiny")).results


def write_sidecar(folder: Path) -> Path:
    """Write a TIFF with its voxel sizes beside it, and return the path of these."""
    image = Image(np.ones((1, 2, 3, 4), np.uint8), Geometry((3.0, 1.0, 1.0)), TiffHeader(has_sidecar=True, dimensions=3))
    write_image(folder / "image.tif", image.array, image)
    return folder / "image.json"


def slice_plans() -> SlicePlans:
    """Return small plans of slices."""
    return SlicePlans(
        dataset="Dataset001_Tiny",
        versions=VERSIONS,
        axis="axial",
        image_size=64,
        channel_names=("MRI",),
        windows=(None,),
        normal_by="all",
        source=dataset(Path("raw")),
    )


def projection_plans() -> ProjectionPlans:
    """Return small plans of projections."""
    network = Topology(features=(4, 8), strides=((1, 1), (2, 2)), kernel_sizes=((3, 3),) * 2, convs_per_stage=(1, 1))
    return ProjectionPlans(
        dataset="Dataset001_Tiny",
        versions=VERSIONS,
        target=Target(name="organ", labels=("organ",)),
        axis="z",
        project="y",
        slab=0.5,
        channel_names=("MRI",),
        windows=(None,),
        pixel_mm=1.0,
        size=(64, 64),
        batch_size=2,
        epochs=10,
        network=network,
        source=dataset(Path("raw")),
    )
