"""Both layouts as models, the errors of a dataset.json, and a case read into one array."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Dataset, Labels, find_dataset, load_dataset, load_labels, read_case
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image
from autoseg.image_io.dicom.codes import ANATOMY, Code, Coding
from autoseg.workspace import Workspace, read_model


def describe(folder: Path, **changes: Any) -> Path:
    """Change entries of dataset.json; None removes one."""
    source = folder / "dataset.json"
    content = {**json.loads(source.read_text()), **changes}
    source.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return folder


def test_an_nnunet_folder_is_read_with_channels_labels_and_cases_sorted(tiny_dataset: Path) -> None:
    dataset = load_dataset(tiny_dataset)
    assert (dataset.name, dataset.layout, dataset.file_ending) == ("Dataset001_Tiny", "nnunet", ".nii.gz")
    assert dataset.channel_names == ("MRI",)
    assert [case.name for case in dataset.training] == ["tiny_0", "tiny_1", "tiny_2"]
    assert dataset.training[0].images == (tiny_dataset / "imagesTr/tiny_0_0000.nii.gz",)
    assert dataset.training[0].label == tiny_dataset / "labelsTr/tiny_0.nii.gz"
    assert [(case.name, case.label) for case in dataset.test] == [("tiny_3", None)]
    assert dataset.labels.foreground == {"organ": (1,), "lesion": (2,)}


def test_files_that_an_operating_system_leaves_behind_are_no_cases(tiny_dataset: Path) -> None:
    for name in ("._tiny_0_0000.nii.gz", ".DS_Store", "._tiny_9_0000.nii.gz"):
        (tiny_dataset / "imagesTr" / name).touch()
    assert len(load_dataset(tiny_dataset).training) == 3


def test_a_channel_that_one_case_lacks_is_still_expected_there(tiny_dataset: Path) -> None:
    shutil.copy(tiny_dataset / "imagesTr/tiny_0_0000.nii.gz", tiny_dataset / "imagesTr/tiny_0_0001.nii.gz")
    dataset = load_dataset(describe(tiny_dataset, channel_names={"0": "T1", "1": "T2"}))
    assert [path.name for path in dataset.training[1].images] == ["tiny_1_0000.nii.gz", "tiny_1_0001.nii.gz"]


def test_a_label_without_image_and_an_image_without_label_are_cases_too(tiny_dataset: Path) -> None:
    (tiny_dataset / "imagesTr/tiny_0_0000.nii.gz").unlink()
    (tiny_dataset / "labelsTr/tiny_1.nii.gz").unlink()
    assert [case.name for case in load_dataset(tiny_dataset).training] == ["tiny_0", "tiny_1", "tiny_2"]


def test_the_dataset_section_replaces_imagesTr_and_may_name_absolute_paths(tiny_dataset: Path) -> None:
    absolute = str(tiny_dataset / "imagesTr/tiny_1_0000.nii.gz")
    section = {
        "b": {"images": [absolute], "label": "labelsTr/tiny_1.nii.gz"},
        "a": {"images": ["./imagesTr/tiny_0_0000.nii.gz"], "label": "labelsTr/tiny_0.nii.gz"},
    }
    dataset = load_dataset(describe(tiny_dataset, dataset=section))
    assert [case.name for case in dataset.training] == ["a", "b"]
    assert dataset.training[0].images == (tiny_dataset / "imagesTr/tiny_0_0000.nii.gz",)
    assert dataset.training[1].images == (Path(absolute),)


def test_regions_keep_their_order_and_the_ignore_value_has_no_channel(tiny_dataset: Path) -> None:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    found = load_dataset(describe(tiny_dataset, labels=labels, regions_class_order=[1, 2, 3])).labels
    assert found.foreground == {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}
    assert (found.ignore, found.output_channels, found.known_values) == (4, 3, (0, 1, 2, 3, 4))
    assert found.regions_class_order == (1, 2, 3)


def test_a_decathlon_folder_is_read_with_labels_the_other_way_round(tiny_dataset: Path) -> None:
    entries = [{"image": f"./imagesTr/tiny_{n}_0000.nii.gz", "label": f"./labelsTr/tiny_{n}.nii.gz"} for n in (1, 0)]
    write_json(tiny_dataset / "dataset.json", {
        "modality": {"0": "FLAIR", "1": "T1w"}, "labels": {"0": "background", "2": "edema", "1": "core"},
        "training": [*entries, {"image": "./imagesTr/absent.nii.gz", "label": "./labelsTr/absent.nii.gz"},
                     {"image": "./imagesTr/._tiny_0.nii.gz", "label": "./labelsTr/._tiny_0.nii.gz"}],
        "test": ["./imagesTs/tiny_3_0000.nii.gz"]})
    dataset = load_dataset(tiny_dataset)
    assert (dataset.layout, dataset.channel_names, dataset.file_ending) == ("decathlon", ("FLAIR", "T1w"), ".nii.gz")
    assert dataset.labels.values == {"background": 0, "core": 1, "edema": 2}
    assert [case.name for case in dataset.training] == ["absent", "tiny_0_0000", "tiny_1_0000"]
    assert [case.name for case in dataset.test] == ["tiny_3_0000"]


def test_a_listed_image_may_lie_there_as_one_file_per_channel(tiny_dataset: Path) -> None:
    entry = {"image": "./imagesTr/tiny_0.nii.gz", "label": "./labelsTr/tiny_0.nii.gz"}
    write_json(tiny_dataset / "dataset.json", {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "organ"},
                                               "training": [entry]})
    assert load_dataset(tiny_dataset).training[0].images == (tiny_dataset / "imagesTr/tiny_0_0000.nii.gz",)


def test_the_real_decathlon_hippocampus_lists_207_cases(shared_data: Path) -> None:
    dataset = load_dataset(shared_data / "Dataset004_Hippocampus")
    assert len(dataset.training) == 207
    assert dataset.labels.values == {"background": 0, "Anterior": 1, "Posterior": 2}
    image, label = read_case(dataset.training[0], dataset)
    assert label is not None and image.array.shape == (1, *label.array.shape[1:])


@pytest.mark.parametrize(("changes", "words"), [
    ({"labels": None}, 'no entry "labels"'),
    ({"channel_names": None}, 'no entry "channel_names"'),
    ({"file_ending": None}, 'no entry "file_ending"'),
    ({"file_ending": ".nrrd"}, "Files there end with .nii.gz"),
    ({"channel_names": {"1": "MRI"}}, 'counted from "0"'),
    ({"labels": ["background", "organ"]}, "expected names and values"),
    ({"labels": {"background": 1, "organ": 2}}, "expected 0"),
    ({"labels": {"background": 0, "organ": "one"}}, "expected a whole number"),
    ({"labels": {"background": 0, "organ": -1}}, "expected a whole number"),
    ({"labels": {"background": 0, "organ": 2, "ignore": 1}}, "above all others: 3"),
    ({"labels": {"background": 0, "whole": [1, 2], "core": 2}}, "regions_class_order"),
    ({"labels": {"background": 0, "whole": [1, 2]}, "regions_class_order": 1}, "expected a list of label values"),
    ({"labels": {"0": "background", "1": "organ", "2": "organ"}}, 'both named "organ"'),
    ({"dataset": {"a": {"images": "a.nii.gz"}}}, 'case a in "dataset"'),
    ({"dataset": [1]}, '"dataset" is no object'),
    ({"groups": ["tiny_0"]}, '"groups" is [\'tiny_0\'], expected {"patient_7": ["case_a", "case_b"], ...} or {"case_a"'),
    ({"groups": {"tiny_0": None}}, "\"groups\" holds 'tiny_0': None, expected"),
    ({"groups": {"p": ["tiny_0", 1]}}, "expected"),
    ({"groups": {"p": []}}, "expected"),
    ({"groups": {"p": ["tiny_0", "tiny_8", "tiny_9"]}}, "names 2 cases that the dataset does not have: tiny_8, tiny_9. "),
    ({"groups": {"p": "tiny_0"}}, "does not have: p. Correct them (the cases are called tiny_0, tiny_1, tiny_2, ...)"),
    ({"groups": {"p": ["tiny_0", "tiny_1"], "q": ["tiny_1"]}}, "puts tiny_1 into p and q. Leave each case in one group."),
    ({"groups": {"p": ["tiny_0"], "tiny_0": "q"}}, "puts tiny_0 into p and q."),
])
def test_a_dataset_json_that_cannot_be_used_is_named_with_what_is_expected(
    tiny_dataset: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(AutosegError) as caught:
        load_dataset(describe(tiny_dataset, **changes))
    assert words in str(caught.value) and str(tiny_dataset) in str(caught.value)


@pytest.mark.parametrize(("groups", "found"), [
    ({"patient 7": ["tiny_0", "tiny_1"]}, {"tiny_0": "patient 7", "tiny_1": "patient 7"}),
    ({"tiny_0": "7", "tiny_1": 7, "tiny_2": "8"}, {"tiny_0": "7", "tiny_1": "7", "tiny_2": "8"}),
    ({"tiny_0": "p", "p": ["tiny_1", "tiny_3"]}, {"tiny_0": "p", "tiny_1": "p", "tiny_3": "p"}),
    ({"tiny_1": "tiny_0"}, {"tiny_0": "tiny_0", "tiny_1": "tiny_0"}),
    ({}, {}),
    (None, {}),
])
def test_groups_are_read_either_way_round(tiny_dataset: Path, groups: dict[str, Any] | None, found: dict[str, str]) -> None:
    """tiny_3 is a test case; a case that is another one's group belongs to it."""
    assert load_dataset(describe(tiny_dataset, groups=groups)).groups == found


