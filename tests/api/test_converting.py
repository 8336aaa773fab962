"""Datasets from DICOM: series, and SEG or RTSTRUCT anywhere beside them, become nnU-Net's layout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from autoseg import api, image_io
from autoseg.api.converting import ConvertResult, convert
from autoseg.cli.main import main
from autoseg.conversion.classes import classes_of
from autoseg.dataset import load_dataset, read_case
from autoseg.errors import AutosegError
from autoseg.image import Geometry
from tests.dicom.segments import write_seg
from tests.dicom.series import oblique, write_series
from tests.dicom.structure_sets import square, write_structure_set

AXIAL = Geometry((3.0, 1.0, 1.0), (0.0, 0.0, 100.0))
SHAPE = (5, 16, 18)


def voxels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, SHAPE).astype(np.int16)


def box(z: slice, y: slice, x: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[z, y, x] = True
    return mask


LIVER, TUMOR = box(slice(1, 4), slice(2, 9), slice(3, 12)), box(slice(2, 3), slice(10, 13), slice(4, 6))


def series(folder: Path, seed: int, patient: str, geometry: Geometry = AXIAL, **tags: Any) -> list[Path]:
    return write_series(folder, voxels(seed), geometry, study=f"1.2.{seed}", PatientID=patient, **tags)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Patient A has a SEG, patient B a structure set that calls its regions otherwise; both lie apart from their series."""
    root = tmp_path / "collection"
    images = series(root / "A" / "ct", 1, "A", oblique())
    write_seg(root / "annotations" / "one.dcm", images, {"Liver": LIVER, "Tumor": TUMOR})
    images = series(root / "B" / "images", 2, "B")
    write_structure_set(root / "B" / "structures.dcm", images, {
        "liver ": [square(z, 2.5, 1.5, 7) for z in (103, 106, 109)], "iso": [np.array([(3.0, 3.0, 103.0)])],
        "tumor": [square(106, 3.5, 9.5, 3)]}, kinds={
            "liver ": "CLOSED_PLANAR", "iso": "POINT", "tumor": "CLOSED_PLANAR"})
    return root


def converted(source: Path, **options: Any) -> ConvertResult:
    return convert(source, source.parent / "out", workers=1, quiet=True, **options)


def labels_of(folder: Path, case: str) -> np.ndarray:
    return image_io.read_label(folder / "labelsTr" / f"{case}.nii.gz").array[0]


def test_seg_and_rtstruct_become_labels_on_the_grid_of_their_series(source: Path) -> None:
    result = converted(source, labels=["liver", "tumor"])
    assert (result.training, result.test, result.written, result.failed) == (2, 0, 2, {})
    out = source.parent / "out"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.nii.gz")) == [
        "imagesTr/A_0000.nii.gz", "imagesTr/B_0000.nii.gz", "labelsTr/A.nii.gz", "labelsTr/B.nii.gz"]
    content = json.loads((out / "dataset.json").read_text())
    assert content["labels"] == {"background": 0, "liver": 1, "tumor": 2}
    assert (content["channel_names"], content["numTraining"], content["file_ending"]) == ({"0": "CT"}, 2, ".nii.gz")
    for case, folder in (("A", "A/ct"), ("B", "B/images")):
        original, written = image_io.read_image(source / folder), image_io.read_image(out / f"imagesTr/{case}_0000.nii.gz")
        assert np.array_equal(original.array, written.array) and original.array.dtype == written.array.dtype
        assert not original.geometry.differences(written.geometry, SHAPE)
        assert not image_io.read_label(out / f"labelsTr/{case}.nii.gz").geometry.differences(original.geometry, SHAPE)
    assert np.array_equal(labels_of(out, "A"), LIVER + 2 * TUMOR)
    b = np.zeros(SHAPE, int)
    b[1:4, 2:9, 3:10], b[2, 10:13, 4:7] = 1, 2
    assert np.array_equal(labels_of(out, "B"), b)


def test_the_dataset_is_one_that_planning_accepts(source: Path) -> None:
    converted(source, labels=["liver", "tumor"])
    out = source.parent / "out"
    assert not [one for one in api.verify(out, workers=1, workspace=source.parent / "ws", quiet=True) if one.severity == "error"]
    dataset = load_dataset(out)
    assert [read_case(case, dataset)[0].array.shape for case in dataset.training] == [(1, *SHAPE)] * 2


def test_codes_of_segments_are_kept(source: Path) -> None:
    """The structure set has none; highdicom's are those of the liver for both segments."""
    converted(source, labels=["liver", "tumor"])
    content = json.loads((source.parent / "out" / "dataset.json").read_text())
    assert content["dicom_codes"]["tumor"]["type"] == ["10200004", "SCT", "Liver"]
    assert load_dataset(source.parent / "out").dicom_codes["liver"].type.meaning == "Liver"


