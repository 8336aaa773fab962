"""What autoseg writes and reads again: JSON of every kind, stored cases, weights, states."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import nn

from autoseg.best import Best
from autoseg.dataset import Case, Dataset, Labels, load_dataset
from autoseg.evaluation.summary import Summary
from autoseg.files import write_json
from autoseg.fingerprint import Fingerprint
from autoseg.networks import build_network
from autoseg.plan import Configuration, Plans, Topology
from autoseg.postprocessing.selection import candidate_rules
from autoseg.preprocessing.store import CaseProperties
from autoseg.provenance import Origin, OutputFolder
from autoseg.tasks.segmentation.model import ModelDescription, load_model
from autoseg.tasks.segmentation.store import open_volume, write_volume
from autoseg.trainers.checkpoint import load_state, save_state, save_weights
from autoseg.trainers.splits import load_or_make_splits
from autoseg.workspace import ModelFolder, read_model
from tests.fuzz.attempt import Change, Target
from tests.fuzz.json_mutators import changed_json
from tests.fuzz.mutators import changed_bytes

LABELS = Labels(values={"background": 0, "organ": 1, "lesion": 2})
CASES = tuple(f"case_{number}" for number in range(6))
VERSIONS = {"autoseg": "0.1.0"}
STATISTICS = {"0": {"mean": 10.0, "std": 2.0, "median": 10.0, "percentile_00_5": 1.0, "percentile_99_5": 90.0}}


def plans() -> Plans:
    """Return small plans for the dataset of `LABELS`."""
    topology = Topology(features=(4, 8), strides=((1, 1, 1), (2, 2, 2)), kernel_sizes=((3, 3, 3),) * 2, convs_per_stage=(1, 1))
    configuration = Configuration(
        spacing_mm=(3.0, 1.0, 1.0), median_shape=(16, 16, 16), patch_size=(8, 8, 8), batch_size=2, normalization=("none",),
        normalize_inside_mask=(False,), network=topology)
    return Plans(dataset="Dataset001_Tiny", planner="default", transpose=(0, 1, 2), versions=VERSIONS,
                 foreground_intensities=STATISTICS, configurations={"tiny": configuration})  # type: ignore[arg-type]


def description() -> ModelDescription:
    """Return a model of `plans`."""
    return ModelDescription(
        dataset="Dataset001_Tiny", channel_names=("MRI",), labels=LABELS, file_ending=".nii.gz", configuration_name="tiny",
        plans=plans(), recipe="default", settings={"epochs": 1}, mirror_axes=(0,), versions=VERSIONS)


def dataset(folder: Path) -> Dataset:
    """Return a dataset of six cases whose files need not be there."""
    cases = tuple(Case(name=name, images=(folder / f"{name}_0000.nii.gz",), label=folder / f"{name}.nii.gz") for name in CASES)
    return Dataset(name="Dataset001_Tiny", folder=folder, layout="nnunet", channel_names=("MRI",), labels=LABELS,
                   file_ending=".nii.gz", training=cases)


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


def write_stored(folder: Path) -> Path:
    """Store a preprocessed case, and return the folder."""
    random = np.random.default_rng(0)
    data = random.normal(size=(1, 20, 24, 16)).astype(np.float32)
    seg = random.integers(0, 3, (1, 20, 24, 16)).astype(np.int8)
    size, spacing = (20, 24, 16), (3.0, 1.0, 1.0)
    properties = CaseProperties(
        case="case_0", shape_original=size, spacing_mm=spacing, transpose=(0, 1, 2), crop_box=((0, 20), (0, 24), (0, 16)),
        shape_cropped=size, shape_resampled=size, spacing_resampled_mm=spacing, versions=VERSIONS)
    write_volume(folder, data, seg, properties, LABELS, (8, 8, 8))
    return folder


def read_stored(folder: Path) -> dict[str, Any]:
    """Return all of a stored case."""
    stored = open_volume(folder, "case_0")
    return {"image": stored.read_data(), "labels": stored.read_seg(), **{f"voxels {key}": stored.voxels_of(key) for key in (1, 2)}}


def write_state(folder: Path) -> Path:
    """Write the state of a training, and return its path."""
    torch.manual_seed(0)
    network = nn.Conv3d(1, 4, 3)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    network(torch.ones(1, 1, 4, 4, 4)).sum().backward()
    optimizer.step()
    save_state(folder / "training_state.pt", {
        "epoch": 3, "modules": {"network": network.state_dict()}, "optimizers": {"network": optimizer.state_dict()}, "best": 0.5})
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


def equal(good: dict[str, Any], found: dict[str, Any]) -> str:
    """Return which entries differ; "" where none does."""
    wrong = [name for name in good.keys() | found.keys() if name not in good or name not in found or not _alike(good[name], found[name])]
    return f"{', '.join(sorted(wrong))} are others than were written" if wrong else ""


def _alike(one: Any, other: Any) -> bool:
    if not isinstance(one, np.ndarray):
        return bool(one == other)
    return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)


def changing(*patterns: str) -> Callable[[Random, Path], Change]:
    """Return a mutator of the bytes of one of the files that match; all of them are sealed."""

    def mutate(random: Random, path: Path) -> Change:
        folder = path if path.is_dir() else path.parent
        file = random.choice(sorted(found for pattern in patterns for found in folder.rglob(pattern)))
        data, words = changed_bytes(random, file.read_bytes(), 200)
        file.write_bytes(data)
        return Change(f"{file.name}: {words}", is_sealed=True)

    return mutate


def changing_json(name: str) -> Callable[[Random, Path], Change]:
    """Return a mutator of a JSON file of this name, or of one of the lines of .jsonl."""

    def mutate(random: Random, path: Path) -> Change:
        file = next((path if path.is_dir() else path.parent).rglob(name))
        parts = file.read_bytes().splitlines(keepends=True) if file.suffix == ".jsonl" else [file.read_bytes()]
        number = random.randrange(len(parts))
        parts[number], words = changed_json(random, parts[number])
        file.write_bytes(b"".join(parts))
        return Change(f"{name}: {words}")

    return mutate


def artefact_targets() -> dict[str, Target]:
    """Return the targets of this file, by name."""
    exact = (
        Target("store", write_stored, read_stored, changing("*.b2nd"), lambda good, path, found, _: equal(good, found)),
        Target("weights", write_model, read_network, changing("*.safetensors"), lambda good, path, found, _: equal(good, found)),
        Target("state", write_state, read_state, changing("*.pt"), lambda good, path, found, _: equal(good, found)),
        Target("store_json", write_stored, read_stored, changing_json("case_0.json"), lambda good, path, found, _: equal(
            {name: good[name] for name in ("image", "labels")}, {name: found[name] for name in ("image", "labels")})),
        Target("model", write_model, read_network, changing_json("model.json"),
               lambda good, path, found, _: sane_plans(found["model.json"].plans)),  # type: ignore[attr-defined]
    )
    documents = (_document(name, write, read) for name, write, read in _documents())
    return {target.name: target for target in (*exact, *documents)}


def _document(name: str, write: Callable[[Path], Path], read: Callable[[Path], Any]) -> Target:
    def judge(good: Any, path: Path, found: Any, done: Change) -> str:
        return sane_plans(found) if isinstance(found, Plans) else ""

    def file_name(path: Path) -> str:
        return path.name if path.is_file() else {"dataset": "dataset.json", "record": "autoseg_prediction.jsonl"}[name]

    def mutate(random: Random, path: Path) -> Change:
        return changing_json(file_name(path))(random, path)

    return Target(name, write, read, mutate, judge)


def _documents() -> list[tuple[str, Callable[[Path], Path], Callable[[Path], Any]]]:
    """Return name, writer and reader of each kind of JSON document."""

    def written(file: str, content: Callable[[Path], Any]) -> Callable[[Path], Path]:
        def write(folder: Path) -> Path:
            write_json(folder / file, content(folder))
            return folder / file

        return write

    return [
        ("dataset", lambda folder: written("dataset.json", lambda _: user_dataset(folder))(folder).parent, load_dataset),
        ("dataset_of_workspace", written("dataset.json", lambda folder: dataset(Path("raw"))), partial(read_model, model=Dataset)),
        ("plans", written("plans.json", lambda _: plans()), read_plans),
        ("fingerprint", written("fingerprint.json", lambda _: fingerprint()), read_fingerprint),
        ("best", written("best.json", lambda _: best()), lambda path: read_model(path, Best).name),
        ("splits", written("splits.json", lambda _: [{"train": list(CASES[:4]), "val": list(CASES[4:])}] * 2), read_splits),
        ("summary", written("summary.json", lambda _: summary()), partial(read_model, model=Summary)),
        ("record", write_record, read_record),
    ]


def user_dataset(folder: Path) -> dict[str, Any]:
    """Return a dataset.json as a user writes it, and make the files that it is about, all empty."""
    for name in CASES:
        for place in (folder / "imagesTr" / f"{name}_0000.nii.gz", folder / "labelsTr" / f"{name}.nii.gz"):
            place.parent.mkdir(exist_ok=True)
            place.touch()
    return {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1, "lesion": 2}, "numTraining": 6,
            "file_ending": ".nii.gz", "groups": {name: name[:4] for name in CASES}}


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
    label = {"name": "organ", "cases": 1, "volume_ml": span, "components": span, "smallest_ml": 0.5, "touches": {"2": 0.95}, "inside": []}
    of_case = {"volume_ml": 1.0, "components": 1, "smallest_ml": 1.0, "largest_ml": 1.0, "touches": {"2": 1}, "inside": []}
    union = {"labels": [1, 2], "cases": 1, "components": span, "main_components": span, "smallest_ml": 0.5}
    case = {"spacing_mm": [3.0, 1.0, 1.0], "shape": [20, 24, 16], "shape_after_crop": [20, 24, 16], "share_kept": 1.0,
            "orientation": "LPS", "labels": {"1": of_case}, "foreground_components": 1, "unions": {}}
    return {"dataset": "Dataset001_Tiny", "versions": VERSIONS, "channel_names": ["MRI"], "foreground_intensities": STATISTICS,
            "orientations": {"LPS": 1}, "orientation": "LPS", "foreground_components": span, "labels": {"1": label, "2": label},
            "unions": {"1+2": union}, "cases": {"case_0": case}}


def best() -> dict[str, Any]:
    """Return a small choice of find-best."""
    member = {"configuration": "tiny", "recipe": "default", "weights": {"0": "0" * 16}}
    candidate = {"members": [member], "dice": 0.9, "classes": {"1": 0.9}, "cases": 6}
    rule = {"rule": {"kind": "keep_largest", "labels": [1], "count": 1}, "says": "the largest", "accepted": True, "dice_before": 0.8,
            "dice_after": 0.9, "classes_before": {"1": 0.8}, "classes_after": {"1": 0.9}}
    return {"dataset": "Dataset001_Tiny", "members": [member], "reason": "it is the best", "candidates": [candidate], "rules": [rule],
            "names": {"1": "organ"}, "references": "0" * 16, "versions": VERSIONS}


def summary() -> dict[str, Any]:
    """Return a summary.json in nnU-Net's form."""
    metrics = {"1": {"Dice": 0.9, "IoU": 0.8, "TP": 9, "FP": 1, "FN": 1, "TN": 100, "n_pred": 10, "n_ref": 10}}
    return {"metric_per_case": [{"metrics": metrics, "prediction_file": "a.nii.gz", "reference_file": "b.nii.gz",
                                 "volumes_ml": {"1": {"reference": 1.0, "prediction": 1.0}}}], "mean": metrics,
            "foreground_mean": metrics["1"]}


def write_record(folder: Path) -> Path:
    """Write the record of a folder of outputs, and return the folder."""
    outputs = OutputFolder(folder, Origin.of(model="tiny"))
    with outputs.writing("a.nii.gz", [folder / "in.nii.gz"]) as path:
        path.touch()
    return folder


def read_record(folder: Path) -> Any:
    """Return what a record says."""
    return OutputFolder(folder, Origin.of(model="tiny")).results


def sane_plans(found: Plans) -> str:
    """Return which numbers of plans that were read cannot be meant: "" where all are positive, finite and of one length."""
    for name, its in found.configurations.items():
        numbers = [*its.spacing_mm, *its.patch_size, *its.median_shape, its.batch_size, *its.network.features,
                   *(value for entry in (*its.network.strides, *its.network.kernel_sizes) for value in entry)]
        lengths = {len(entry) for entry in (*its.network.strides, *its.network.kernel_sizes, its.patch_size, its.spacing_mm)}
        if len(lengths) != 1 or not all(math.isfinite(value) and 0 < value < 1e7 for value in numbers):
            return f"{name} was read: {json.dumps(its.model_dump(mode='json'))[:1000]}"
    return "" if sorted(found.transpose) == [0, 1, 2] else f"transpose {found.transpose} was read"