def test_groups_of_a_decathlon_folder_are_read(tiny_dataset: Path) -> None:
    entries = [{"image": f"./imagesTr/tiny_{n}_0000.nii.gz", "label": f"./labelsTr/tiny_{n}.nii.gz"} for n in (1, 0)]
    write_json(tiny_dataset / "dataset.json", {
        "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "organ"}, "training": entries,
        "groups": {"p": ["tiny_0_0000", "tiny_1_0000"]}})
    assert load_dataset(tiny_dataset).groups == {"tiny_0_0000": "p", "tiny_1_0000": "p"}


def test_a_workspaces_dataset_json_of_before_there_were_groups_is_read(tiny_dataset: Path) -> None:
    dataset = load_dataset(tiny_dataset)
    before = dataset.model_dump(mode="json")
    del before["groups"]
    assert Dataset.model_validate(before) == dataset


def test_a_missing_folder_a_missing_file_and_broken_json_are_told_apart(tiny_dataset: Path) -> None:
    with pytest.raises(AutosegError, match="is no folder"):
        load_dataset(tiny_dataset / "nowhere")
    with pytest.raises(AutosegError, match=r"imagesTr has no dataset.json; it holds tiny_0_0000.nii.gz"):
        load_dataset(tiny_dataset / "imagesTr")
    (tiny_dataset / "dataset.json").write_text('{"labels": {')
    with pytest.raises(AutosegError, match="not valid JSON"):
        load_dataset(tiny_dataset)
    (tiny_dataset / "dataset.json").write_text("[]")
    with pytest.raises(AutosegError, match="holds no object"):
        load_dataset(tiny_dataset)


