"""Five-fold splits are scikit-learn's, and broken split files are named."""

from __future__ import annotations

import pytest

from autoseg.errors import AutosegError
from autoseg.trainers.splits import cases_of_fold, five_fold_splits


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
