"""What a fold remembers of its cases: splits that changed are refused, images that changed are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.errors import AutosegError
from autoseg.files import write_text
from autoseg.provenance import Origin
from autoseg.trainers.cases import changed_cases, pin_cases
from autoseg.workspace import DatasetFolder, FoldFolder

NOW = Origin.of(train={"a": "1", "b": "2"}, val={"c": "3"})


@pytest.fixture
def begun(tmp_path: Path) -> FoldFolder:
    """A fold that was begun with `NOW`."""
    fold = DatasetFolder(tmp_path).model("3d_fullres", "default").fold(0)
    pin_cases(fold, NOW)
    write_text(fold.training_state, "begun")
    return fold


def test_a_fold_goes_on_with_the_cases_that_it_was_begun_with(begun: FoldFolder) -> None:
    pin_cases(begun, NOW)
    assert changed_cases(begun, NOW) == []


def test_a_fold_that_would_be_validated_on_what_it_trained_on_is_refused(begun: FoldFolder) -> None:
    turned = Origin.of(train={"a": "1", "c": "3"}, val={"b": "2"})
    with pytest.raises(AutosegError, match=r"begun with other cases than the folds have now \(b, c\).*--restart"):
        pin_cases(begun, turned)
    begun.training_state.unlink()
    write_text(begun.checkpoint_final, "trained")
    with pytest.raises(AutosegError, match="other cases"):
        changed_cases(begun, turned)


@pytest.mark.parametrize(("configuration", "splits"), [
    ("3d_fullres", "splits.json"), ("slices", "slices_splits.json"), ("projection", "projection_splits.json")])
def test_the_splits_of_the_kind_of_model_are_named(configuration: str, splits: str, tmp_path: Path) -> None:
    fold = DatasetFolder(tmp_path).model(configuration, "any").fold(0)
    pin_cases(fold, NOW)
    write_text(fold.training_state, "begun")
    with pytest.raises(AutosegError, match=rf"\): {splits} or the dataset changed .* or put {splits} and the cases back"):
        pin_cases(fold, Origin.of(train={}, val={}))


def test_images_that_changed_since_are_named(begun: FoldFolder) -> None:
    (note,) = changed_cases(begun, Origin.of(train={"a": "1", "b": "new"}, val={"c": "new"}))
    assert "images, labels or plans of 2 cases changed (b, c)" in note and "--restart" in note


def test_a_fold_that_is_not_begun_takes_the_cases_of_today(begun: FoldFolder) -> None:
    begun.training_state.unlink()
    other = Origin.of(train={"c": "3"}, val={"a": "1"})
    assert changed_cases(begun, other) == []
    pin_cases(begun, other)
    write_text(begun.training_state, "begun")
    with pytest.raises(AutosegError, match="other cases"):
        pin_cases(begun, NOW)


def test_of_a_fold_of_an_earlier_version_nothing_is_known(begun: FoldFolder) -> None:
    begun.cases_json.unlink()
    assert changed_cases(begun, Origin.of(train={}, val={})) == []