def test_a_dataset_json_saved_by_a_windows_editor_is_read(tiny_dataset: Path) -> None:
    source = tiny_dataset / "dataset.json"
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes())
    assert len(load_dataset(tiny_dataset).training) == 3


def test_a_case_that_is_listed_twice_is_refused(tiny_dataset: Path) -> None:
    entry = {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}
    write_json(tiny_dataset / "dataset.json", {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"},
                                               "training": [entry, entry]})
    with pytest.raises(AutosegError, match="lists a more than once"):
        load_dataset(tiny_dataset)


def test_a_dataset_without_labels_needs_no_labelsTr(tiny_dataset: Path) -> None:
    shutil.rmtree(tiny_dataset / "labelsTr")
    dataset = load_dataset(describe(tiny_dataset, labels={"background": 0}))
    assert [case.label for case in dataset.training] == [None] * 3


def test_the_workspaces_copy_leads_to_the_users_folder(tiny_dataset: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    dataset = load_dataset(tiny_dataset)
    write_json(workspace.dataset(dataset.name).dataset_json, dataset)
    assert load_dataset(workspace.dataset(dataset.name).root) == dataset
    assert load_labels(workspace.dataset(dataset.name).dataset_json) == dataset.labels
    assert find_dataset(str(workspace.dataset(dataset.name).root), workspace) == tiny_dataset
    for argument in ("Dataset001_Tiny", "1", "001"):
        assert find_dataset(argument, workspace) == tiny_dataset


def test_names_and_numbers_are_found_under_the_raw_folders(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    monkeypatch.delenv("nnUNet_raw", raising=False)
    monkeypatch.delenv("AUTOSEG_RAW", raising=False)
    with pytest.raises(AutosegError, match="No dataset lies there at all"):
        find_dataset("1", workspace)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    assert find_dataset("1", workspace) == tiny_dataset
    shutil.copytree(tiny_dataset, tmp_path / "Dataset001_Other")
    with pytest.raises(AutosegError, match="Several datasets have the number 1: Dataset001_Other, Dataset001_Tiny"):
        find_dataset("1", workspace)
    with pytest.raises(AutosegError, match="There are: Dataset001_Other, Dataset001_Tiny"):
        find_dataset("Dataset002_Absent", workspace)


def test_channels_are_stacked_on_the_first_ones_grid(tiny_dataset: Path) -> None:
    like = Image(np.zeros((1, 4, 6, 5)), Geometry((3.0, 1.0, 1.0), (10.0, -20.0, 30.0)))
    for number in range(3):
        write_image(tiny_dataset / f"imagesTr/tiny_{number}_0001.nii.gz", np.full((1, 4, 6, 5), 0.5, np.float32), like)
    dataset = load_dataset(describe(tiny_dataset, channel_names={"0": "T1", "1": "T2"}))
    image, label = read_case(dataset.training[0], dataset)
    assert image.array.shape == (2, 4, 6, 5) and image.array.dtype == np.float32
    assert (image.array[1] == 0.5).all() and image.array[0].max() > 1
    assert image.geometry.spacing_mm == (3.0, 1.0, 1.0)
    assert label is not None and label.array.shape == (1, 4, 6, 5)


def test_reading_a_case_names_what_does_not_fit(tiny_dataset: Path) -> None:
    dataset = load_dataset(describe(tiny_dataset, channel_names={"0": "T1", "1": "T2"}))
    with pytest.raises(AutosegError, match=r"case tiny_0: the image has 1 channel\(s\), dataset.json names 2"):
        read_case(dataset.training[0], dataset)
    shifted = Image(np.zeros((1, 4, 6, 5)), Geometry((3.0, 1.0, 2.0), (10.0, -20.0, 30.0)))
    write_image(tiny_dataset / "labelsTr/tiny_0.nii.gz", np.zeros((1, 4, 6, 5), np.uint8), shifted)
    with pytest.raises(AutosegError, match=r"case tiny_0: .* does not lie on the grid"):
        read_case(dataset.training[0], dataset)
    (tiny_dataset / "labelsTr/tiny_0.nii.gz").unlink()
    with pytest.raises(AutosegError, match="case tiny_0: "):
        read_case(dataset.training[0], dataset)


def test_regions_without_their_order_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="one value for each region"):
        Labels(values={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1,))


def picture_folders(parent: Path, *names: str) -> Path:
    for name in names:
        (parent / "Pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        (parent / "Pictures" / name).touch()
    return parent / "Pictures"


def test_images_in_folders_normal_and_abnormal_are_cases_that_are_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("normal/b.png", "normal/a.nii.gz", "normal/.DS_Store", "normal/notes.txt", "abnormal/c.PNG")
    folder = picture_folders(tmp_path, *names)
    dataset = load_dataset(folder)
    assert (dataset.name, dataset.layout, dataset.file_ending, dataset.channel_names) == ("Pictures", "folders", ".png", ())
    assert dataset.case_labels == {"a": "normal", "b": "normal", "c": "abnormal"}
    assert [(case.name, case.images) for case in dataset.training] == [
        ("a", (folder / "normal/a.nii.gz",)), ("b", (folder / "normal/b.png",)), ("c", (folder / "abnormal/c.PNG",))]
    assert not any(case.label for case in dataset.training)
    assert dataset.labels.foreground == {}
    monkeypatch.setenv("AUTOSEG_RAW", str(tmp_path))
    assert [find_dataset(name, Workspace(tmp_path / "work")) for name in ("Pictures", str(folder))] == [folder, folder]
    write_json(tmp_path / "work/Pictures/dataset.json", dataset)
    assert load_dataset(tmp_path / "work/Pictures") == dataset


def test_a_folder_of_images_for_each_class_is_a_dataset_of_these_classes(tmp_path: Path) -> None:
    folder = picture_folders(tmp_path, "oak/a.png", "elm/b.jpg", "normal/c.png", "masks/a.png", "notes/read.txt")
    assert load_dataset(folder).case_labels == {"a": "oak", "b": "elm", "c": "normal"}
    for number, names in enumerate((["oak/a.png"], ["imagesTr/a.png", "labelsTr/a.png"], ["train/a.png", "test/b.png"])):
        with pytest.raises(AutosegError, match=r"has no dataset\.json; .* a folder of images for each class"):
            load_dataset(picture_folders(tmp_path / str(number), *names))


@pytest.mark.parametrize("twin", ["abnormal/a.png", "normal/a.jpg"])
def test_two_images_of_one_name_are_told(tmp_path: Path, twin: str) -> None:
    folder = picture_folders(tmp_path, "normal/a.png", twin)
    with pytest.raises(AutosegError, match=f"{folder}/normal/a.* and {folder}/.* would both be the case a. Rename one of them"):
        load_dataset(folder)


def test_folders_without_images_are_no_dataset(tmp_path: Path) -> None:
    folder = picture_folders(tmp_path, "normal/notes.txt")
    with pytest.raises(AutosegError, match="has no dataset.json; it holds normal. .* a folder of images for each class"):
        load_dataset(folder)


def test_cases_may_be_called_normal_or_abnormal_and_then_need_no_label_file(tiny_dataset: Path) -> None:
    (tiny_dataset / "labelsTr/tiny_0.nii.gz").unlink()
    (tiny_dataset / "labelsTr/tiny_2.nii.gz").unlink()
    called = {"tiny_3": "abnormal", "tiny_0": "normal", "tiny_1": "abnormal"}
    dataset = load_dataset(describe(tiny_dataset, case_labels=called))
    assert dataset.case_labels == called
    assert [case.label and case.label.name for case in dataset.training] == [None, "tiny_1.nii.gz", "tiny_2.nii.gz"]


@pytest.mark.parametrize(("entry", "message"), [
    (["tiny_0"], r"\"case_labels\" is \['tiny_0'\], expected"),
    ({"tiny_0": " "}, "\"case_labels\" holds tiny_0: ' '. Expected is the class of each case"),
    ({"tiny_0": ["normal"]}, r"\"case_labels\" holds tiny_0: \['normal'\]"),
    ({"tiny_0": "normal", "tiny_9": "normal"}, "names 1 case that the dataset does not have: tiny_9. Correct them .* tiny_0"),
])
def test_wrong_case_labels_are_told(tiny_dataset: Path, entry: Any, message: str) -> None:
    with pytest.raises(AutosegError, match=message):
        load_dataset(describe(tiny_dataset, case_labels=entry))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_another_encoding_than_utf8_is_named_with_what_to_do(tiny_dataset: Path, encoding: str) -> None:
    source = tiny_dataset / "dataset.json"
    source.write_bytes(source.read_text().replace("lesion", "Läsion").encode(encoding))
    with pytest.raises(AutosegError, match=r"dataset\.json is not UTF-8, .* Save it as UTF-8"):
        load_dataset(tiny_dataset)
    source.write_bytes(source.read_bytes().decode(encoding).encode("utf-8-sig"))
    assert "Läsion" in load_dataset(tiny_dataset).labels.values


KIDNEY = {"type": ["64033007", "SCT", "Kidney"], "modifier": ["7771000", "SCT", "Left"]}


def test_dicom_codes_are_read_and_come_back_from_the_workspace(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = load_dataset(describe(tiny_dataset, labels={"background": 0, "kidney": 1}, dicom_codes={"kidney": KIDNEY}))
    assert dataset.dicom_codes["kidney"] == Coding(Code("64033007", "SCT", "Kidney"), ANATOMY, Code("7771000", "SCT", "Left"))
    write_json(tmp_path / "dataset.json", dataset)
    assert read_model(tmp_path / "dataset.json", Dataset) == dataset


@pytest.mark.parametrize("entry, message", [
    (["kidney"], r"\"dicom_codes\" is \['kidney'\], expected"),
    ({"kidneys": KIDNEY}, 'names 1 label that "labels" does not have: kidneys. Did you mean "kidney"?'),
    ({"kidney": ["64033007", "SCT", "Kidney"]}, "holds 'kidney': .*Expected is a \"type\""),
    ({"kidney": {"category": KIDNEY["type"]}}, "Expected is a \"type\""),
    ({"kidney": {"type": ["64033007", "SCT"]}}, "each a list of value, scheme and meaning"),
    ({"kidney": {"type": [64033007, "SCT", "Kidney"]}}, "each a list of value, scheme and meaning"),
    ({"kidney": {"type": ["1", "SCT", "x" * 65]}}, "up to 64, 16, 64 letters"),
    ({"kidney": {**KIDNEY, "side": KIDNEY["modifier"]}}, "Expected is a \"type\""),
])
def test_wrong_dicom_codes_are_told(tiny_dataset: Path, entry: Any, message: str) -> None:
    with pytest.raises(AutosegError, match=message.replace("?", r"\?")):
        load_dataset(describe(tiny_dataset, labels={"background": 0, "kidney": 1}, dicom_codes=entry))
