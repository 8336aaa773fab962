"""Artefacts as targets: what may become of a changed one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from autoseg.best import Best
from autoseg.dataset import Dataset, load_dataset
from autoseg.evaluation.summary import Summary
from autoseg.files import write_json
from autoseg.image_io import read_geometry
from autoseg.plan import Plans
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.workspace import read_model
from tests.fuzz.artefacts import (
    CASES,
    best,
    dataset,
    fingerprint,
    plans,
    projection_plans,
    read_archive,
    read_fingerprint,
    read_network,
    read_plans,
    read_record,
    read_splits,
    read_state,
    read_stored,
    read_taken,
    slice_plans,
    summary,
    user_dataset,
    write_archive,
    write_model,
    write_record,
    write_sidecar,
    write_state,
    write_stored,
)
from tests.fuzz.attempt import Change, Target
from tests.fuzz.json_mutators import changed_json
from tests.fuzz.mutators import changed_bytes
from tests.tasks.segmentation.nnunet.models import write_model as nnunet_model


def equal(good: dict[str, Any], found: dict[str, Any]) -> str:
    """Return which entries differ; "" where none does."""
    wrong = [
        name
        for name in good.keys() | found.keys()
        if name not in good or name not in found or not _alike(good[name], found[name])
    ]
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
        Target("archive", write_archive, read_archive, changing("*.zip"), lambda good, path, found, _: equal(good, found)),
        Target("nnunet_weights", nnunet_model, read_taken, changing("*.pth"), lambda good, path, found, _: equal(good, found)),
        _described("nnunet_plans", nnunet_model, read_taken, "plans.json"),
        Target("nnunet_dataset", nnunet_model, read_taken, changing_json("dataset.json"), lambda good, path, found, _: ""),
        Target("state", write_state, read_state, changing("*.pt"), lambda good, path, found, _: equal(good, found)),
        Target(
            "store_json",
            write_stored,
            read_stored,
            changing_json("case_0.json"),
            lambda good, path, found, _: equal(
                {name: good[name] for name in ("image", "labels")}, {name: found[name] for name in ("image", "labels")}
            ),
        ),
        _described("model", write_model, read_network, "model.json"),
    )
    documents = (_document(name, write, read) for name, write, read in _documents())
    return {target.name: target for target in (*exact, *documents)}


def _described(name: str, write: Callable[[Path], Path], read: Callable[[Path], Any], file: str) -> Target:
    """Return a model whose description is changed in a JSON file: its plans must be sane."""
    return Target(name, write, read, changing_json(file), lambda good, path, found, _: sane_plans(found["model.json"].plans))


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
        (
            "dataset_of_workspace",
            written("dataset.json", lambda folder: dataset(Path("raw"))),
            partial(read_model, model=Dataset),
        ),
        ("plans", written("plans.json", lambda _: plans()), read_plans),
        ("slice_plans", written("slice_plans.json", lambda _: slice_plans()), partial(read_model, model=SlicePlans)),
        (
            "projection_plans",
            written("projection_plans.json", lambda _: projection_plans()),
            partial(read_model, model=ProjectionPlans),
        ),
        ("fingerprint", written("fingerprint.json", lambda _: fingerprint()), read_fingerprint),
        ("best", written("best.json", lambda _: best()), lambda path: read_model(path, Best).name),
        ("splits", written("splits.json", lambda _: [{"train": list(CASES[:4]), "val": list(CASES[4:])}] * 2), read_splits),
        ("summary", written("summary.json", lambda _: summary()), partial(read_model, model=Summary)),
        ("record", write_record, read_record),
        ("sidecar", write_sidecar, lambda path: read_geometry(path.with_suffix(".tif"))),
    ]


def sane_plans(found: Plans) -> str:
    """Return which numbers of plans that were read cannot be meant: "" where all are positive, finite and of one length."""
    for name, its in found.configurations.items():
        numbers = [
            *its.spacing_mm,
            *its.patch_size,
            *its.median_shape,
            its.batch_size,
            *its.network.features,
            *(value for entry in (*its.network.strides, *its.network.kernel_sizes) for value in entry),
        ]
        lengths = {len(entry) for entry in (*its.network.strides, *its.network.kernel_sizes, its.patch_size, its.spacing_mm)}
        if len(lengths) != 1 or not all(math.isfinite(value) and 0 < value < 1e7 for value in numbers):
            return f"{name} was read: {json.dumps(its.model_dump(mode='json'))[:1000]}"
    return "" if sorted(found.transpose) == [0, 1, 2] else f"transpose {found.transpose} was read"