def test_the_record_says_what_each_case_was_made_from(source: Path) -> None:
    converted(source)
    lines = [json.loads(line) for line in (source.parent / "out" / "autoseg_conversion.jsonl").read_text().splitlines()]
    entry = next(line["result"] for line in lines if line.get("output") == "labelsTr/A.nii.gz" and line.get("result"))
    seg = pydicom.dcmread(source / "annotations" / "one.dcm")
    assert entry["patient"] == "A"
    assert [channel["series"] for channel in entry["channels"]] == [seg.ReferencedSeriesSequence[0].SeriesInstanceUID]
    assert entry["notes"] == []
    assert [(label["instance"], label["kind"]) for label in entry["labels"]] == [(seg.SOPInstanceUID, "SEG")]


def test_names_that_differ_in_writing_alone_are_one_class_and_said(source: Path) -> None:
    result = converted(source)
    assert list(result.classes.items()) == [("background", 0), ("Liver", 1), ("Tumor", 2)]
    assert any("Liver, liver" in note for note in result.notes)


def test_classes_are_chosen_renamed_and_put_in_order() -> None:
    names = ["Liver", "liver", "GTV-1", "gtv 2", "Heart", "Ignore", "background"]
    assert dict(classes_of(names).values) == {"GTV-1": 1, "gtv 2": 2, "Heart": 3, "Liver": 4, "ignore": 5}
    assert list(classes_of(["rib 10", "rib 2", "Aorta"]).values) == ["Aorta", "rib 2", "rib 10"]
    chosen = classes_of(names, ["tumor", "LIVER"], {"GTV_1": "tumor", "GTV 2": "tumor"})
    assert dict(chosen.values) == {"tumor": 1, "LIVER": 2}
    assert dict(chosen.of_name) == {"GTV-1": "tumor", "gtv 2": "tumor", "Liver": "LIVER", "liver": "LIVER"}
    with pytest.raises(AutosegError, match=r'--labels names "lever".*Did you mean "liver".*Heart'):
        classes_of(names, ["lever"])
    with pytest.raises(AutosegError, match=r'--rename names "kidney"'):
        classes_of(names, [], {"kidney": "x"})


def test_classes_that_overlap_are_refused_or_go_to_the_later(tmp_path: Path) -> None:
    for case, seed in (("A", 1), ("B", 2)):
        images = series(tmp_path / "s" / case, seed, case)
        write_seg(tmp_path / "s" / f"{case}.dcm", images, {"organ": LIVER, "lesion": TUMOR if case == "B" else LIVER & box(
            slice(2, 3), slice(4, 6), slice(4, 6))})
    result = convert(tmp_path / "s", tmp_path / "out", workers=1, quiet=True)
    assert result.training == 1
    assert '"lesion" and "organ" (4 voxels)' in result.failed["A"] and "--overlap later" in result.failed["A"]
    assert not list((tmp_path / "out").rglob("A*"))
    result = convert(tmp_path / "s", tmp_path / "later", labels=["organ", "lesion"], overlap="later", workers=1, quiet=True)
    assert result.failed == {} and (labels_of(tmp_path / "later", "A") == 2).sum() == 4
    result = convert(tmp_path / "s", tmp_path / "sooner", labels=["lesion", "organ"], overlap="later", workers=1, quiet=True)
    assert (labels_of(tmp_path / "sooner", "A") == 1).sum() == 0


def test_several_files_of_one_series_are_merged_but_not_the_same_class(source: Path) -> None:
    images = sorted((source / "A" / "ct").iterdir())
    other = write_seg(source / "other.dcm", images, {"Vessel": box(slice(0, 1), slice(0, 2), slice(0, 2))})
    assert converted(source, labels=["liver", "vessel"]).failed == {}
    assert labels_of(source.parent / "out", "A")[0, 1, 1] == 2
    again = write_seg(source / "again.dcm", images, {"liver": LIVER})
    result = convert(source, source.parent / "twice", workers=1, quiet=True)
    assert list(result.failed) == ["A"] and str(again) in result.failed["A"] and "one.dcm" in result.failed["A"]
    assert str(other) not in result.failed["A"] and "--only" in result.failed["A"]
    write_structure_set(again, sorted((source / "A" / "ct").iterdir()), {"liver": []})
    assert convert(source, source.parent / "seg", only="seg", workers=1, quiet=True).training == 1
    assert list(convert(source, source.parent / "both", workers=1, quiet=True).failed) == ["A"]


