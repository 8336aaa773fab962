"""Files in the workspace: what is said of damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.best import Best
from autoseg.errors import AutosegError
from autoseg.kinds import ANOMALY, KINDS, LOCATION
from autoseg.plan import Plans
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.workspace import DatasetFolder, Workspace, read_json, read_model


@pytest.mark.parametrize("text", ["", '{"dataset": "Dat', "[]", '{"version": 1}'])
def test_a_damaged_or_old_file_is_named_with_what_makes_it_anew(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path))
    folder = DatasetFolder(tmp_path / "Dataset 1")
    folder.root.mkdir()
    for path, model, command in (
        (folder.best_json, Best, "autoseg find-best 'Dataset 1'"),
        (folder.plans_json, Plans, "autoseg_plan_and_preprocess 'Dataset 1'"),
        (folder.slices_json, SlicePlans, "autoseg_plan_and_preprocess 'Dataset 1' --planner slices"),
        (folder.projection_json, ProjectionPlans, "autoseg_plan_and_preprocess 'Dataset 1' --planner projection --find LABEL"),
    ):
        path.write_text(text)
        with pytest.raises(AutosegError) as raised:
            read_model(path, model)
        assert str(raised.value).startswith(str(path)) and str(raised.value).endswith(f"To make it anew: {command}")


def test_a_summary_is_made_again_by_who_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path))
    folder = DatasetFolder(tmp_path / "D")
    for path, command in (
        (folder.model("2d", "default").fold(1).summary_json, "autoseg_train"),
        (folder.ensemble("a + b") / "summary.json", "find-best"),
        (folder.preprocessed("2d") / "case.json", "autoseg_plan_and_preprocess D makes"),
        (folder.preprocessed("slices") / "case.json", "autoseg_plan_and_preprocess D --planner slices makes"),
        (folder.preprocessed("projection") / "case.json", "autoseg_plan_and_preprocess D --planner projection"),
        (folder.model("projection", "locator").fold(1).summary_json, "autoseg_train"),
    ):
        path.parent.mkdir(parents=True)
        path.write_text("{")
        with pytest.raises(AutosegError, match=rf"is not valid JSON .*Remove it: .*{command}"):
            read_json(path)


def test_a_users_own_dataset_json_is_not_for_autoseg_to_make(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(AutosegError, match=r"double quotes\)\.$"):
        read_json(tmp_path / "dataset.json")


def test_what_is_planned_apart_lies_apart(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path / "A")
    assert folder.plans_of(None) == folder.plans_json and folder.splits_of(None) == folder.splits_json
    assert [folder.plans_of(kind).name for kind in KINDS] == ["plans_anomaly.json", "plans_localization.json"]
    assert [folder.splits_of(kind).name for kind in KINDS] == ["splits_anomaly.json", "splits_localization.json"]
    assert folder.plans_of(LOCATION) == folder.projection_json and folder.plans_of(ANOMALY) == folder.slices_json
    fold = folder.model("projection", "locator").fold(2)
    assert fold.locations_csv == fold.root / "validation/locations.csv"
    assert fold.picture_png("a") == fold.root / "validation/pictures/a.png"


def test_models_of_all_kinds_are_listed_apart(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    first, second, third = place.dataset("A"), place.dataset("B"), place.dataset("C")
    for path in (first.plans_json, first.slices_json, second.slices_json, first.model("2d", "default").model_json,
                 first.model("slices", "anogan").model_json, first.model("slices", "mine").model_json,
                 third.projection_json, third.model("projection", "locator").model_json):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [folder.name for folder in place.planned_datasets()] == ["A", "B", "C"]
    assert [model.configuration for model in first.models()] == ["2d"]
    assert [model.recipe for model in first.models_of(ANOMALY)] == ["anogan", "mine"] and second.models_of(ANOMALY) == []
    assert [model.recipe for model in third.models_of(LOCATION)] == ["locator"] and third.models() == []
