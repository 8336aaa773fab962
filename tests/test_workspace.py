"""Files in the workspace: where they are, what is said of damaged ones, and which models are of which task."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.best import Best
from autoseg.dataset import Dataset
from autoseg.errors import AutosegError
from autoseg.evaluation.summary import Summary
from autoseg.files import write_json
from autoseg.fingerprint import Fingerprint
from autoseg.inference.checkpoints import Description
from autoseg.plan import Frozen, Plans
from autoseg.steps import RunRecord
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.anomaly.store import SlicesDescription
from autoseg.tasks.anomaly.summary import AnomalySummary
from autoseg.tasks.localization import INFO as LOCALIZATION
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.localization.store import ProjectionDescription
from autoseg.tasks.localization.summary import LocationSummary
from autoseg.tasks.segmentation import INFO
from autoseg.tasks.segmentation import INFO as SEGMENTATION
from autoseg.tasks.segmentation.store import VolumeDescription
from autoseg.trainers.job import CasesOfFold
from autoseg.verification.findings import read_findings
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, finished_models, read_json, read_model, task_of

PLAN, AGAIN = "autoseg_plan_and_preprocess 'Dataset 1'", "makes it again from the predictions that are there."
FIT = "does not fit what this version of autoseg expects"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetFolder:
    """A planned dataset, in the workspace that commands take where none is named."""
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path))
    write_json(tmp_path / "Dataset 1/plans_other.json", {})
    return Workspace(tmp_path).dataset("Dataset 1")


@pytest.mark.parametrize("text", ["", '{"dataset": "Dat', "[]", '{"version": 1}'])
@pytest.mark.parametrize(("name", "model", "remedy"), [
    ("best.json", Best, "To make it anew: autoseg find-best 'Dataset 1'"),
    ("plans.json", Plans, f"To make it anew: {PLAN}"),
    ("plans_anomaly.json", SlicePlans, f"To make it anew: {PLAN} --planner slices"),
    ("plans_localization.json", ProjectionPlans, f"To make it anew: {PLAN} --planner projection --find LABEL"),
    ("fingerprint.json", Fingerprint, f"To make it anew: {PLAN}"),
    ("dataset.json", Dataset, f"with the path of your dataset in place of its name: {PLAN}"),
    ("run.json", RunRecord, "Remove it: it says no more than how long each step took."),
    ("models/2d/default/model.json", Description, "or autoseg_train with --continue, writes it again."),
    ("models/2d/default/fold_1/validation/summary.json", Summary, f"autoseg find-best, {AGAIN}"),
    ("models/2d/default/fold_1/cases.json", CasesOfFold, "Begin this fold anew with --restart."),
    ("models/slices/anogan/summary.json", AnomalySummary, f"autoseg_train with --continue, {AGAIN}"),
    ("models/projection/locator/summary.json", LocationSummary, f"autoseg_train with --continue, {AGAIN}"),
    ("preprocessed/2d/a.json", VolumeDescription, f"Remove it: {PLAN} makes it again."),
    ("preprocessed/slices/a.json", SlicesDescription, f"Remove it: {PLAN} --planner slices makes it again."),
    ("preprocessed/projection/a.json", ProjectionDescription, f"{PLAN} --planner projection --find LABEL makes it again."),
])
def test_a_damaged_or_old_file_is_named_with_what_makes_it_anew(
    folder: DatasetFolder, text: str, name: str, model: type[Frozen], remedy: str
) -> None:
    path = folder.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    with pytest.raises(AutosegError) as raised:
        read_model(path, model)
    assert str(raised.value).startswith(f"{path} ") and str(raised.value).endswith(f" {remedy}")


def test_damaged_findings_are_named_with_what_makes_them_anew(folder: DatasetFolder) -> None:
    folder.findings_json.write_text("[1]")
    with pytest.raises(AutosegError, match=rf"findings.json {FIT}: 0: .* To make it anew: {PLAN}$"):
        read_findings(folder.findings_json)


def test_the_workspace_is_named_where_commands_would_take_another(
    folder: DatasetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOSEG_WORKSPACE")
    folder.best_of(INFO).write_text("{")
    with pytest.raises(AutosegError, match=rf"autoseg find-best 'Dataset 1' --workspace {folder.root.parent}$"):
        read_model(folder.best_of(INFO), Best)


def test_what_needs_a_dataset_is_not_said_of_files_outside_of_one(tmp_path: Path) -> None:
    (tmp_path / "best.json").write_text("{}")
    with pytest.raises(AutosegError, match=rf"{FIT}: .*Field required\.$"):
        read_model(tmp_path / "best.json", Best)


def test_a_users_own_dataset_json_is_not_for_autoseg_to_make(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(AutosegError, match=r"double quotes\)\.$"):
        read_json(tmp_path / "dataset.json")
    with pytest.raises(AutosegError, match=r"double quotes\)\. Correct it\.$"):
        read_json(tmp_path / "dataset.json", "Correct it.")


def test_every_task_has_plans_and_folds_of_its_own(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path / "A")
    assert folder.plans_of(SEGMENTATION) == folder.plans_json and folder.splits_of(SEGMENTATION) == folder.splits_json
    assert folder.plans_of(ANOMALY) == folder.root / "plans_anomaly.json"
    assert folder.splits_of(LOCALIZATION) == folder.root / "splits_localization.json"
    assert folder.model("2d", "default").dataset == folder


def test_a_dataset_that_is_planned_for_any_task_is_planned(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    for name, task in (("C", SEGMENTATION), ("A", ANOMALY), ("B", LOCALIZATION)):
        write_json(place.dataset(name).plans_of(task), {})
    write_json(place.dataset("D").dataset_json, {})
    assert [folder.name for folder in place.planned_datasets()] == ["A", "B", "C"]


def test_a_models_task_is_what_model_json_says_else_what_its_configuration_is_of(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    for configuration, recipe, text in (
        ("2d", "default", '{"task": "segmentation"}'), ("2d", "odd", '{"task": "anomaly"}'), ("2d", "old", "{}"),
        ("slices", "anogan", "{"), ("slices", "new", '{"task": "unheard of"}'), ("own", "mine", '{"task": "segmentation"}'),
    ):
        model = folder.model(configuration, recipe)
        model.root.mkdir(parents=True)
        model.model_json.write_text(text)

    def names(models: list[ModelFolder]) -> list[str]:
        return [f"{model.configuration}/{model.recipe}" for model in models]

    assert names(folder.models()) == ["2d/default", "2d/odd", "2d/old", "own/mine", "slices/anogan", "slices/new"]
    assert names(folder.models_of(SEGMENTATION)) == ["2d/default", "2d/old", "own/mine"]
    assert names(folder.models_of(ANOMALY)) == ["2d/odd", "slices/anogan"] and folder.models_of(LOCALIZATION) == []
    assert task_of(folder.model("2d", "odd")) == "anomaly" and task_of(folder.model("2d", "old")) == ""
    with pytest.raises(AutosegError, match=r"anogan/model.json is not valid JSON .*Remove it: autoseg run, or autoseg_train"):
        task_of(folder.model("slices", "anogan"))


def test_finished_models_have_the_weights_of_a_fold(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    for configuration in ("2d", "3d_fullres", "slices"):
        write_json(folder.model(configuration, "a").model_json, {})
    for configuration in ("2d", "slices"):
        folder.model(configuration, "a").fold("all").root.mkdir()
        folder.model(configuration, "a").fold("all").checkpoint_final.touch()
    assert finished_models(folder) == (folder.model("2d", "a"), folder.model("slices", "a"))
    assert finished_models(folder, SEGMENTATION) == (folder.model("2d", "a"),) and finished_models(folder, LOCALIZATION) == ()
