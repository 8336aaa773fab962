"""What is made of DICOM series: DICOM SEG, RTSTRUCT and NIfTI, that agree, and belong to one case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from autoseg import evaluate, predict_files
from autoseg.cli.predict import main
from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.image_io import read_image, read_label, write_image
from autoseg.image_io.dicom import verified
from autoseg.image_io.dicom.codes import Code, Coding
from autoseg.image_io.dicom.segments import open_segments
from autoseg.image_io.dicom.segments import read_label as read_segments_as_labels
from autoseg.tasks.segmentation import files
from tests.dicom.series import oblique, write_series

LIVER = Coding(Code("10200004", "SCT", "Liver"))
REGIONS = Labels(values={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))


@pytest.fixture(autouse=True)
def _by_hand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "dcmqi", lambda: None)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """A study of one series, as a case of its folder's name."""
    array = np.random.default_rng(0).integers(-100, 100, (6, 9, 8)).astype(np.int16)
    write_series(tmp_path / "study" / "P1", array, oblique((1.5, 1.0, 1.0)))
    return tmp_path / "study"


@pytest.fixture
def model(tmp_path: Path, describe: Any, save_model: Any) -> Path:
    description = describe(labels=Labels(values={"background": 0, "liver": 1, "tumor": 2}))
    root: Path = save_model(tmp_path, description.model_copy(update={"dicom_codes": {"liver": LIVER}})).root
    return root


