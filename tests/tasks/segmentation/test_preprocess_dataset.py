"""Datasets preprocessed and stored: what is there stays, what is missing or outdated is made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from autoseg.dataset import Dataset, load_dataset, read_case
from autoseg.plan import Configuration, IntensityStatistics, Plans, Topology
from autoseg.preprocessing.pipeline import preprocess_case
from autoseg.tasks.segmentation import store
from autoseg.tasks.segmentation.store import open_volume, preprocess

NETWORK = Topology(features=(8,), strides=((1, 1, 1),), kernel_sizes=((3, 3, 3),), convs_per_stage=(2,))
CT = IntensityStatistics(mean=10, std=5, median=10, percentile_00_5=0, percentile_99_5=20)


def configuration(**changes: Any) -> Configuration:
    given: dict[str, Any] = {
        "spacing_mm": (1, 1, 1), "median_shape": (8, 8, 8), "patch_size": (8, 8, 8), "batch_size": 2,
        "normalization": ("none",), "normalize_inside_mask": (False,), "network": NETWORK,
    }
    return Configuration(**(given | changes))


def plans_for(*configurations: Configuration, transpose: tuple[int, int, int] = (0, 1, 2)) -> Plans:
    return Plans(
        dataset="Dataset001_T", planner="default", transpose=transpose, versions={}, foreground_intensities={"0": CT},
        configurations={f"c{i}": c for i, c in enumerate(configurations)},
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three cases of 6×8×8 voxels with a cube of label 1."""
    folder = tmp_path / "Dataset001_T"
    rng = np.random.default_rng(3)
    for case in "abc":
        label = np.zeros((8, 8, 6), np.uint8)
        label[2:5, 2:6, 1:4] = 1
        for name, array in ((f"imagesTr/{case}_0000.nii.gz", rng.normal(size=label.shape)), (f"labelsTr/{case}.nii.gz", label)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            dtype = np.float32 if array.dtype == float else np.uint8
            nibabel.save(nibabel.Nifti1Image(array.astype(dtype), np.diag([1, 1, 2, 1])), folder / name)
    content = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "cube": 1}, "numTraining": 3,
               "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(content))
    return load_dataset(folder)


@pytest.fixture
def run(dataset: Dataset, tmp_path: Path) -> Callable[[Plans], dict[str, Any]]:
    """Preprocess the dataset for all configurations of the plans; what was made, by case."""

    def run_with(plans: Plans) -> dict[str, Any]:
        outcomes = preprocess(dataset, plans, {name: tmp_path / name for name in plans.configurations}, workers=1)
        return {outcome.item.name: outcome.error or outcome.value for outcome in outcomes}

    return run_with


PLANS = plans_for(configuration(), configuration(spacing_mm=(1, 2, 2)))


def test_every_case_is_stored_for_every_configuration(run: Callable[[Plans], dict[str, Any]], tmp_path: Path) -> None:
    assert run(PLANS) == {"a": ["c0", "c1"], "b": ["c0", "c1"], "c": ["c0", "c1"]}
    case = open_volume(tmp_path / "c1", "b")
    assert case.shape == (12, 4, 4) and case.read_data().shape == (1, 12, 4, 4)
    assert set(case.foreground_counts) == {1} and (case.read_seg() == 1).sum() == case.foreground_counts[1]


def test_each_case_is_read_once(run: Callable[[Plans], dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = store.read_case
    monkeypatch.setattr(store, "read_case", lambda case, dataset: read.append(case.name) or original(case, dataset))
    run(PLANS)
    assert read == ["a", "b", "c"]


def test_cases_are_made_anew_for_what_they_depend_on_of_the_plans(run: Callable[[Plans], dict[str, Any]]) -> None:
    run(PLANS)
    changed = plans_for(configuration(), configuration(spacing_mm=(1, 3, 3)))
    assert run(changed) == {case: ["c1"] for case in "abc"}
    bigger_patch = plans_for(configuration(patch_size=(4, 4, 4)), configuration(spacing_mm=(1, 3, 3)))
    assert run(bigger_patch) == {case: [] for case in "abc"}


def test_worker_processes_give_the_same_files(dataset: Dataset, tmp_path: Path) -> None:
    folders = {workers: tmp_path / str(workers) for workers in (1, 2)}
    two_cases = dataset.model_copy(update={"training": dataset.training[:2]})
    for workers, folder in folders.items():
        outcomes = preprocess(two_cases, PLANS, {"c0": folder}, workers)
        assert {outcome.item.name for outcome in outcomes if outcome.error is None} == {"a", "b"}
    one, two = (open_volume(folder, "a") for folder in folders.values())
    np.testing.assert_array_equal(one.read_data(), two.read_data())
    np.testing.assert_array_equal(one.voxels_of(1), two.voxels_of(1))


def test_hippocampus_keeps_its_volume(shared_data: Path) -> None:
    dataset = load_dataset(shared_data / "Dataset004_Hippocampus")
    case = dataset.training[0]
    image, label = read_case(case, dataset)
    assert label is not None
    halves = configuration(spacing_mm=(0.5, 0.5, 0.5), normalization=("zscore",))
    _, seg, _ = preprocess_case(image, label, case.name, plans_for(), halves)
    assert (seg > 0).sum() / 8 == pytest.approx((label.array > 0).sum(), rel=0.01)
