"""What the report reads: folds as they are now, predictions where they lie now, and a choice that is out of date."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from autoseg.best import Best, KeepLargest, TriedRule, member_of
from autoseg.evaluation.case import CaseSummary, Volumes
from autoseg.evaluation.summary import Summary, pooled_summary, write_summary
from autoseg.files import write_json, write_text
from autoseg.plan import Plans
from autoseg.tasks.segmentation import INFO
from autoseg.tasks.segmentation.report.artefacts import best_result, missing_steps, read_artefacts
from autoseg.workspace import DatasetFolder

ELSEWHERE = "autoseg_workspace"  # as a command saw it from where it was typed
RULE = KeepLargest(labels=(1,), count=1)


def summary(case: str, dice: float, folder: str) -> Summary:
    return pooled_summary([Summary(foreground_mean={}, mean={"1": {}}, metric_per_case=(CaseSummary(
        metrics={"1": {"Dice": dice}}, prediction_file=f"{ELSEWHERE}/{folder}/{case}.nii.gz", reference_file=f"{case}.nii.gz",
        volumes_ml={"1": Volumes(prediction=1, reference=1)}),))])


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    """A choice of one model with two folds of a case each, and no rules."""
    folder = DatasetFolder(tmp_path / "Dataset001_Tiny")
    write_json(folder.plans_json, Plans(
        dataset=folder.name, planner="default", transpose=(0, 1, 2), versions={}, foreground_intensities={}, configurations={}))
    write_json(folder.splits_json, [{}, {}])
    model = folder.model("2d", "default")
    write_json(model.model_json, {})
    for fold, dice in enumerate((0.5, 0.7)):
        write_text(model.fold(fold).checkpoint_final, str(fold))
        write_summary(model.fold(fold).summary_json, summary(f"case_{fold}", dice, f"fold_{fold}/validation"))
    choose(folder)
    return folder


def choose(folder: DatasetFolder, *rules: TriedRule) -> None:
    member = member_of(folder.model("2d", "default"), range(2))
    write_json(folder.best_of(INFO), Best(
        dataset=folder.name, members=(member,), reason="", candidates=(), rules=rules, names={}, references="",
        versions={}))


def test_predictions_are_looked_for_where_the_workspace_lies_now(folder: DatasetFolder) -> None:
    final = best_result(read_artefacts(folder))
    assert final is not None and [Path(case.prediction_file) for case in final.summary.metric_per_case] == [
        folder.model("2d", "default").fold(fold).validation / f"case_{fold}.nii.gz" for fold in range(2)]
    tried = TriedRule(rule=RULE, says="", accepted=True, dice_before=0, dice_after=1, classes_before={}, classes_after={})
    choose(folder, tried)
    write_summary(folder.postprocessed / "summary.json", summary("case_0", 0.8, "postprocessed"))
    final = best_result(read_artefacts(folder))
    assert final is not None and final.name == "2d, post-processed" and final.is_final
    assert Path(final.summary.metric_per_case[0].prediction_file) == folder.postprocessed / "case_0.nii.gz"


def test_a_fold_that_was_trained_anew_counts_and_the_choice_before_it_is_told_to_be_old(folder: DatasetFolder) -> None:
    model = folder.model("2d", "default")
    write_summary(model.summary_json, summary("case_0", 0.1, "of long ago"))
    found = read_artefacts(folder)
    final = best_result(found)
    assert not found.is_outdated and not missing_steps(found)
    assert final is not None and final.summary.foreground_mean["Dice"] == pytest.approx(0.6)
    write_text(model.fold(0).checkpoint_final, "other weights")
    assert [step.missing for step in missing_steps(read_artefacts(folder))] == [
        "The choice was made for other weights than those there are now"]
    model.fold(0).checkpoint_final.unlink()
    assert read_artefacts(folder).is_outdated


def test_folds_that_share_a_case_are_told_and_hide_nothing_else(folder: DatasetFolder) -> None:
    model = folder.model("2d", "default")
    write_summary(model.fold(1).summary_json, summary("case_0", math.nan, "fold_1/validation"))
    found = read_artefacts(folder)
    assert "case case_0 is in two of the summaries" in found.troubles[0]
    assert best_result(found) is None and found.best is not None and found.models[0].summary is None