def states(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def predict(source: Path, out: Path, model: Path, **options: Any) -> Any:
    return predict_files(source, out, model=model, quiet=True, device="cpu", **options)


def test_a_series_gives_nifti_and_a_seg_of_the_same_voxels(series: Path, model: Path, tmp_path: Path) -> None:
    result = predict(series, tmp_path / "out", model)
    assert result.failed == {} and result.written == {"P1": tmp_path / "out" / "P1.nii.gz"}
    assert result.made == "1 segmentation(s) as NIfTI, DICOM SEG (in seg)"
    labels, like = read_label(tmp_path / "out" / "P1.nii.gz"), read_image(series / "P1")
    assert not labels.geometry.differences(like.geometry, like.array.shape[1:]) and labels.array.any()
    path = tmp_path / "out" / "seg" / "P1.dcm"
    assert np.array_equal(read_segments_as_labels(path, (like.geometry, like.array.shape[1:])).array, labels.array)
    made = pydicom.dcmread(path)
    assert made.PatientID == "P1" and "Dataset001_Tiny, tiny, default, fold 0" in made.SeriesDescription
    assert [(segment.label, segment.coding) for segment in open_segments(path).segments] == [
        ("liver", LIVER), ("tumor", files.structures_of({"tumor": 2})[0].coding)]


def test_what_is_there_stays_and_another_choice_makes_what_lacks(series: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(series, out, model, dicom="nifti")
    assert sorted(states(out)) == ["P1.nii.gz", "autoseg_prediction.jsonl"]
    before = states(out)
    assert predict(series, out, model, dicom=("seg", "rtstruct", "nifti")).already_there == 0
    after = states(out)
    assert after["P1.nii.gz"] == before["P1.nii.gz"] and {"seg/P1.dcm", "rtstruct/P1.dcm"} <= after.keys()
    for dicom in (None, ("seg",), ("rtstruct",), ("seg", "rtstruct", "nifti")):
        assert predict(series, out, model, dicom=dicom).already_there == 1
    assert states(out) == after
    (out / "seg" / "P1.dcm").unlink()
    assert predict(series, out, model).already_there == 0
    assert {name for name, time in states(out).items() if time != after.get(name)} == {"seg/P1.dcm", "autoseg_prediction.jsonl"}


def test_a_case_that_was_killed_between_its_files_is_made_again(
    series: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_segmentation", killed)
    with pytest.raises(KeyboardInterrupt):
        predict(series, tmp_path / "out", model)
    monkeypatch.undo()
    assert (tmp_path / "out" / "P1.nii.gz").exists() and not (tmp_path / "out" / "seg").exists()
    monkeypatch.setattr(verified, "dcmqi", lambda: None)
    assert predict(series, tmp_path / "out", model).already_there == 0
    assert (tmp_path / "out" / "seg" / "P1.dcm").exists() and predict(series, tmp_path / "out", model).already_there == 1


def test_a_seg_that_cannot_be_written_is_the_cases_fault_and_tried_again(
    series: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AutosegError("it differs.")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_segmentation", refuse)
        assert predict(series, tmp_path / "out", model).failed == {"P1": "it differs."}
    assert predict(series, tmp_path / "out", model).failed == {}


def test_other_files_of_the_user_are_not_replaced(series: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "seg").mkdir(parents=True)
    (tmp_path / "out" / "seg" / "P1.dcm").write_bytes(b"mine")
    for overwrite in (False, True):
        assert "autoseg did not make it" in predict(series, tmp_path / "out", model, overwrite=overwrite).failed["P1"]
    assert (tmp_path / "out" / "seg" / "P1.dcm").read_bytes() == b"mine"


def test_without_nifti_the_seg_is_the_main_file_and_can_be_evaluated(series: Path, model: Path, tmp_path: Path) -> None:
    result = predict(series, tmp_path / "out", model, dicom=["seg"])
    assert result.written == {"P1": tmp_path / "out" / "seg" / "P1.dcm"} and result.compare_with is None
    predict(series, tmp_path / "references", model, dicom=["nifti"])
    (tmp_path / "references" / "autoseg_prediction.jsonl").unlink()
    found = evaluate(tmp_path / "references", tmp_path / "out" / "seg", quiet=True)
    assert found.failed == 0 and {metrics["Dice"] for metrics in found.summary.mean.values()} == {1.0}


def test_one_file_may_be_named_as_nifti_or_as_seg(series: Path, model: Path, tmp_path: Path) -> None:
    predict(series / "P1", tmp_path / "a.nii.gz", model)
    predict(series / "P1", tmp_path / "a.dcm", model)
    like = read_image(series / "P1")
    assert np.array_equal(read_label(tmp_path / "a.nii.gz").array,
                          read_segments_as_labels(tmp_path / "a.dcm", (like.geometry, like.array.shape[1:])).array)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dcm", "a.nii.gz", "models", "study"]
    with pytest.raises(AutosegError, match=r"ends with \.nrrd, but what is made of .* is written as \.nii\.gz"):
        predict(series / "P1", tmp_path / "a.nrrd", model)
    with pytest.raises(AutosegError, match="dicom= gives further files"):
        predict(series / "P1", tmp_path / "b.nii.gz", model, dicom=["seg"])


def test_dicom_of_another_image_is_an_error_of_that_case(series: Path, model: Path, tmp_path: Path) -> None:
    image = read_image(series / "P1")
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "b.nii.gz", image.array.astype(np.float32), image)
    result = predict(tmp_path / "in", tmp_path / "out", model, dicom=["seg", "nifti"])
    assert result.written == {} and "b.nii.gz is no DICOM series, which --dicom seg needs" in result.failed["b"]
    assert predict(tmp_path / "in", tmp_path / "out", model, dicom=["nifti"]).made == "1 segmentation(s)"


def test_regions_overlap_in_a_seg_and_cannot_be_a_label_map(
    series: Path, describe: Any, save_model: Any, tmp_path: Path, model: Path
) -> None:
    root = save_model(tmp_path / "regions", describe(labels=REGIONS)).root
    predict(series, tmp_path / "out", root)
    like = read_image(series / "P1")
    grid, labels = (like.geometry, like.array.shape[1:]), read_label(tmp_path / "out" / "P1.nii.gz").array[0]
    seg = open_segments(tmp_path / "out" / "seg" / "P1.dcm")
    assert [segment.label for segment in seg.segments] == ["whole", "core"]
    assert np.array_equal(seg.mask(1, grid), labels > 0) and np.array_equal(seg.mask(2, grid), labels == 2)
    with pytest.raises(AutosegError, match="dicom_labelmap= writes one number"):
        predict(series, tmp_path / "other", root, dicom_labelmap=True)
    predict(series, tmp_path / "map", model, dicom_labelmap=True)
    assert pydicom.dcmread(tmp_path / "map" / "seg" / "P1.dcm").SegmentationType == "LABELMAP"
    with pytest.raises(AutosegError, match="DICOM SEG labelmap"):
        predict(series, tmp_path / "map", model)


def test_the_command_says_what_it_wrote(series: Path, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-i", str(series), "-o", str(tmp_path / "out"), "-m", str(model), "--dicom", "seg", "rtstruct"]) == 0
    said = capfd.readouterr()
    assert f"Wrote 1 segmentation(s) as DICOM SEG (in seg), DICOM RTSTRUCT (in rtstruct) to {tmp_path / 'out'}." in said.out
    assert "autoseg evaluate" not in said.out
    with pytest.raises(SystemExit):
        main(["-i", str(series), "-o", str(tmp_path / "out"), "-m", str(model), "--dicom", "dose"])
