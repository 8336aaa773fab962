"""Datasets whose images are DICOM series, and whose labels may be DICOM segments."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from autoseg.api import evaluate, plan_and_preprocess, verify
from autoseg.cli.main import main
from autoseg.dataset import load_dataset, read_case
from autoseg.digests import content_stamps
from autoseg.files import write_json
from autoseg.image_io import read_image, read_label, series_of, write_label
from autoseg.image_io.dicom.segmentation import write_segmentation
from autoseg.image_io.dicom.structures import Maker, structures_of
from autoseg.inference.inputs import list_inputs
from autoseg.provenance import file_stamps
from autoseg.workspace import Workspace, read_json
from tests.dicom.series import oblique, write_series


@pytest.fixture
def of_series(tiny_dataset: Path) -> Path:
    """The tiny dataset with a folder of DICOM files in place of each image."""
    for path in [*(tiny_dataset / "imagesTr").iterdir(), *(tiny_dataset / "imagesTs").iterdir()]:
        image = read_image(path)
        path.unlink()
        write_series(path.with_name(path.name.removesuffix(".nii.gz")), image.array[0], image.geometry, modality="MR")
    return tiny_dataset


def with_segments(dataset: Path) -> Path:
    """Put a DICOM SEG in place of each label."""
    for path in list((dataset / "labelsTr").iterdir()):
        like = read_image(dataset / "imagesTr" / path.name.replace(".nii.gz", "_0000"))
        labels = read_label(path).array[0]
        path.unlink()
        write_segmentation(path.with_name(path.name.replace(".nii.gz", ".dcm")), labels, like,
                           structures_of({"organ": 1, "lesion": 2}), Maker())
    return dataset


@pytest.mark.parametrize("kind", ["series", "series and segments"])
def test_a_dataset_of_series_is_that_of_its_images(tiny_dataset: Path, kind: str, tmp_path: Path) -> None:
    plain = Path(shutil.copytree(tiny_dataset, tmp_path / "plain/Dataset001_Tiny"))
    known = load_dataset(plain)
    for path in [*(tiny_dataset / "imagesTr").iterdir(), *(tiny_dataset / "imagesTs").iterdir()]:
        image = read_image(path)
        path.unlink()
        write_series(path.with_name(path.name.removesuffix(".nii.gz")), image.array[0], image.geometry, modality="MR")
    dataset = load_dataset(with_segments(tiny_dataset) if kind != "series" else tiny_dataset)
    assert [case.name for case in (*dataset.training, *dataset.test)] == [case.name for case in (*known.training, *known.test)]
    for ours, theirs in zip(dataset.training, known.training, strict=True):
        (image, label), (known_image, known_label) = read_case(ours, dataset), read_case(theirs, known)
        assert label is not None and known_label is not None
        np.testing.assert_array_equal(image.array, known_image.array)
        np.testing.assert_array_equal(label.array, known_label.array)
        assert not image.geometry.differences(known_image.geometry, image.array.shape[1:])
        assert not label.geometry.differences(image.geometry, image.array.shape[1:])
    assert verify(tiny_dataset, workers=1, quiet=True) == []


def test_planning_knows_modality_and_notices_a_slice_that_changed(of_series: Path, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "workspace")
    for path in (of_series / "imagesTr").iterdir():  # large enough for a network
        image = read_image(path)
        larger = np.kron(image.array[0], np.ones((1, 4, 4), np.int16))
        shutil.rmtree(path)
        write_series(path, larger, image.geometry, modality="MR")
        label = of_series / "labelsTr" / path.name.replace("_0000", ".nii.gz")
        write_label(label, np.kron(read_label(label).array[0], np.ones((1, 4, 4), np.uint8)), read_image(path))
    plan_and_preprocess(of_series, configurations=["2d"], workers=1, workspace=place.root, quiet=True)
    folder = place.dataset("Dataset001_Tiny")
    images = read_json(folder.root / "plans.json")["images"]
    assert images["modalities"] == ["MR"] and images["body_parts"] == ["HEAD"]
    series = series_of(of_series / "imagesTr/tiny_0_0000")
    before = content_stamps([series]), file_stamps([series])
    slice_file = of_series / "imagesTr/tiny_0_0000/IM0002.dcm"
    changed = pydicom.dcmread(slice_file)
    changed.PixelData = (np.frombuffer(changed.PixelData, "<i2") + 1).astype("<i2").tobytes()
    changed.save_as(slice_file)
    assert content_stamps([series]) != before[0] and file_stamps([series]) != before[1]


def test_a_label_of_segments_that_lies_elsewhere_is_a_finding(of_series: Path) -> None:
    with_segments(of_series)
    shutil.rmtree(of_series / "imagesTr/tiny_1_0000")
    write_series(of_series / "imagesTr/tiny_1_0000", np.ones((4, 6, 5), np.int16), oblique())
    findings = verify(of_series, workers=1, quiet=True)
    assert [(one.case, one.severity) for one in findings if one.severity == "error"] == [("tiny_1", "error")]
    assert "another grid" in " ".join(one.problem for one in findings)


def test_segments_are_evaluated_against_labels_and_against_segments(of_series: Path, tmp_path: Path) -> None:
    labels, like = np.zeros((4, 6, 5), np.uint8), read_image(of_series / "imagesTr/tiny_0_0000")
    labels[1, 1:3, 1:3] = 1  # half of the organ, without the lesion: Dice 2/3 and 0
    for folder, truth in (("a", "labelsTr"), ("b", "segments")):
        write_segmentation(tmp_path / folder / "tiny_0.dcm", labels, like, structures_of({"organ": 1, "lesion": 2}), Maker())
        if truth == "segments":
            with_segments(of_series)
        summary = evaluate(of_series / "labelsTr", tmp_path / folder, subset=True, workers=1, quiet=True).summary
        assert [summary.mean[key]["Dice"] for key in ("1", "2")] == pytest.approx([2 / 3, 0])


def test_predictions_of_a_model_of_one_channel_and_dataset_names_fit(of_series: Path, describe) -> None:  # type: ignore[no-untyped-def]
    items = list_inputs(of_series / "imagesTr", describe())
    assert [item.name for item in items] == ["tiny_0", "tiny_1", "tiny_2"] and not any(item.problem for item in items)


def test_verify_dicom_says_what_is_used_and_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = np.zeros((5, 6, 7), np.int16)
    write_series(tmp_path / "good", array, oblique(), SeriesNumber=2, SeriesDescription="T1")
    write_series(tmp_path / "scout", array[:3], oblique(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    (tmp_path / "readme.txt").write_text("x")
    assert main(["verify-dicom", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "case good: 5 × 6 × 7 voxels of 2.5 × 0.8 × 0.8 mm" in said and "left out: it is a localizer" in said
    assert "1 series can be used, 0 cannot, 1 are no volumes" in said
    write_series(tmp_path / "gap", array, oblique(), SeriesNumber=3)[2].unlink()
    assert main(["verify-dicom", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "REFUSED: 1 slice of 5 is missing" in said and "--repair" in said
    assert main(["verify-dicom", str(tmp_path), "--repair"]) == 0
    assert main(["verify-dicom", str(tmp_path / "readme.txt")]) == 1
    assert main(["verify-dicom", str(tmp_path / "nowhere")]) == 1


def test_a_folder_beside_images_that_is_no_series_changes_nothing(tiny_dataset: Path) -> None:
    (tiny_dataset / "imagesTr/old_0000").mkdir()
    write_json(tiny_dataset / "imagesTr/old_0000/note.json", {})
    write_label(tiny_dataset / "imagesTr/more/x.nii.gz", np.zeros((4, 6, 5), np.uint8),
                read_image(tiny_dataset / "imagesTr/tiny_0_0000.nii.gz"))
    assert [case.name for case in load_dataset(tiny_dataset).training] == ["tiny_0", "tiny_1", "tiny_2"]
