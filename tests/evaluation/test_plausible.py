"""Files that are no labels, and values that dataset.json does not name, are told from a bad segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.api import evaluate
from autoseg.errors import AutosegError
from autoseg.evaluation.plausible import image_fault
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import read_image, read_label, write_image

LABEL = np.zeros((4, 6, 8), np.uint8)
LABEL[1:3, 2:5, 2:6] = 1


def folder_of(parent: Path, name: str, *arrays: np.ndarray) -> Path:
    for number, array in enumerate(arrays):
        write_image(parent / name / f"c{number}.nii.gz", array[None], Image(array[None], Geometry((1.0, 1.0, 1.0))))
    return parent / name


def described(folder: Path) -> None:
    write_json(folder / "dataset.json", {"labels": {"background": 0, "organ": 1, "lesion": 2}})


def test_values_that_dataset_json_does_not_name_end_in_an_error(tmp_path: Path) -> None:
    truth, wrong = folder_of(tmp_path, "truth", LABEL, LABEL), folder_of(tmp_path, "wrong", LABEL * 255, LABEL * 255)
    with pytest.raises(AutosegError, match=r"no value but 0 in common: references hold 1, predictions 255"):
        evaluate(truth, wrong, quiet=True)
    described(truth)
    with pytest.raises(AutosegError, match=r"The predictions hold 255 besides 0, dataset\.json names 1, 2"):
        evaluate(truth, wrong, quiet=True)
    described(wrong)
    with pytest.raises(AutosegError, match=r"The references hold 255 besides 0"):
        evaluate(wrong, truth, quiet=True)
    assert not (wrong / "summary.json").exists()


def test_single_cases_with_other_values_are_named_and_counted_as_background(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, found = folder_of(tmp_path, "truth", LABEL, LABEL), folder_of(tmp_path, "found", LABEL, LABEL * 255)
    described(truth)
    summary = evaluate(truth, found).summary
    assert summary.unnamed == {"predictions": {"255": ("c1",)}}
    assert [case.mean_dice for case in summary.metric_per_case] == [1.0, 0.0]
    assert "1 of the predictions holds values that dataset.json does not name: 255 (c1)" in " ".join(
        capsys.readouterr().out.split())


def test_images_in_place_of_labels_fail_in_one_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.random.default_rng(0).integers(0, 200, LABEL.shape).astype(np.uint8)
    truth, images = folder_of(tmp_path, "truth", LABEL, LABEL), folder_of(tmp_path, "images", image, image)
    result = evaluate(truth, images)
    out = " ".join(capsys.readouterr().out.split())
    assert result.failed == 2 and "c0, c1" in out and "Mean of 0" not in out and "an image and no" in out


def test_real_images_are_told_from_real_labels(shared_data: Path) -> None:
    folder = shared_data / "Dataset004_Hippocampus"
    for label in sorted((folder / "labelsTr").glob("*.nii.gz"))[:5]:
        array = read_label(label).array[0]
        assert not image_fault(array, np.unique(array).tolist())
        image = read_image(folder / "imagesTr" / label.name).array[0].astype(np.int64)
        assert image_fault(image, np.unique(image).tolist())
    many, = (shared_data / "ct_example").glob("*seg*.nii*")
    array = read_label(many).array[0]
    assert not image_fault(array, np.unique(array).tolist())


def test_a_subset_is_evaluated_where_it_is_asked_for(tmp_path: Path) -> None:
    truth, found = folder_of(tmp_path, "truth", LABEL, LABEL), folder_of(tmp_path, "found", LABEL)
    whole = evaluate(truth, found, quiet=True)
    assert whole.failed == 1 and "--subset" in whole.summary.failed["c1"]
    part = evaluate(truth, found, quiet=True, subset=True)
    assert (part.failed, part.cases, part.summary.foreground_mean["Dice"]) == (0, 1, 1.0)
