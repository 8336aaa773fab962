"""A case through transposing, cropping, normalization and resampling, and back; datasets that are interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from skimage.transform import resize as skimage_resize

from autoseg.dataset import Dataset, load_dataset
from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.plan import Configuration, IntensityStatistics, Plans, Topology
from autoseg.preprocessing import pipeline, store
from autoseg.preprocessing.pipeline import preprocess_case, preprocess_dataset, preprocess_image, to_original_grid

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


def image_of(array: np.ndarray, spacing_mm: tuple[float, float, float] = (1, 1, 1)) -> Image:
    return Image(array, Geometry(spacing_mm))


def test_the_image_is_transposed_cropped_and_resampled_in_this_order() -> None:
    array = np.zeros((1, 6, 10, 8), np.int16)
    array[0, 1:5, 2:10, 3:7] = np.random.default_rng(0).integers(1, 100, (4, 8, 4))
    image = image_of(array, (1, 0.8, 2))
    data, properties = preprocess_image(image, "a", plans_for(configuration(), transpose=(2, 0, 1)), configuration())
    assert properties.crop_box == ((3, 7), (1, 5), (2, 10))
    assert (properties.shape_original, properties.spacing_mm) == ((6, 10, 8), (1, 0.8, 2))
    assert (properties.shape_cropped, properties.shape_resampled) == ((4, 4, 8), (8, 4, 6))
    assert properties.spacing_transposed_mm == (2, 1, 0.8)
    cropped = array[0, 1:5, 2:10, 3:7].transpose(2, 0, 1).astype(float)
    expected = skimage_resize(cropped, (8, 4, 6), 3, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(data[0], expected, atol=1e-4)
    assert data.dtype == np.float32 and (array[0, 1] != 0).any()


def test_anisotropic_images_take_the_nearest_slice() -> None:
    array = np.random.default_rng(1).normal(size=(1, 3, 12, 12)).astype(np.float32)
    data, _ = preprocess_image(image_of(array, (4, 1, 1)), "a", plans_for(), configuration(spacing_mm=(2, 1.5, 1.5)))
    in_plane = [skimage_resize(s.astype(float), (8, 8), 3, mode="edge", anti_aliasing=False) for s in array[0]]
    np.testing.assert_allclose(data[0], np.repeat(in_plane, 2, axis=0), atol=1e-5)


def test_two_dimensional_configurations_keep_the_slices() -> None:
    array = np.random.default_rng(2).normal(size=(1, 3, 12, 12)).astype(np.float32)
    flat = configuration(spacing_mm=(2, 2), patch_size=(8, 8), median_shape=(8, 8))
    data, properties = preprocess_image(image_of(array, (4, 1, 1)), "a", plans_for(), flat)
    assert data.shape == (1, 3, 6, 6) and properties.spacing_resampled_mm == (4, 2, 2)
    slices = [skimage_resize(s.astype(float), (6, 6), 3, mode="edge", anti_aliasing=False) for s in array[0]]
    np.testing.assert_allclose(data[0], slices, atol=1e-5)


def test_each_channel_has_its_own_normalization() -> None:
    array = np.ones((2, 1, 1, 4), np.float32)
    array[:, 0, 0] = [[0, 10, 15, 40], [1, 3, 1, 3]]
    both = configuration(normalization=("ct", "zscore"), normalize_inside_mask=(False, False))
    data, _ = preprocess_image(image_of(array), "a", plans_for(), both)
    np.testing.assert_allclose(data[:, 0, 0], [[-2, 0, 1, 2], [-1, 1, -1, 1]])


def test_normalization_inside_the_mask_counts_holes_and_leaves_the_outside_zero() -> None:
    array = np.full((1, 5, 5, 5), 3.0, np.float32)
    array[0, 2, 2, 2] = 0  # a hole: inside
    array[0, 0, 0, 0] = 0  # a corner: outside
    masked = configuration(normalization=("zscore",), normalize_inside_mask=(True,))
    data, _ = preprocess_image(image_of(array), "a", plans_for(), masked)
    inside = np.delete(array.ravel(), 0)
    np.testing.assert_allclose(data[0, 2, 2, 2], -inside.mean() / inside.std(), rtol=1e-5)
    assert data[0, 0, 0, 0] == 0


@pytest.mark.parametrize("scheme", ["ct", "zscore", "rescale_0_1", "rgb", "none"])
@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_image_gives_numbers(scheme: str, value: int) -> None:
    array = np.full((1, 4, 5, 6), value, np.uint8)
    data, _ = preprocess_image(
        image_of(array, (2, 1, 1)), "a", plans_for(), configuration(normalization=(scheme,), normalize_inside_mask=(True,))
    )
    assert data.shape == (1, 8, 5, 6) and np.isfinite(data).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 7)])
def test_one_voxel_and_one_slice_go_through_and_back(shape: tuple[int, int, int]) -> None:
    image, label = image_of(np.ones((1, *shape), np.float32)), image_of(np.ones((1, *shape), np.uint8))
    data, seg, properties = preprocess_case(image, label, "a", plans_for(), configuration(spacing_mm=(3, 2, 2)))
    assert data.shape == seg.shape == (1, *properties.shape_resampled)
    assert (data == 1).all() and (seg == 1).all()
    np.testing.assert_array_equal(to_original_grid(np.ones(shape, np.uint8), properties), np.ones(shape))


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_labels_come_back_to_the_grid_that_they_were_cropped_and_transposed_from(
    transpose: tuple[int, int, int]
) -> None:
    array = np.zeros((1, 5, 7, 9), np.int16)
    array[0, 1:4, 2:7, 3:5] = np.arange(1, 31).reshape(3, 5, 2)
    plans = plans_for(configuration(), transpose=transpose)
    data, seg, properties = preprocess_case(image_of(array), image_of(array), "a", plans, configuration())
    assert seg.dtype == np.int8
    np.testing.assert_array_equal(to_original_grid(seg[0], properties), array[0])
    np.testing.assert_array_equal(data, seg)


def test_values_above_127_take_int16_and_absurd_ones_are_refused() -> None:
    array = np.full((1, 2, 2, 2), 200, np.int32)
    assert preprocess_case(image_of(array), image_of(array), "a", plans_for(), configuration())[1].dtype == np.int16
    with pytest.raises(AutosegError, match="40000"):
        preprocess_case(image_of(array), image_of(array * 200), "a", plans_for(), configuration())


@pytest.mark.parametrize(
    ("array", "label_shape", "message"),
    [
        (np.ones((2, 2, 2, 2)), (2, 2, 2), "case a: 2 channels were found, but the plans were made for 1"),
        (np.full((1, 2, 2, 2), np.nan), (2, 2, 2), "case a: channel 0 holds NaN"),
        (np.full((1, 2, 2, 2), 300.0), (2, 2, 2), "case a, channel 0: An RGB channel"),
        (np.ones((1, 2, 2, 2)), (2, 2, 3), r"case a: label has shape \(2, 2, 3\) but its image \(2, 2, 2\)"),
    ],
)
def test_what_does_not_fit_is_named_with_the_case(array: np.ndarray, label_shape: tuple[int, ...], message: str) -> None:
    label = image_of(np.zeros((1, *label_shape), np.uint8))
    with pytest.raises(AutosegError, match=message):
        preprocess_case(image_of(array), label, "a", plans_for(), configuration(normalization=("rgb",)))


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
        outcomes = preprocess_dataset(dataset, plans, list(plans.configurations), lambda name: tmp_path / name, workers=1)
        return {outcome.item.name: outcome.error or outcome.value for outcome in outcomes}

    return run_with


PLANS = plans_for(configuration(), configuration(spacing_mm=(1, 2, 2)))


def test_every_case_is_stored_for_every_configuration(run: Callable[[Plans], dict[str, Any]], tmp_path: Path) -> None:
    assert run(PLANS) == {"a": ["c0", "c1"], "b": ["c0", "c1"], "c": ["c0", "c1"]}
    case = store.open_case(tmp_path / "c1", "b")
    assert case.shape == (12, 4, 4) and case.read_data().shape == (1, 12, 4, 4)
    assert set(case.foreground_counts) == {1} and (case.read_seg() == 1).sum() == case.foreground_counts[1]


def test_each_case_is_read_once(run: Callable[[Plans], dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = pipeline.read_case
    monkeypatch.setattr(pipeline, "read_case", lambda case, dataset: read.append(case.name) or original(case, dataset))
    run(PLANS)
    assert read == ["a", "b", "c"]


def test_a_second_run_makes_only_what_is_missing(run: Callable[[Plans], dict[str, Any]], tmp_path: Path) -> None:
    run(PLANS)
    (tmp_path / "c1" / "b.json").unlink()  # as after a kill between the arrays and their description
    (tmp_path / "c0" / "c_seg.b2nd").unlink()
    assert run(PLANS) == {"a": [], "b": ["c1"], "c": ["c0"]}


def test_leftovers_of_a_killed_run_are_removed(run: Callable[[Plans], dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "c0").mkdir()
    leftover = tmp_path / "c0" / ".tmp-999999999-aa-b.b2nd"
    leftover.write_bytes(b"half")
    run(PLANS)
    assert not leftover.exists()


def test_other_plans_or_another_label_make_a_case_anew(
    run: Callable[[Plans], dict[str, Any]], dataset: Dataset
) -> None:
    run(PLANS)
    changed = plans_for(configuration(), configuration(spacing_mm=(1, 3, 3)))
    assert run(changed) == {case: ["c1"] for case in "abc"}
    bigger_patch = plans_for(configuration(patch_size=(4, 4, 4)), configuration(spacing_mm=(1, 3, 3)))
    assert run(bigger_patch) == {case: [] for case in "abc"}
    label = dataset.training[1].label
    assert label is not None
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 6), np.uint8), np.diag([1, 1, 2, 1])), label)
    assert run(changed) == {"a": [], "b": ["c0", "c1"], "c": []}


def test_a_bad_case_does_not_stop_the_others(run: Callable[[Plans], dict[str, Any]], dataset: Dataset) -> None:
    dataset.training[0].images[0].write_bytes(b"broken")
    made = run(PLANS)
    assert isinstance(made.pop("a"), AutosegError)
    assert made == {"b": ["c0", "c1"], "c": ["c0", "c1"]}


def test_worker_processes_give_the_same_files(dataset: Dataset, tmp_path: Path) -> None:
    folders = {workers: tmp_path / str(workers) for workers in (1, 2)}
    two_cases = dataset.model_copy(update={"training": dataset.training[:2]})
    for workers, folder in folders.items():
        outcomes = preprocess_dataset(two_cases, PLANS, ["c0"], lambda name, at=folder: at, workers)
        assert {outcome.item.name for outcome in outcomes if outcome.error is None} == {"a", "b"}
    one, two = (store.open_case(folder, "a") for folder in folders.values())
    np.testing.assert_array_equal(one.read_data(), two.read_data())
    np.testing.assert_array_equal(one.voxels_of(1), two.voxels_of(1))


def test_hippocampus_keeps_its_volume(shared_data: Path) -> None:
    dataset = load_dataset(shared_data / "Dataset004_Hippocampus")
    case = dataset.training[0]
    image, label = pipeline.read_case(case, dataset)
    assert label is not None
    halves = configuration(spacing_mm=(0.5, 0.5, 0.5), normalization=("zscore",))
    _, seg, _ = preprocess_case(image, label, case.name, plans_for(), halves)
    assert (seg > 0).sum() / 8 == pytest.approx((label.array > 0).sum(), rel=0.01)
