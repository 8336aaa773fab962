"""Plain splits are scikit-learn's; patients stay together, labels are spread, and what is odd is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.files import write_json, write_text
from autoseg.fingerprint import CaseFingerprint, Fingerprint, LabelOfCase, LabelOfDataset, Range
from autoseg.groups import patients_of
from autoseg.trainers.segmentation.data import labels_of_cases
from autoseg.trainers.splits import MadeSplits, Splits, cases_of_fold, five_fold_splits, load_or_make_splits, make_splits
from autoseg.workspace import DatasetFolder, read_json

ORGAN, TUMOUR = "1", "2"
PLAIN = [f"liver_{number:03d}" for number in range(12)]


def dataset_of(folder: Path, cases: Sequence[str], groups: Mapping[str, str] | None = None) -> Dataset:
    training = tuple(Case(name=name, images=(folder / f"{name}.nii.gz",), label=folder / f"{name}.nii.gz") for name in cases)
    return Dataset(
        name="Dataset001_T", folder=folder, layout="nnunet", channel_names=("CT",), file_ending=".nii.gz",
        labels=Labels(values={"background": 0, "organ": 1, "tumour": 2}), training=training, groups=dict(groups or {}))


def write_fingerprint(folder: DatasetFolder, labels: Mapping[str, Sequence[str]]) -> None:
    """labels: of each case, the label values that it holds."""
    one = LabelOfCase(volume_ml=1, components=1, smallest_ml=1, largest_ml=1)
    always = Range(minimum=1, median=1, maximum=1)
    cases = {
        name: CaseFingerprint(
            spacing_mm=(1, 1, 1), shape=(8, 8, 8), shape_after_crop=(8, 8, 8), share_kept=1, orientation="LPS",
            labels=dict.fromkeys(values, one))
        for name, values in labels.items()
    }
    known = {
        value: LabelOfDataset(name=name, cases=1, volume_ml=always, components=always, smallest_ml=1, touches={}, inside=())
        for value, name in ((ORGAN, "organ"), (TUMOUR, "tumour"))
    }
    write_json(folder.fingerprint_json, Fingerprint(
        dataset="Dataset001_T", versions={}, channel_names=("CT",), foreground_intensities={}, orientations={"LPS": 1},
        foreground_components=None, labels=known, cases=cases))


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return DatasetFolder(tmp_path / "workspace" / "Dataset001_T")


def load(folder: DatasetFolder, cases: Sequence[str], groups: Mapping[str, str] | None = None) -> MadeSplits:
    """Splits for a user's dataset in the folder "raw" beside the workspace."""
    dataset = dataset_of(folder.root.parents[1] / "raw", cases, groups)
    labels, notes = labels_of_cases(folder, list(cases))
    made = load_or_make_splits(folder.root / "splits.json", dataset, list(cases), labels)
    return MadeSplits(made.splits, notes + made.notes)


def assert_sound(splits: Splits, cases: Sequence[str], groups: Sequence[Sequence[str]]) -> None:
    """Every case is validated once, a fold trains on all others, and no group lies on both sides."""
    assert sorted(name for split in splits for name in split["val"]) == sorted(cases)
    for split in splits:
        assert split["train"] == sorted(set(cases) - set(split["val"])) and split["val"] == sorted(split["val"])
        assert not [group for group in groups if set(group) & set(split["train"]) and set(group) & set(split["val"])]


def test_splits_are_those_of_scikit_learn_with_seed_12345() -> None:
    kfold = pytest.importorskip("sklearn.model_selection").KFold(5, shuffle=True, random_state=12345)
    for count in (5, 7, 12, 103):
        names = [f"case_{i:03d}" for i in range(count)]
        expected = [
            {"train": [names[i] for i in train], "val": [names[i] for i in val]} for train, val in kfold.split(names)
        ]
        assert five_fold_splits(names[::-1]) == expected


def test_splits_of_seven_cases_match_scikit_learn_1_9() -> None:
    """Recorded from KFold(5, shuffle=True, random_state=12345) over 7 names, for machines without scikit-learn."""
    splits = five_fold_splits(list("abcdefg"))
    assert [split["val"] for split in splits] == [["d", "g"], ["a", "e"], ["b"], ["f"], ["c"]]


def test_fewer_than_five_cases_give_as_many_folds_as_cases() -> None:
    splits = five_fold_splits(["a", "b", "c"])
    assert len(splits) == 3
    assert sorted(name for split in splits for name in split["val"]) == ["a", "b", "c"]
    assert all(len(split["train"]) == 2 for split in splits)


def test_one_case_cannot_be_cross_validated() -> None:
    with pytest.raises(AutosegError, match='at least 2 training cases, but there are 1.*"all"'):
        five_fold_splits(["a"])


def test_an_unknown_fold_lists_those_that_there_are() -> None:
    splits = five_fold_splits(["a", "b", "c"])
    for fold in ("3", "-1", "first"):
        with pytest.raises(AutosegError, match='no fold ".*the folds 0, 1, 2, and "all"'):
            cases_of_fold(fold, splits, ["a", "b", "c"])


