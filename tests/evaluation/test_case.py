"""One prediction against its reference: regions, the ignore label, empty classes, and what keeps files from being compared."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.case import CaseSummary, Pair, case_summary, compare, labels_that_occur
from autoseg.evaluation.lesions import lesion_counts
from autoseg.evaluation.surface import surface_distances
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label

SPACING_MM = (4.0, 1.0, 0.5)
CLASSES = Labels(values={"background": 0, "organ": 1, "lesion": 2, "cyst": 3})


def written(folder: Path, reference: np.ndarray, prediction: np.ndarray) -> Pair:
    for name, labels in (("reference", reference), ("prediction", prediction)):
        write_label(folder / name / "a.nii.gz", labels, Image(labels[None], Geometry(SPACING_MM)))
    return Pair("a", folder / "reference/a.nii.gz", folder / "prediction/a.nii.gz")


def summarized(folder: Path, reference: np.ndarray, prediction: np.ndarray, labels: Labels | None = CLASSES) -> CaseSummary:
    compared = compare(written(folder, reference, prediction), labels, tolerance_mm=1.0)
    return case_summary(compared, labels or labels_that_occur(compared.joint))


def random_labels(seed: int, values: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, values, (5, 9, 11)).astype(np.uint8)


def check_against_masks(found: dict[str, int | float], reference: np.ndarray, prediction: np.ndarray) -> None:
    distances, lesions = surface_distances(reference, prediction, SPACING_MM), lesion_counts(reference, prediction)
    assert (found["HD95"], found["ASSD"], found["NSD"]) == (distances.hd95_mm, distances.assd_mm, distances.nsd(1.0))
    assert (found["lesion_TP"], found["lesion_FP"], found["lesion_FN"]) == (lesions.tp, lesions.fp, lesions.fn)
    assert found["lesion_F1"] == lesions.f1
    assert found["volume_error_ml"] == pytest.approx((prediction.sum() - reference.sum()) * 2 / 1000)


@pytest.mark.parametrize("labels", [CLASSES, None])
def test_each_class_is_measured_as_its_mask(tmp_path: Path, labels: Labels | None) -> None:
    reference, prediction = random_labels(0), random_labels(1)
    metrics = summarized(tmp_path, reference, prediction, labels).metrics
    assert list(metrics) == ["1", "2", "3"]
    for key, found in metrics.items():
        check_against_masks(found, reference == int(key), prediction == int(key))


def test_a_region_is_measured_as_the_union_of_its_values(tmp_path: Path) -> None:
    labels = Labels(values={"background": 0, "whole": (1, 2, 3), "core": (2, 3), "enhancing": 3}, regions_class_order=(1, 2, 3))
    reference, prediction = random_labels(2), random_labels(3)
    reference[:, :, :4] = prediction[:2] = prediction[:, 7:] = 0  # boxes that are smaller than the image, and at its edge
    metrics = summarized(tmp_path, reference, prediction, labels).metrics
    for key, values in (("(1, 2, 3)", (1, 2, 3)), ("(2, 3)", (2, 3)), ("3", (3,))):
        check_against_masks(metrics[key], np.isin(reference, values), np.isin(prediction, values))


def test_a_region_in_a_2d_image_has_its_contour_in_the_plane(tmp_path: Path) -> None:
    labels = Labels(values={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
    reference = np.pad(np.ones((1, 6, 6), np.uint8), ((0, 0), (3, 3), (3, 3)))
    prediction = reference.copy()
    prediction[0, 6, 6] = 0  # a hole; with three dimensions the whole plane would be surface, and its distance 0
    found = summarized(tmp_path, reference, prediction, labels).metrics["(1, 2)"]
    check_against_masks(found, reference == 1, prediction == 1)
    assert found["ASSD"] > 0


@pytest.mark.parametrize("regions", [False, True])
def test_voxels_whose_reference_is_ignored_belong_to_neither_mask(tmp_path: Path, regions: bool) -> None:
    reference, prediction = random_labels(4), random_labels(5, 3)
    known = reference != 3
    if regions:
        labels = Labels(values={"background": 0, "whole": (1, 2), "core": 2, "ignore": 3}, regions_class_order=(1, 2), ignore=3)
    else:
        labels = Labels(values={"background": 0, "organ": 1, "lesion": 2, "ignore": 3}, ignore=3)
    metrics = summarized(tmp_path, reference, prediction, labels).metrics
    for key, values in ((("(1, 2)", (1, 2)),) if regions else (("1", (1,)),)) + (("2", (2,)),):
        check_against_masks(metrics[key], np.isin(reference, values), np.isin(prediction, values) & known)


def test_classes_that_are_empty_on_one_side_or_both_are_as_documented(tmp_path: Path) -> None:
    reference, prediction = np.zeros((3, 4, 5), np.uint8), np.zeros((3, 4, 5), np.uint8)
    reference[1, 1, 1] = 1
    prediction[1, 1, 1] = 2
    metrics = summarized(tmp_path, reference, prediction).metrics
    for key, error_ml in (("1", -0.002), ("2", 0.002)):
        alone = metrics[key]
        assert (alone["Dice"], alone["NSD"], alone["lesion_F1"]) == (0, 0, 0)
        assert (alone["HD95"], alone["ASSD"]) == (math.inf, math.inf) and alone["volume_error_ml"] == pytest.approx(error_ml)
    absent = metrics["3"]
    assert all(math.isnan(absent[name]) for name in ("Dice", "IoU", "HD95", "ASSD", "NSD", "lesion_F1"))
    assert (absent["volume_error_ml"], absent["lesion_TP"], absent["TN"]) == (0, 0, 60)


def test_an_unknown_value_belongs_to_no_class(tmp_path: Path) -> None:
    reference, prediction = random_labels(6), random_labels(7)
    prediction[prediction == 3] = 200
    metrics = summarized(tmp_path, reference, prediction).metrics
    assert list(metrics) == ["1", "2", "3"] and metrics["3"]["HD95"] == math.inf
    check_against_masks(metrics["1"], reference == 1, prediction == 1)


def test_two_names_for_one_value_are_both_measured(tmp_path: Path) -> None:
    labels = Labels(values={"background": 0, "whole": (1, 2), "core": 2, "again": (2,)}, regions_class_order=(1, 2, 2))
    metrics = summarized(tmp_path, random_labels(8, 3), random_labels(9, 3), labels).metrics
    assert list(metrics) == ["(1, 2)", "2", "(2,)"] and metrics["2"] == metrics["(2,)"]


def test_negative_values_are_refused_with_case_and_file(tmp_path: Path) -> None:
    pair, negative = written(tmp_path, random_labels(0), random_labels(0)), -random_labels(0).astype(np.int16)
    write_image(pair.prediction, negative[None], Image(negative[None], Geometry(SPACING_MM)))
    with pytest.raises(AutosegError, match=r"case a: .*prediction.a\.nii\.gz holds negative values"):
        compare(pair, CLASSES, 1.0)
