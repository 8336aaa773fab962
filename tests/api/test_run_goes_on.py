"""`autoseg run` alone goes on as it was begun; a change names the settings, old and new."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.api.run_request import as_begun
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.steps import Asked, RunRecord
from autoseg.workspace import DatasetFolder

THEN = Asked(recipes=("multiscale",), options={"configurations": ["2d"], "memory_gb": 4.0}, epochs=3, settings={"seed": "7"},
             max_hours=2.0, at="2026-01-02T03:04:05+00:00")


@pytest.fixture
def begun(tmp_path: Path) -> DatasetFolder:
    """A dataset's folder with a run of `multiscale` that was stopped in its first fold."""
    folder = DatasetFolder(tmp_path / "Dataset001_A")
    write_json(folder.root / "run.json", RunRecord(asked=THEN))
    model = folder.model("2d", "multiscale")
    write_json(model.model_json, {})
    write_json(model.fold(0).training_state, {})
    return folder


def test_a_run_without_flags_is_that_which_was_begun(begun: DatasetFolder) -> None:
    asked = as_begun(begun, Asked(), False, False, True)
    assert asked.model_dump(exclude={"at"}) == THEN.model_dump(exclude={"at"})
    more = as_begun(begun, Asked(max_hours=5), False, False, True)  # a budget may grow
    assert (more.max_hours, more.epochs, more.recipes) == (5, 3, ("multiscale",))


def test_a_change_of_folds_that_were_begun_names_the_settings(begun: DatasetFolder) -> None:
    changed = Asked(epochs=4, settings={"seed": "8", "learning_rate": "0.1"})
    with pytest.raises(AutosegError, match=r"epochs 3 \(now 4\), seed 7 \(now 8\), learning_rate none \(now 0\.1\)\. .*--name"):
        as_begun(begun, changed, False, False, True)
    assert as_begun(begun, changed, True, False, True).epochs == 3  # --continue
    restarted = as_begun(begun, changed, False, True, True)
    assert (restarted.epochs, restarted.settings) == (4, {"seed": "8", "learning_rate": "0.1"})
    named = as_begun(begun, changed.model_copy(update={"name": "other", "recipes": ("multiscale",)}), False, False, True)
    assert (named.epochs, named.max_hours) == (4, None)
    assert as_begun(begun, Asked(name="other"), False, False, True).recipes == ("multiscale",)


def test_another_recipe_takes_nothing_over(begun: DatasetFolder) -> None:
    assert as_begun(begun, Asked(recipes=("default",)), False, False, True).model_dump(exclude={"at"}) == Asked(
        recipes=("default",)).model_dump(exclude={"at"})


def test_epochs_may_be_a_setting_too_and_the_argument_wins() -> None:
    assert Asked(settings={"epochs": "4"}).training.differences(Asked(epochs=5, settings={"epochs": "4"}).training)
    assert not Asked(epochs=5).training.differences(Asked(epochs=5, settings={"epochs": "4"}).training)