def test_fold_all_trains_on_every_case_and_validates_on_none() -> None:
    assert cases_of_fold("all", [], ["b", "a"]) == (["a", "b"], [])


def test_cases_that_are_alike_are_split_as_nnunet_does_and_nothing_is_said(folder: DatasetFolder) -> None:
    write_fingerprint(folder, dict.fromkeys(PLAIN, (ORGAN, TUMOUR)))
    assert load(folder, PLAIN) == MadeSplits(five_fold_splits(PLAIN), [])
    assert read_json(folder.splits_json) == five_fold_splits(PLAIN)
    assert load(folder, PLAIN) == MadeSplits(five_fold_splits(PLAIN), [])


def test_scans_of_a_patient_lie_in_one_fold_by_their_names(folder: DatasetFolder) -> None:
    cases = [f"sub-{patient:02d}_ses-{scan}" for patient in range(6) for scan in (1, 2)]
    write_fingerprint(folder, dict.fromkeys(cases, (ORGAN,)))
    made = load(folder, cases)
    assert_sound(made.splits, cases, [cases[start:start + 2] for start in range(0, 12, 2)])
    assert sorted(len(split["val"]) for split in made.splits) == [2, 2, 2, 2, 4]
    assert made.notes == [
        "Folds keep the cases of a patient together: 6 patients have several, 12 in all, as their names say (BIDS subject): "
        "sub-00: sub-00_ses-1, sub-00_ses-2; sub-01: sub-01_ses-1, sub-01_ses-2; sub-02: sub-02_ses-1, sub-02_ses-2; ... "
        '6 patients in all. If that is wrong, write "groups" into dataset.json and plan again.']
    assert load(folder, cases) == made


def test_groups_of_dataset_json_lie_in_one_fold(folder: DatasetFolder) -> None:
    groups = {"liver_000": "a", "liver_005": "a", "liver_011": "a", "liver_001": "b", "liver_002": "b"}
    write_fingerprint(folder, dict.fromkeys(PLAIN, (ORGAN,)))
    made = load(folder, PLAIN, groups)
    assert_sound(made.splits, PLAIN, [["liver_000", "liver_005", "liver_011"], ["liver_001", "liver_002"]])
    assert sorted(len(split["val"]) for split in made.splits) == [2, 2, 2, 3, 3]
    assert made.notes[0].startswith(
        'Folds keep the cases of a patient together: 2 patients have several, 5 in all, as "groups" in dataset.json says: a: ')


def test_a_label_that_few_cases_hold_is_spread_over_the_folds(folder: DatasetFolder) -> None:
    """Five of twelve cases hold the tumour: one in each fold; folds of 3, 3, 2, 2, 2."""
    write_fingerprint(folder, {name: (ORGAN, TUMOUR) if number < 5 else (ORGAN,) for number, name in enumerate(PLAIN)})
    made = load(folder, PLAIN)
    assert_sound(made.splits, PLAIN, [])
    assert sorted(len(split["val"]) for split in made.splits) == [2, 2, 2, 3, 3]
    assert [sum(name in PLAIN[:5] for name in split["val"]) for split in made.splits] == [1] * 5
    assert made.notes == ["Folds hold labels equally often: tumour in 5 of 12 cases."]


def test_one_case_without_a_label_that_all_others_hold_disturbs_nothing(folder: DatasetFolder) -> None:
    write_fingerprint(folder, {name: (ORGAN,) if number == 3 else (ORGAN, TUMOUR) for number, name in enumerate(PLAIN)})
    made = load(folder, PLAIN)
    assert_sound(made.splits, PLAIN, [])
    assert sorted(len(split["val"]) for split in made.splits) == [2, 2, 2, 3, 3]


@pytest.mark.parametrize("content", [None, "{", "other cases"])
def test_without_a_fingerprint_of_all_cases_labels_are_not_minded_and_that_is_said(
    folder: DatasetFolder, content: str | None
) -> None:
    if content == "other cases":
        write_fingerprint(folder, dict.fromkeys(PLAIN[:-1], (ORGAN,)))
    elif content is not None:
        write_text(folder.fingerprint_json, content)
    made = load(folder, PLAIN)
    assert made.splits == five_fold_splits(PLAIN)
    assert len(made.notes) == 1 and made.notes[0].startswith("Folds do not take into account which labels a case holds: ")
    assert str(folder.fingerprint_json) in made.notes[0]


def test_fewer_patients_than_folds_give_as_many_folds_as_patients(folder: DatasetFolder) -> None:
    cases = [f"p{patient}_scan{scan}" for patient in range(3) for scan in range(4)]
    write_fingerprint(folder, dict.fromkeys(cases, (ORGAN,)))
    made = load(folder, cases)
    assert [len(split["val"]) for split in made.splits] == [4, 4, 4]
    assert made.notes[-1] == "12 cases of 3 patients: 3 folds instead of 5."


