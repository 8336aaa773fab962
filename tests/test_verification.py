"""Every fault that a dataset can have is found, with its case and file, and one fault hides no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Labels, load_dataset
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import read_image, read_label, write_image, write_label
from autoseg.verification.case import check_case, suggest_mapping
from autoseg.verification.findings import Finding, in_paragraphs
from autoseg.verification.inspection import inspection_findings, run_inspections, verify_dataset
from autoseg.verification.repair import find_mapping, repair_labels

GRID = Geometry((3.0, 1.0, 1.0), (10.0, -20.0, 30.0))


def found(folder: Path) -> list[tuple[str, str, str]]:
    """(case, severity, code) of every finding, checked in this process."""
    return [(finding.case, finding.severity, finding.code) for finding in verify_dataset(load_dataset(folder), workers=1)]


def on(geometry: Geometry, shape: tuple[int, int, int] = (4, 6, 5)) -> Image:
    return Image(np.zeros((1, *shape), np.uint8), geometry)


def change_label(folder: Path, case: str, old: int, new: int) -> None:
    path = folder / f"labelsTr/{case}.nii.gz"
    label = read_label(path)
    write_label(path, np.where(label.array[0] == old, new, label.array[0]).astype(np.uint8), label)


def test_a_dataset_without_faults_has_no_finding(tiny_dataset: Path) -> None:
    assert found(tiny_dataset) == []


def test_the_real_decathlon_and_nnunet_datasets_have_no_finding(shared_data: Path) -> None:
    dataset = load_dataset(shared_data / "Dataset010_LumbarSpine")
    assert verify_dataset(dataset.model_copy(update={"training": dataset.training[:2]}), workers=1)[:1] == [Finding(
        case="", file=str((shared_data / "Dataset010_LumbarSpine/imagesTr").resolve()), severity="warning",
        code="stray_files", problem="23 file(s) belong to no case: spine_04_0000.nii.gz, spine_06_0000.nii.gz, "
        "spine_09_0000.nii.gz, spine_11_0000.nii.gz, spine_13_0000.nii.gz, ...",
        remedy="They are not used. Name them as dataset.json says if they should be.")]
    hippocampus = load_dataset(shared_data / "Dataset004_Hippocampus")
    assert all(not check_case(case, hippocampus).findings for case in hippocampus.training[:20])


def test_missing_files_are_findings_of_their_case(tiny_dataset: Path) -> None:
    (tiny_dataset / "imagesTr/tiny_0_0000.nii.gz").unlink()
    (tiny_dataset / "labelsTr/tiny_1.nii.gz").unlink()
    assert found(tiny_dataset) == [
        ("tiny_0", "error", "missing_file"), ("tiny_1", "error", "missing_file")]


def test_listed_cases_that_are_absent_share_one_paragraph_that_names_each(tiny_dataset: Path) -> None:
    names = [f"case_{number:03d}" for number in range(60)]
    content = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "organ"}, "training": [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]}
    (tiny_dataset / "dataset.json").write_text(json.dumps(content))
    _, text = in_paragraphs([f for f in verify_dataset(load_dataset(tiny_dataset), workers=1) if f.severity == "error"])
    assert text.startswith("Error, 60 cases (case_000, ") and all(name in text for name in names)


def test_too_few_and_too_many_channels_are_counted(tiny_dataset: Path) -> None:
    source = tiny_dataset / "dataset.json"
    source.write_text(source.read_text().replace('{"0": "MRI"}', '{"0": "T1", "1": "T2"}'))
    findings = verify_dataset(load_dataset(tiny_dataset), workers=1)
    assert findings[0].problem == "the image has 1 channel(s), dataset.json names 2 (T1, T2)"
    assert "up to _0001.nii.gz" in findings[0].remedy
    source.write_text(source.read_text().replace('{"0": "T1", "1": "T2"}', '{"0": "MRI"}'))
    image = read_image(tiny_dataset / "imagesTr/tiny_0_0000.nii.gz")
    write_image(tiny_dataset / "imagesTr/tiny_0_0001.nii.gz", image.array + 1, image)
    assert ("tiny_0", "error", "channels") in found(tiny_dataset)


def test_another_shape_is_an_error_with_both_shapes(tiny_dataset: Path) -> None:
    write_label(tiny_dataset / "labelsTr/tiny_0.nii.gz", np.ones((4, 6, 4), np.uint8), on(GRID, (4, 6, 4)))
    finding, = verify_dataset(load_dataset(tiny_dataset), workers=1)
    assert (finding.case, finding.severity, finding.code) == ("tiny_0", "error", "grid")
    assert finding.problem == "the label does not lie on the image's grid: shape (z, y, x) (4, 6, 4) against (4, 6, 5)"


@pytest.mark.parametrize(("geometry", "words"), [
    (Geometry((3.0, 1.0, 1.5), (10.0, -20.0, 30.0)), "spacing_mm (3.0, 1.0, 1.5) against (3.0, 1.0, 1.0)"),
    (Geometry((3.0, 1.0, 1.0), (10.0, -20.0, 31.0)), "origin_mm (10.0, -20.0, 31.0) against (10.0, -20.0, 30.0)"),
    (Geometry((3.0, 1.0, 1.0), (10.0, -20.0, 30.0), (1, 0, 0, 0, -1, 0, 0, 0, 1)), "direction"),
])
def test_another_spacing_origin_or_direction_is_an_error(tiny_dataset: Path, geometry: Geometry, words: str) -> None:
    write_label(tiny_dataset / "labelsTr/tiny_0.nii.gz", np.ones((4, 6, 5), np.uint8), on(geometry))
    finding, = verify_dataset(load_dataset(tiny_dataset), workers=1)
    assert (finding.case, finding.severity, finding.code) == ("tiny_0", "error", "grid") and words in finding.problem


def test_a_geometry_that_differs_by_rounding_is_no_finding(tiny_dataset: Path) -> None:
    geometry = Geometry((3.0001, 1.00001, 1.0), (10.0005, -20.0, 30.0))
    write_label(tiny_dataset / "labelsTr/tiny_0.nii.gz", np.ones((4, 6, 5), np.uint8), on(geometry))
    assert found(tiny_dataset) == []


def test_label_values_that_dataset_json_does_not_name_are_listed(tiny_dataset: Path) -> None:
    change_label(tiny_dataset, "tiny_1", 2, 3)
    change_label(tiny_dataset, "tiny_2", 2, 255)
    change_label(tiny_dataset, "tiny_2", 1, 127)
    findings = verify_dataset(load_dataset(tiny_dataset), workers=1)
    labels = tiny_dataset / "labelsTr"
    assert [str(finding) for finding in findings] == [
        f"case tiny_1: the label holds the values 0, 1, 3, dataset.json names 0, 1, 2 ({labels / 'tiny_1.nii.gz'}). "
        f"autoseg verify {tiny_dataset} --repair NEW_FOLDER writes a corrected copy (2 for 3).",
        f"case tiny_2: the label holds the values 0, 127, 255, dataset.json names 0, 1, 2 ({labels / 'tiny_2.nii.gz'}). "
        f"autoseg verify {tiny_dataset} --repair NEW_FOLDER writes a corrected copy (1 for 127, 2 for 255)."]


def test_the_ignore_value_is_known(tiny_dataset: Path) -> None:
    source = tiny_dataset / "dataset.json"
    source.write_text(source.read_text().replace('"lesion": 2', '"ignore": 2'))
    assert found(tiny_dataset) == []
    change_label(tiny_dataset, "tiny_1", 1, 0)
    assert found(tiny_dataset) == [("tiny_1", "warning", "empty_label")]


def test_nan_and_infinite_voxels_are_counted(tiny_dataset: Path) -> None:
    path = tiny_dataset / "imagesTr/tiny_0_0000.nii.gz"
    image = read_image(path)
    array = image.array.astype(np.float32)
    array[0, 0, 0, :2] = np.nan, np.inf
    write_image(path, array, image)
    finding, = verify_dataset(load_dataset(tiny_dataset), workers=1)
    assert (finding.case, finding.code, finding.problem) == ("tiny_0", "not_finite", "2 voxel(s) are NaN or infinite")


def test_truncated_and_foreign_files_are_errors_and_the_rest_is_checked(tiny_dataset: Path) -> None:
    path = tiny_dataset / "imagesTr/tiny_0_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:120])
    (tiny_dataset / "labelsTr/tiny_1.nii.gz").write_text("no image at all")
    change_label(tiny_dataset, "tiny_0", 2, 7)
    findings = verify_dataset(load_dataset(tiny_dataset), workers=1)
    assert [(finding.case, finding.code, Path(finding.file).name) for finding in findings] == [
        ("tiny_0", "unreadable", "tiny_0_0000.nii.gz"), ("tiny_0", "label_values", "tiny_0.nii.gz"),
        ("tiny_1", "unreadable", "tiny_1.nii.gz")]


def test_an_empty_label_and_a_constant_image_are_warnings(tiny_dataset: Path) -> None:
    write_label(tiny_dataset / "labelsTr/tiny_0.nii.gz", np.zeros((4, 6, 5), np.uint8), on(GRID))
    write_image(tiny_dataset / "imagesTr/tiny_1_0000.nii.gz", np.full((1, 4, 6, 5), 7, np.int16), on(GRID))
    assert found(tiny_dataset) == [
        ("tiny_0", "warning", "empty_label"),
        ("tiny_1", "warning", "one_value")]


def test_copies_among_training_images_are_named_with_their_original(tiny_dataset: Path) -> None:
    image = read_image(tiny_dataset / "imagesTr/tiny_0_0000.nii.gz")
    write_image(tiny_dataset / "imagesTr/tiny_2_0000.nii.gz", image.array, image)  # other bytes would be as well
    finding, = verify_dataset(load_dataset(tiny_dataset), workers=1)
    assert (finding.case, finding.severity, finding.code) == ("tiny_2", "warning", "duplicate")
    assert finding.problem == "the image is the same as that of case tiny_0"


def test_a_training_image_among_the_test_images_is_an_error_and_its_name_alone_a_warning(tiny_dataset: Path) -> None:
    shutil.copy(tiny_dataset / "imagesTr/tiny_0_0000.nii.gz", tiny_dataset / "imagesTs/other_0000.nii.gz")
    shutil.copy(tiny_dataset / "imagesTs/tiny_3_0000.nii.gz", tiny_dataset / "imagesTs/tiny_1_0000.nii.gz")
    assert found(tiny_dataset) == [
        ("tiny_0", "error", "in_test"),
        ("tiny_1", "warning", "same_name")]


def test_the_same_channel_twice_in_a_case_is_a_warning(tiny_dataset: Path) -> None:
    for number in range(3):
        path = tiny_dataset / f"imagesTr/tiny_{number}_0000.nii.gz"
        image = read_image(path)
        write_image(path.with_name(f"tiny_{number}_0001.nii.gz"), image.array + (number > 0), image)
    shutil.rmtree(tiny_dataset / "imagesTs")
    source = tiny_dataset / "dataset.json"
    source.write_text(source.read_text().replace('{"0": "MRI"}', '{"0": "T1", "1": "T2"}'))
    assert found(tiny_dataset) == [("tiny_0", "warning", "same_channel")]


def test_a_wrong_number_of_cases_and_gaps_in_label_values_are_warnings(tiny_dataset: Path) -> None:
    source = tiny_dataset / "dataset.json"
    source.write_text(source.read_text().replace('"numTraining": 3', '"numTraining": 4').replace(
        '"lesion": 2', '"lesion": 2, "cyst": 5'))
    assert found(tiny_dataset) == [
        ("", "warning", "case_count"), ("", "warning", "absent_class"), ("", "warning", "label_gaps")]


def test_several_processes_find_the_same(tiny_dataset: Path) -> None:
    change_label(tiny_dataset, "tiny_2", 2, 9)
    (tiny_dataset / "labelsTr/tiny_0.nii.gz").unlink()
    dataset = load_dataset(tiny_dataset)
    done: list[str] = []
    assert verify_dataset(dataset, workers=2, on_case_done=done.append) == verify_dataset(dataset, workers=1)
    assert sorted(done) == ["tiny_0", "tiny_1", "tiny_2", "tiny_3"]


def test_errors_are_shown_first_and_equal_findings_share_a_paragraph() -> None:
    findings = [
        Finding(case="a", file="/data/a.nii", severity="warning", code="one_value", problem="odd", remedy="look"),
        Finding(case="b", file="/data/b.nii", severity="error", code="unreadable", problem="broken", remedy="mend"),
        Finding(case="c", file="/data/c.nii", severity="error", code="unreadable", problem="broken", remedy="mend"),
    ]
    assert in_paragraphs(findings) == [
        "3 findings, 2 cases with errors:", "Error, 2 cases (b, c): broken.\n  In: 2 files in /data\n  To do: mend",
        "Warning, case a: odd.\n  In: /data/a.nii\n  To do: look"]


@pytest.mark.parametrize(("values", "mapping"), [
    ([0, 255], {255: 1}), ([0, 2], {2: 1}), ([0, 127, 255], None), ([0, 1], None), ([0], None), ([0, 1, 2], None),
])
def test_a_mapping_is_offered_only_where_it_is_clear(values: list[int], mapping: dict[int, int] | None) -> None:
    assert suggest_mapping(values, Labels(values={"background": 0, "cell": 1})) == mapping


def test_a_mapping_may_pair_all_values_and_leaves_ignore_out_where_it_is_not_there() -> None:
    assert suggest_mapping([0, 127, 255], Labels(values={"b": 0, "x": 1, "y": 2})) == {127: 1, 255: 2}
    assert suggest_mapping([0, 2, 3], Labels(values={"b": 0, "x": 1, "y": 2})) is None  # 2 may be right
    assert suggest_mapping([0, 255], Labels(values={"b": 0, "x": 1, "ignore": 2}, ignore=2)) == {255: 1}
    assert suggest_mapping([0, 1, 255], Labels(values={"b": 0, "x": 1, "ignore": 2}, ignore=2)) == {255: 2}


def test_the_repaired_copy_is_a_dataset_without_faults_and_the_users_files_stay(tiny_dataset: Path, tmp_path: Path) -> None:
    change_label(tiny_dataset, "tiny_1", 2, 255)
    before = {path: path.read_bytes() for path in tiny_dataset.rglob("*") if path.is_file()}
    dataset = load_dataset(tiny_dataset)
    target = tmp_path / "Dataset002_Repaired"
    assert repair_labels(dataset, {255: 2}, target, workers=1) == []
    repaired = load_dataset(target)
    assert verify_dataset(repaired, workers=1) == []
    assert [case.name for case in repaired.training] == ["tiny_0", "tiny_1", "tiny_2"]
    assert repaired.training[0].label == tiny_dataset / "labelsTr/tiny_0.nii.gz"
    assert repaired.training[1].label == target / "labelsTr/tiny_1.nii.gz"
    label = read_label(target / "labelsTr/tiny_1.nii.gz")
    assert np.unique(label.array, return_counts=True)[1].tolist() == [111, 8, 1]
    moved = target.rename(tmp_path / "Dataset003_Moved")
    assert load_dataset(moved).training[1].label == moved / "labelsTr/tiny_1.nii.gz"
    assert verify_dataset(load_dataset(moved), workers=1) == []
    assert {path: path.read_bytes() for path in tiny_dataset.rglob("*") if path.is_file()} == before


def test_a_case_that_the_mapping_does_not_mend_is_left_out_and_named(tiny_dataset: Path, tmp_path: Path) -> None:
    change_label(tiny_dataset, "tiny_1", 2, 255)
    change_label(tiny_dataset, "tiny_2", 2, 77)
    findings = repair_labels(load_dataset(tiny_dataset), {255: 2}, tmp_path / "new", workers=1)
    assert [finding.case for finding in findings] == ["tiny_2"] and "holds 77 besides" in findings[0].problem
    assert [case.name for case in load_dataset(tmp_path / "new").training] == ["tiny_0", "tiny_1"]


def test_where_every_case_is_bad_none_is_advised_to_be_left_out(tiny_dataset: Path) -> None:
    """Of three unreadable images all; of two, the third is left."""
    advice = "leave the case out with --skip-bad-cases"
    for number in range(3):
        (tiny_dataset / f"imagesTr/tiny_{number}_0000.nii.gz").write_bytes(b"no image")
        remedies = [finding.remedy for finding in verify_dataset(load_dataset(tiny_dataset), workers=1)
                    if finding.code == "unreadable"]
        assert len(remedies) == number + 1 and all((advice in remedy) == (number < 2) for remedy in remedies)


def test_repair_refuses_a_folder_that_holds_something_and_a_dataset_without_fault(tiny_dataset: Path) -> None:
    dataset = load_dataset(tiny_dataset)
    with pytest.raises(AutosegError, match="is not empty"):
        repair_labels(dataset, {255: 1}, tiny_dataset, workers=1)
    with pytest.raises(AutosegError, match="nothing to repair"):
        find_mapping(dataset, workers=1)
    change_label(tiny_dataset, "tiny_2", 2, 77)
    change_label(tiny_dataset, "tiny_1", 2, 78)
    with pytest.raises(AutosegError, match="not clear which stands for which"):
        find_mapping(dataset, workers=1)


def test_the_real_membrane_labels_of_0_and_255_are_named_and_repaired(shared_data: Path, tmp_path: Path) -> None:
    dataset = load_dataset(shared_data / "Dataset030_Membrane")
    dataset = dataset.model_copy(update={"training": dataset.training[:2]})
    finding = check_case(dataset.training[0], dataset).findings[0]
    assert finding.problem == "the label holds the values 0, 255, dataset.json names 0, 1" and "1 for 255" in finding.remedy
    mapping = find_mapping(dataset, workers=1)
    assert mapping == {255: 1}
    assert repair_labels(dataset, mapping, tmp_path / "Dataset031_Membrane", workers=1) == []
    repaired = load_dataset(tmp_path / "Dataset031_Membrane")
    assert not [f for f in verify_dataset(repaired, workers=1) if f.severity == "error"]
    before, after = (read_label(path).array for path in (dataset.training[0].label, repaired.training[0].label) if path)
    assert np.array_equal(before == 255, after == 1)


def test_names_that_look_like_several_scans_of_a_patient_are_one_warning(tiny_dataset: Path) -> None:
    renamed = {"tiny_0": "01_a", "tiny_1": "01_b", "tiny_2": "02_a"}
    for old, new in renamed.items():
        (tiny_dataset / f"imagesTr/{old}_0000.nii.gz").rename(tiny_dataset / f"imagesTr/{new}_0000.nii.gz")
        (tiny_dataset / f"labelsTr/{old}.nii.gz").rename(tiny_dataset / f"labelsTr/{new}.nii.gz")
    assert found(tiny_dataset) == []
    for kind, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        shutil.copy(tiny_dataset / kind / f"02_a{ending}", tiny_dataset / kind / f"02_b{ending}")
    content = json.loads((tiny_dataset / "dataset.json").read_text())
    write_json(tiny_dataset / "dataset.json", {**content, "numTraining": 4})
    warnings = [finding for finding in verify_dataset(load_dataset(tiny_dataset), workers=1) if finding.code == "patients"]
    assert [(finding.case, finding.severity, finding.file) for finding in warnings] == [
        ("", "warning", str(tiny_dataset / "dataset.json"))]
    assert '"groups": {"01": ["01_a", "01_b"], "02": ["02_a", "02_b"]}' in warnings[0].remedy
    groups = {"groups": {"01": ["01_a", "01_b"], "02": ["02_a", "02_b"]}}
    write_json(tiny_dataset / "dataset.json", {**content, "numTraining": 4, **groups})
    assert not [code for _, _, code in found(tiny_dataset) if code == "patients"]


def test_the_repaired_copy_keeps_the_groups_of_the_cases_that_it_has(tiny_dataset: Path, tmp_path: Path) -> None:
    content = json.loads((tiny_dataset / "dataset.json").read_text())
    write_json(tiny_dataset / "dataset.json", {**content, "groups": {"p": ["tiny_0", "tiny_1", "tiny_2"]}})
    change_label(tiny_dataset, "tiny_1", 2, 255)
    change_label(tiny_dataset, "tiny_2", 2, 77)
    repair_labels(load_dataset(tiny_dataset), {255: 2}, tmp_path / "new", workers=1)
    assert load_dataset(tmp_path / "new").groups == {"tiny_0": "p", "tiny_1": "p"}


def test_a_case_that_is_called_normal_needs_no_label_but_for_segmentation(tiny_dataset: Path) -> None:
    (tiny_dataset / "labelsTr/tiny_0.nii.gz").unlink()
    source = tiny_dataset / "dataset.json"
    source.write_text(json.dumps({**json.loads(source.read_text()), "case_labels": {"tiny_0": "normal"}}))
    dataset = load_dataset(tiny_dataset)
    assert verify_dataset(dataset, workers=1) == []
    inspections = list(run_inspections(dataset, lambda checked, dataset: None, workers=1))
    alone, = inspection_findings(dataset, inspections, case_labels_suffice=False)
    assert (alone.case, alone.severity, alone.code) == ("tiny_0", "error", "no_label")


def test_folders_of_images_are_checked_like_any_dataset(tmp_path: Path) -> None:
    for name in ("normal/p1_a.png", "normal/p1_b.png", "abnormal/p2_a.png", "abnormal/p2_b.png"):
        (tmp_path / "D" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "D" / name).write_bytes(b"no picture")
    findings = verify_dataset(load_dataset(tmp_path / "D"), workers=1)
    assert [finding.case for finding in findings if finding.severity == "error"] == ["p1_a", "p1_b", "p2_a", "p2_b"]
    warning, = (finding for finding in findings if finding.severity == "warning")
    assert "several scans of one patient" in warning.problem and "let the files' names say so" in warning.remedy
    assert warning.file == str(tmp_path / "D")


def test_an_image_that_is_called_normal_and_abnormal_is_an_error_of_both_cases(tmp_path: Path) -> None:
    for path in ("normal/one", "normal/two", "abnormal/copy_of_two"):
        pixels = np.full((4, 4), 9 if path == "normal/one" else 5, np.uint8)
        pixels[0, 0] = 200
        image = Image(pixels[None, None], Geometry((1.0, 1.0, 1.0)))
        write_image(tmp_path / "pictures" / f"{path}.png", image.array, like=image)
    findings = verify_dataset(load_dataset(tmp_path / "pictures"), workers=1)
    assert [(finding.case, finding.severity, finding.code, finding.problem) for finding in findings] == [
        ("two", "error", "contradiction",
         "it is called normal, but its image is that of case copy_of_two, which is called abnormal"),
        ("copy_of_two", "error", "contradiction",
         "it is called abnormal, but its image is that of case two, which is called normal")]
