"""What is measured over the training cases, against answers worked out by hand and numpy's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import load_dataset
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.fingerprint import Fingerprint
from autoseg.image_io import read_image, write_image, write_label
from autoseg.planners.sampling import sample_intensities
from autoseg.planners.segmentation.anatomy import measure_labels
from autoseg.planners.segmentation.fingerprint import build_fingerprint, measure
from autoseg.planners.segmentation.planning import findings, prepare
from autoseg.tasks.segmentation.options import PlanOptions
from autoseg.verification.inspection import inspect_case, run_inspections, verify_dataset
from autoseg.workspace import read_model

FULL_BOX = ((0, 6), (0, 6), (0, 6))


def kidney_with_tumour() -> np.ndarray:
    """(8, 8, 8): kidneys (1) of 4×4×4 and 2×2×2 voxels; tumours (2) of one voxel deep inside, and of two on the rim."""
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[0:4, 0:4, 0:4] = 1
    labels[6:8, 6:8, 6:8] = 1
    labels[2, 2, 2] = 2
    labels[4, 0, 0:2] = 2
    return labels


def test_volumes_and_components_are_counted_in_ml() -> None:
    measured, together = measure_labels(kidney_with_tumour(), (5.0, 2.0, 1.0), None)  # a voxel is 0.01 ml
    assert (measured["1"].volume_ml, measured["1"].components) == (pytest.approx(0.71), 2)
    assert (measured["1"].smallest_ml, measured["1"].largest_ml) == (pytest.approx(0.08), pytest.approx(0.63))
    assert (measured["2"].volume_ml, measured["2"].components, measured["2"].smallest_ml) == (pytest.approx(0.03), 2, 0.01)
    assert together == 2


def test_components_that_touch_another_label_are_counted_by_shared_faces_edges_or_corners() -> None:
    measured, _ = measure_labels(kidney_with_tumour(), (1.0, 1.0, 1.0), None)
    assert measured["1"].touches == {"2": 1} and measured["2"].touches == {"1": 2}
    corner = np.zeros((3, 3, 3), np.uint8)
    corner[0, 0, 0], corner[1, 1, 1] = 1, 2
    measured, together = measure_labels(corner, (1.0, 1.0, 1.0), None)
    assert measured["1"].touches == {"2": 1} and measured["2"].touches == {"1": 1} and together == 1


def test_a_label_lies_inside_the_one_that_all_its_faces_border() -> None:
    labels = kidney_with_tumour()
    assert measure_labels(labels, (1.0, 1.0, 1.0), None)[0]["2"].inside == ()  # the tumour on the rim is not enclosed
    labels[4] = 0
    measured, _ = measure_labels(labels, (1.0, 1.0, 1.0), None)
    assert measured["2"].inside == ("1",) and measured["1"].inside == ()


def test_two_halves_of_an_image_do_not_lie_inside_each_other() -> None:
    halves = np.ones((4, 4, 4), np.uint8)
    halves[:, :, 2:] = 2
    measured, _ = measure_labels(halves, (1.0, 1.0, 1.0), None)
    assert measured["1"].inside == measured["2"].inside == () and measured["1"].touches == {"2": 1}


def test_voxels_that_share_a_corner_are_one_component_and_ignored_ones_are_background() -> None:
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = 1
    labels[2, 2, 2] = 9
    measured, together = measure_labels(labels, (1.0, 1.0, 1.0), 9)
    assert list(measured) == ["1"] and measured["1"].components == together == 1
    assert measure_labels(np.zeros((3, 3, 3), np.uint8), (1.0, 1.0, 1.0), None) == ({}, 0)


def test_intensities_are_the_draws_of_numpys_choice_over_all_foreground_voxels() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 40, 330, 330)).astype(np.float32)  # several slabs
    labels = (rng.random((40, 330, 330)) < 0.01).astype(np.uint8)
    box = ((3, 40), (10, 330), (0, 300))
    samples, in_foreground = sample_intensities(image, labels, box, None)
    expected_of = np.random.RandomState(1234)
    inside = (slice(3, 40), slice(10, 330), slice(0, 300))
    expected = [expected_of.choice(channel[inside][labels[inside] > 0], 10_000) for channel in image]
    assert in_foreground and np.array_equal(samples, expected)


def test_ignored_voxels_give_no_intensities_and_without_foreground_the_nonzero_ones_do() -> None:
    image = np.arange(216, dtype=np.int16).reshape(1, 6, 6, 6)
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[0], labels[5] = 2, 1
    samples, in_foreground = sample_intensities(image, labels, FULL_BOX, 2)
    assert in_foreground and set(np.unique(samples)) == set(range(180, 216))
    samples, in_foreground = sample_intensities(image, None, FULL_BOX, None)
    assert not in_foreground and set(np.unique(samples)) == set(range(1, 216))
    assert not sample_intensities(image * 0, labels * 0, FULL_BOX, None)[0].any()


def test_a_case_is_measured_inside_its_nonzero_box(tiny_dataset: Path) -> None:
    path = tiny_dataset / "imagesTr/tiny_0_0000.nii.gz"
    image = read_image(path)
    image.array[:, 0] = 0
    image.array[..., 4] = 0
    write_image(path, image.array, image)
    dataset = load_dataset(tiny_dataset)
    found = inspect_case(dataset.training[0], dataset, measure)
    assert found.measured is not None and [finding.code for finding in found.findings] == ["cropped_away"]
    assert (found.measured.fingerprint.shape, found.measured.fingerprint.shape_after_crop) == ((4, 6, 5), (3, 6, 4))
    assert found.measured.fingerprint.share_kept == pytest.approx(72 / 120, abs=1e-6)
    assert found.measured.fingerprint.spacing_mm == (3.0, 1.0, 1.0) and found.measured.fingerprint.orientation == "LPS"
    assert found.measured.fingerprint.labels["1"].volume_ml == pytest.approx(0.024)
    assert found.measured.in_foreground  # the lesion at x = 4 is cropped away
    assert set(np.unique(found.measured.samples)) == set(np.unique(image.array[0, 1:3, 1:3, 1:3]))


def test_the_fingerprint_pools_cases_and_is_read_back_as_it_was_written(tiny_dataset: Path, tmp_path: Path) -> None:
    values = {0: 10, 1: 20, 2: 60}
    for number, value in values.items():
        path = tiny_dataset / f"imagesTr/tiny_{number}_0000.nii.gz"
        image = read_image(path)
        image.array[0, 1:3, 1:3, 1:3] = image.array[0, 3, 5, 4] = value
        write_image(path, image.array, image)
    dataset = load_dataset(tiny_dataset)
    fingerprint = build_fingerprint(dataset, list(run_inspections(dataset, measure, workers=1)))
    statistics = fingerprint.foreground_intensities["0"]
    assert (statistics.mean, statistics.median) == (pytest.approx(30), 20)
    assert statistics.std == pytest.approx(np.std([10, 20, 60]))
    assert (statistics.percentile_00_5, statistics.percentile_99_5) == (10, 60)
    assert list(fingerprint.cases) == ["tiny_0", "tiny_1", "tiny_2"] and fingerprint.orientations == {"LPS": 3}
    organ = fingerprint.labels["1"]
    assert (organ.name, organ.cases, organ.components.maximum, organ.volume_ml.median) == ("organ", 3, 1, 0.024)
    assert organ.touches == {} and fingerprint.foreground_components is not None
    write_json(tmp_path / "fingerprint.json", fingerprint)
    assert read_model(tmp_path / "fingerprint.json", Fingerprint) == fingerprint


def test_touching_is_pooled_over_components_and_inside_over_cases(tiny_dataset: Path) -> None:
    for number in range(3):
        path = tiny_dataset / f"imagesTr/tiny_{number}_0000.nii.gz"
        label = np.zeros((4, 6, 5), np.uint8)
        label[0:3, 0:3, 0:3] = 1
        label[1, 1, 1] = 2
        label[3, 5, 4] = 2 if number == 0 else 0
        write_label(tiny_dataset / f"labelsTr/tiny_{number}.nii.gz", label, read_image(path))
    dataset = load_dataset(tiny_dataset)
    lesion = build_fingerprint(dataset, list(run_inspections(dataset, measure, workers=1))).labels["2"]
    assert lesion.touches == {"1": 0.75} and lesion.inside == ()
    without_first = dataset.model_copy(update={"training": dataset.training[1:]})
    lesion = build_fingerprint(without_first, list(run_inspections(dataset, measure, workers=1))).labels["2"]
    assert lesion.touches == {"1": 1.0} and lesion.inside == ("1",)


def test_inspection_gives_the_findings_of_verify_and_leaves_bad_cases_out_of_the_fingerprint(tiny_dataset: Path) -> None:
    (tiny_dataset / "labelsTr/tiny_1.nii.gz").write_text("no image")
    dataset = load_dataset(tiny_dataset)
    inspections = list(run_inspections(dataset, measure, workers=2))
    assert findings(prepare(dataset, PlanOptions()), inspections) == verify_dataset(dataset, workers=1)
    assert list(build_fingerprint(dataset, inspections).cases) == ["tiny_0", "tiny_2"]
    only_bad = dataset.model_copy(update={"training": dataset.training[1:2]})
    with pytest.raises(AutosegError, match="no training case without errors"):
        build_fingerprint(only_bad, inspections)


def test_real_cases_with_several_channels_and_lesions_are_measured(shared_data: Path) -> None:
    dataset = load_dataset(shared_data / "Dataset020_MSLesions")
    found = inspect_case(dataset.training[0], dataset, measure)
    assert found.measured is not None and not found.findings
    assert found.measured.samples.shape == (4, 10_000)
    assert found.measured.fingerprint.shape_after_crop == (126, 160, 127) and found.measured.fingerprint.orientation == "LAS"
    assert found.measured.fingerprint.labels["1"].volume_ml == 1.3