def test_one_patient_cannot_be_cross_validated_and_the_way_out_is_said(folder: DatasetFolder) -> None:
    cases = ["sub-01_ses-1", "sub-01_ses-2", "sub-01_ses-3"]
    with pytest.raises(AutosegError, match='at least 2 patients, but all 3 cases belong to one, as their.*"all"') as error:
        load(folder, cases)
    assert '"groups": {"sub-01_ses-1": "a", "sub-01_ses-2": "b", ...}' in str(error.value)
    assert not folder.splits_json.exists()
    assert len(load(folder, cases, {"sub-01_ses-1": "a", "sub-01_ses-2": "b"}).splits) == 3


def test_suspected_patients_are_named_with_the_entry_to_write(folder: DatasetFolder) -> None:
    cases = [f"{patient:03d}_{scan}" for patient in range(10) for scan in "ab"]
    write_fingerprint(folder, dict.fromkeys(cases, (ORGAN,)))
    made = load(folder, cases)
    assert made.splits == five_fold_splits(cases)
    entry = ", ".join(f'"{patient:03d}": ["{patient:03d}_a", "{patient:03d}_b"]' for patient in range(10))
    assert len(made.notes) == 1 and made.notes[0].startswith("The names of 20 cases look like several scans of one patient")
    assert f'"groups": {{{entry}}}' in made.notes[0] and str(folder.splits_json) in made.notes[0]
    assert load(folder, cases).notes == made.notes
    assert load(folder, cases, {name: name for name in cases}).notes == []


@pytest.mark.parametrize("beside", [True, False])
def test_splits_that_lie_there_are_used_as_they_are_and_leaks_are_said(folder: DatasetFolder, beside: bool) -> None:
    cases = [f"p{patient}_{side}" for patient in range(4) for side in ("left", "right")]
    write_fingerprint(folder, dict.fromkeys(cases, (ORGAN,)))
    leaking = [{"train": cases[:7], "val": cases[7:]}, {"train": cases[2:], "val": cases[:2]}]
    own = folder.root.parents[1] / "raw" / "splits_final.json"
    write_json(own if beside else folder.splits_json, leaking)
    made = load(folder, cases)
    assert made.splits == leaking == read_json(folder.splits_json)
    assert made.notes[0] == "8 cases of 4 patients: 2 folds instead of 5."
    assert "both trained and validated on" in made.notes[1] and "p3: p3_left, p3_right. " in made.notes[1]
    assert "p0" not in made.notes[1] and (str(own) in made.notes[1]) == beside
    assert len(made.notes) == 2


def test_cases_that_splits_leave_out_or_validate_several_times_are_said(folder: DatasetFolder) -> None:
    write_fingerprint(folder, dict.fromkeys(PLAIN[:6], (ORGAN,)))
    write_json(folder.splits_json, [
        {"train": PLAIN[:2], "val": PLAIN[2:4]}, {"train": PLAIN[:2], "val": PLAIN[3:5]}])
    notes = load(folder, PLAIN[:6]).notes
    assert f"leaves 1 case out: {PLAIN[5]}, which no fold trains or" in notes[0] and str(folder.splits_json) in notes[0]
    assert f"Several folds validate on {PLAIN[3]}: " in notes[1] and len(notes) == 3


def test_splits_that_name_unknown_cases_or_are_none_are_refused(folder: DatasetFolder) -> None:
    write_json(folder.splits_json, [{"train": ["liver_000"], "val": ["absent"]}])
    with pytest.raises(AutosegError, match=r"splits\.json names 1 case of which there is no preprocessed data: absent"):
        load(folder, PLAIN)
    write_json(folder.splits_json, [{"train": ["liver_000"], "val": ["liver_000"]}])
    with pytest.raises(AutosegError, match="fold 0 trains and validates on liver_000"):
        load(folder, PLAIN)
    write_json(folder.splits_json, [{"train": ["liver_000"], "val": []}])
    with pytest.raises(AutosegError, match="fold 0 has no case to validate on"):
        load(folder, PLAIN)
    write_json(folder.splits_json, [{"train": [1], "val": [2, {"a": "b"}]}])
    with pytest.raises(AutosegError, match="case names must be texts, but it holds 1, 2, "):
        load(folder, PLAIN)
    write_json(folder.splits_json, {"train": []})
    with pytest.raises(AutosegError, match="must be a list of"):
        load(folder, PLAIN)


def test_any_grouping_and_labels_give_sound_splits() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        cases = [f"case_{number:03d}" for number in range(rng.integers(6, 60))]
        declared = {case: f"patient {rng.integers(5, 30)}" for case in cases if rng.random() < 0.7}
        patients = patients_of(cases, declared)
        groups = patients.groups(cases)
        labels = {case: [label for label in "xyz" if rng.random() < 0.3] for case in cases}
        splits = make_splits(patients, cases, labels).splits
        assert len(splits) == min(5, len(groups))
        assert_sound(splits, cases, groups)
        assert make_splits(patients, cases[::-1], labels).splits == splits