def test_what_is_of_no_series_is_named_and_left_out(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(source / "A")
    (source / "damaged.dcm").write_bytes((source / "annotations" / "one.dcm").read_bytes()[:-300])
    assert main(["convert", str(source), "-o", str(source.parent / "out"), "-np", "1"]) == 1
    said = capsys.readouterr()
    assert "Left out: SEG" in said.out and "one.dcm" in said.out and "which is not there" in said.out
    assert "damaged.dcm" in said.err
    assert (source.parent / "out" / "labelsTr" / "B.nii.gz").exists()


def test_a_series_with_a_gap_fails_alone_unless_it_is_mended(source: Path) -> None:
    sorted((source / "A" / "ct").iterdir())[2].unlink()
    result = converted(source)
    assert result.training == 1 and "missing" in result.failed[str(source / "annotations" / "one.dcm")]


def test_series_without_labels_are_test_cases_on_request(source: Path) -> None:
    series(source / "C" / "ct", 3, "C")
    result = converted(source)
    assert result.test == 0 and any("--with-unlabelled" in note for note in result.notes)
    assert converted(source, with_unlabelled=True).test == 1
    assert (source.parent / "out" / "imagesTs" / "C_0000.nii.gz").exists()


def test_the_same_command_goes_on_where_it_stopped(source: Path) -> None:
    converted(source)
    out = source.parent / "out"
    before = (out / "labelsTr" / "A.nii.gz").stat().st_mtime_ns
    (out / "labelsTr" / "B.nii.gz").unlink()
    result = converted(source)
    assert (result.training, result.written) == (2, 1)
    assert (out / "labelsTr" / "A.nii.gz").stat().st_mtime_ns == before and (out / "labelsTr" / "B.nii.gz").exists()
    os.utime(source / "annotations" / "one.dcm")
    assert converted(source).written == 1
    with pytest.raises(AutosegError, match="--overwrite"):
        converted(source, labels=["tumor"])
    assert converted(source, labels=["tumor"], overwrite=True).written == 2
    assert labels_of(out, "A").max() == 1


def test_no_case_of_other_options_stays(source: Path) -> None:
    """Whose label values would mean something else."""
    converted(source, labels=["liver", "iso"], rename={"tumor": "iso"})
    shutil.rmtree(source / "B")
    (source.parent / "out" / "labelsTr" / "mine.txt").write_text("mine")
    assert converted(source, labels=["tumor"], overwrite=True).training == 1
    there = sorted(path.name for path in (source.parent / "out").rglob("*.*"))
    assert there == ["A.nii.gz", "A_0000.nii.gz", "autoseg_conversion.jsonl", "dataset.json", "mine.txt"]


@pytest.mark.parametrize("several", [False, True])
def test_a_file_that_names_no_images_belongs_to_the_only_series_in_its_space(tmp_path: Path, several: bool) -> None:
    names = ["T1", "T2"] if several else ["T1"]
    images = mr_study(tmp_path / "s", 1, "A", names)[0]
    write_structure_set(tmp_path / "s" / "a.dcm", images, {"liver": [square(103, 1.5, 1.5, 5)]},
                        ReferencedFrameOfReferenceSequence=[])
    if several:
        with pytest.raises(AutosegError, match=r"made on the images of 2 cases: A_T1, A_T2"):
            convert(tmp_path / "s", tmp_path / "out", workers=1, quiet=True)
    else:
        assert convert(tmp_path / "s", tmp_path / "out", workers=1, quiet=True).training == 1


def test_other_folders_are_not_written_into(source: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for target, reason in ((tmp_path / "mine", "not empty"), (source, "lies in"), (source.parent, "lies in")):
        with pytest.raises(AutosegError, match=reason):
            convert(source, target, quiet=True)


def test_a_dry_run_writes_nothing(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(source), "-o", str(source.parent / "out"), "--dry-run"]) == 0
    assert "Liver" in capsys.readouterr().out and not (source.parent / "out").exists()


def mr_study(
    root: Path, seed: int, patient: str, names: Sequence[str], geometries: Sequence[Geometry] = (AXIAL,) * 9
) -> list[list[Path]]:
    space = f"1.3.{seed}"
    return [write_series(root / patient / name, voxels(seed * 10 + index), geometries[index], modality="MR", study=f"1.2.{seed}",
                         PatientID=patient, SeriesDescription=f"{name} axial", SeriesNumber=index + 1, FrameOfReferenceUID=space)
            for index, name in enumerate(names)]


def test_series_of_a_study_are_channels(tmp_path: Path) -> None:
    root = tmp_path / "s"
    first = mr_study(root, 1, "A", ["T1", "FLAIR", "DWI"])
    write_seg(root / "A" / "seg.dcm", first[1], {"lesion": TUMOR})
    second = mr_study(root, 2, "B", ["T1", "DWI"])
    write_seg(root / "B" / "seg.dcm", second[0], {"lesion": TUMOR})
    third = mr_study(root, 3, "C", ["T1", "FLAIR"], [AXIAL, Geometry((3.0, 1.0, 1.0), (5.0, 0.0, 100.0))])
    write_seg(root / "C" / "seg.dcm", third[0], {"lesion": TUMOR})
    result = convert(root, tmp_path / "out", channels=["t1", "flair"], workers=1, quiet=True)
    assert result.training == 1 and sorted(result.failed) == ["B", "C"]
    assert "no series is the channel flair" in result.failed["B"] and "does not lie on the grid" in result.failed["C"]
    for channel, name in enumerate(("T1", "FLAIR")):
        written = image_io.read_image(tmp_path / "out" / "imagesTr" / f"A_{channel:04}.nii.gz").array
        assert np.array_equal(written, image_io.read_image(root / "A" / name).array)
    assert np.array_equal(labels_of(tmp_path / "out", "A") > 0, TUMOR)
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["channel_names"] == {"0": "t1", "1": "flair"}


def test_two_phases_of_ct_are_normalized_as_ct(tmp_path: Path) -> None:
    for phase, seed in (("arterial", 1), ("venous", 2)):
        images = write_series(tmp_path / "s" / "A" / phase, voxels(seed), AXIAL, study="1.2.3", PatientID="A",
                              SeriesDescription=f"Abdomen {phase}")
    write_structure_set(tmp_path / "s" / "a.dcm", images, {"liver": [square(103, 1.5, 1.5, 5)]})  # on the second phase
    result = convert(tmp_path / "s", tmp_path / "out", channels=["arterial", "venous"], workers=1, quiet=True)
    assert result.training == 1 and any("different frames of reference" in note for note in result.notes)
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["channel_names"] == {"0": "CT", "1": "CT"}
    assert not [one for one in api.verify(tmp_path / "out", workers=1, workspace=tmp_path, quiet=True) if one.severity == "error"]


def test_a_patients_cases_are_a_group_and_modalities_are_not_mixed(tmp_path: Path) -> None:
    root = tmp_path / "s"
    for seed, folder in ((1, "A/early"), (2, "A/late"), (3, "B")):
        write_seg(root / folder / "seg.dcm", series(root / folder / "ct", seed, folder[0]), {"liver": LIVER})
    result = convert(root, tmp_path / "out", workers=1, quiet=True)
    assert result.training == 3
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["groups"] == {"A": ["A_early", "A_late"]}
    assert load_dataset(tmp_path / "out").groups == {"A_early": "A", "A_late": "A"}
    shutil.rmtree(root / "B")
    convert(root, tmp_path / "one", workers=1, quiet=True)  # whose ID tells nothing
    assert "groups" not in json.loads((tmp_path / "one" / "dataset.json").read_text())
    images = mr_study(root, 4, "D", ["T1"])
    write_seg(root / "D" / "seg.dcm", images[0], {"liver": LIVER})
    with pytest.raises(AutosegError, match=r"several modalities: CT \(2\), MR \(1\).*--channels"):
        convert(root, tmp_path / "mixed", workers=1, quiet=True)
    assert convert(root, tmp_path / "mixed", channels=["ct"], workers=1, quiet=True).training == 2


def test_nothing_drawn_is_an_error(tmp_path: Path) -> None:
    series(tmp_path / "s" / "A", 1, "A")
    with pytest.raises(AutosegError, match="1 volume and 0 files of SEG or RTSTRUCT"):
        convert(tmp_path / "s", tmp_path / "out", quiet=True)
    (tmp_path / "e").mkdir()
    with pytest.raises(AutosegError, match="holds no series"):
        convert(tmp_path / "e", tmp_path / "out", quiet=True)
    with pytest.raises(AutosegError, match="no folder"):
        convert(tmp_path / "none", tmp_path / "out", quiet=True)


def test_a_killed_conversion_goes_on(source: Path) -> None:
    """Killed when the first label was written."""
    out = source.parent / "out"
    program = ("import os, sys; from autoseg.conversion import writing; write = writing.write_label\n"
               "def die(path, *rest):\n    write(path, *rest); os._exit(9)\n"
               "writing.write_label = die; from autoseg import api; api.convert(sys.argv[1], sys.argv[2], workers=1, quiet=True)")
    assert subprocess.run([sys.executable, "-c", program, source, out], check=False).returncode == 9
    assert not (out / "dataset.json").exists()
    assert converted(source).training == 2
    assert json.loads((out / "dataset.json").read_text())["numTraining"] == 2
    assert not list(out.rglob(".tmp*"))
