"""The one reader for the models of every task: what is missing or damaged hides nothing else, and has its command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.reporting.artefacts import ModelArtefacts, count_folds, read_if_there, read_models
from autoseg.reporting.parts import missing_of
from autoseg.task import TaskInfo
from autoseg.workspace import DatasetFolder, FoldFolder, ModelFolder, read_json

TRAIN = "autoseg_train Dataset031_Read"
TOYS = TaskInfo(
    name="counting", article="a", noun="counter", plural="counters", does="counts toys", writes="counts",
    outputs="TOYS", reference="", recipe="counter",
    configurations=("toy",), usual_configuration="toy", planner="toys", suffix="_toys")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetFolder:
    """Four folds in the splits; of the model "mine", fold 0 is complete, 1 not validated, 2 unfinished, and 3 was not begun."""
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path))
    folder = DatasetFolder(tmp_path / "Dataset031_Read")
    write_json(folder.splits_of(TOYS), [{}] * 4)
    model = folder.model("toy", "mine")
    write_json(model.model_json, {"recipe": "counter", "flags": ["--epochs", "4"]})
    for fold, files in enumerate((
            ("checkpoint_final", "cases_json", "summary_json"), ("checkpoint_final", "cases_json"), ("training_state",))):
        for name in files:
            write_json(getattr(model.fold(fold), name), {"toys": fold + 1})
    write_json(model.fold(2).summary_json, {"toys": 100})  # of an earlier training
    return folder


class Counter(BaseModel):
    recipe: str
    settings: dict[str, int] = {}
    flags: tuple[str, ...] = ()
    versions: dict[str, str] = {}


def toys_of(fold: FoldFolder, troubles: list[str]) -> int | None:
    content = read_if_there(troubles, fold.summary_json, read_json)
    return None if content is None else int(content["toys"])


def read(folder: DatasetFolder, troubles: list[str], summarize: Any = sum) -> ModelArtefacts[Any, int, int]:
    models: list[ModelFolder] = [folder.model("toy", "mine")]
    [model] = read_models(models, count_folds(folder.splits_of(TOYS), troubles), troubles, description=Counter,
                          read_results=toys_of, summarize=summarize)
    return model


def test_only_validated_folds_have_results(folder: DatasetFolder) -> None:
    troubles: list[str] = []
    model = read(folder, troubles)
    assert [(fold.name, fold.state, fold.results) for fold in model.folds] == [
        ("0", "complete", 1), ("1", "not validated", None), ("2", "unfinished", None), ("3", "missing", None)]
    assert (model.summary, model.of_folds, troubles) == (1, ", fold 0 of 4", [])
    write_json(folder.model("toy", "mine").fold(1).summary_json, {"toys": 20})
    assert (read(folder, []).summary, read(folder, []).of_folds) == (21, ", folds 0, 1 of 4")


def test_what_is_missing_has_the_command_that_makes_it(folder: DatasetFolder) -> None:
    which = "-c toy -tr counter --name mine"
    assert [tuple(step) for step in missing_of(folder, read(folder, []))] == [
        ("mine: fold 1 is not validated", f"{TRAIN} 1 {which} --continue"),
        ("mine: fold 2 is unfinished", f"{TRAIN} 2 {which} --continue"),
        ("mine: fold 3 is missing", f"{TRAIN} 3 {which} --epochs 4")]


def test_damaged_files_are_told_and_hide_nothing_else(folder: DatasetFolder) -> None:
    model, troubles = folder.model("toy", "mine"), list[str]()
    model.model_json.write_text("{")
    model.fold(0).log_jsonl.write_text("no json")
    write_json(folder.splits_of(TOYS), {})
    found = read(folder, troubles)
    told = " ".join(troubles)
    for expected in ("model.json is not valid JSON", "log.jsonl is damaged", "splits_toys.json holds no list"):
        assert expected in told
    assert found.summary == 1 and [fold.name for fold in found.folds] == ["0", "1", "2"]  # without splits, those that were begun
    assert [step.line for step in missing_of(folder, found)] == [  # the recipe is not known: by the model's name
        f"{TRAIN} 1 -c toy -tr mine --continue", f"{TRAIN} 2 -c toy -tr mine --continue"]


def test_results_that_do_not_fit_together_are_told(folder: DatasetFolder) -> None:
    def refuse(results: list[int]) -> int:
        raise AutosegError("They do not fit.")

    troubles: list[str] = []
    assert read(folder, troubles, refuse).summary is None and troubles == ["They do not fit."]


def test_a_fold_of_all_cases_stands_alone_where_no_other_was_begun(folder: DatasetFolder) -> None:
    write_json(folder.model("toy", "all_only").fold("all").checkpoint_final, {})
    [model] = read_models([folder.model("toy", "all_only")], 4, [], description=Counter, read_results=toys_of, summarize=sum)
    assert [(fold.name, fold.state, fold.results) for fold in model.folds] == [("all", None, None)]
    assert model.description is None and model.of_folds == ""
