"""Jobs of a run: which there are, what they need, and how long they may take; places that do not fit are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autoseg.api.job_runs import forget, gather, graph_of, hours_of_a_fold, place_of
from autoseg.api.run_request import Fold, Wanted
from autoseg.api.tasks import default_task
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.jobs.graph import Graph, Job
from autoseg.jobs.record import JobRecord
from autoseg.steps import Asked, Ran, RunRecord, read_record
from autoseg.workspace import DatasetFolder


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return DatasetFolder(tmp_path / "w" / "Dataset001_A")


def cascade(folder: DatasetFolder) -> list[Fold]:
    first, second = folder.model("3d_lowres", "default"), folder.model("3d_cascade_fullres", "default")
    return [*(Fold(first, str(fold)) for fold in range(2)), *(Fold(second, str(fold), first) for fold in range(2))]


def test_a_cascade_waits_for_all_folds_of_its_first_stage(folder: DatasetFolder) -> None:
    asked = Asked(recipes=("default",), epochs=3, settings={"seed": "7"}, cheaper_ways=False)
    graph = graph_of(folder, default_task(), cascade(folder), Wanted(asked, asked, "cuda", None, 4), 0.25)
    lowres = ("3d_lowres default fold 0", "3d_lowres default fold 1")
    jobs = {job.name: job for job in graph.jobs}
    second = ("3d_cascade_fullres default fold 0", "3d_cascade_fullres default fold 1")
    assert list(jobs) == [*lowres, *second, "find-best", "report"]
    assert jobs[lowres[0]].needs == () and jobs[second[1]].needs == lowres
    assert jobs["find-best"].needs == tuple(jobs)[:4] and jobs["report"].after == tuple(jobs)[:5]
    place = ["--workspace", str(folder.root.parent)]
    assert list(jobs[lowres[1]].words) == [
        "train", "Dataset001_A", "1", "-c", "3d_lowres", "--epochs", "3", "--max-hours", "0.25", "--set", "seed=7", "--device",
        "cuda", *place]
    assert list(jobs["find-best"].words) == [
        "find-best", "Dataset001_A", "-c", "3d_lowres", "3d_cascade_fullres", "-tr", "default", "--no-cheaper-ways", "-np", "4",
        "--device", "cuda", *place]


def test_a_fold_that_was_begun_goes_on_as_it_was(folder: DatasetFolder) -> None:
    write_json(folder.model("3d_lowres", "mine").fold(0).training_state, {})
    asked = Asked(recipes=("multiscale",), name="mine", epochs=3)
    folds = [Fold(folder.model("3d_lowres", "mine"), str(fold)) for fold in range(2)]
    graph = graph_of(folder, default_task(), folds, Wanted(asked, asked, "auto", None), None)
    words = [job.words[2:-2] for job in graph.jobs[:2]]
    model = ("-c", "3d_lowres", "-tr", "multiscale", "--name", "mine")
    assert words == [("0", *model, "--continue"), ("1", *model, "--epochs", "3")]


@pytest.mark.parametrize(("lanes", "expected"), [(1, 12 / 4), (2, 12 / 2), (4, 12 / 2)])
def test_hours_are_divided_by_the_rounds_that_folds_take(folder: DatasetFolder, lanes: int, expected: float) -> None:
    assert hours_of_a_fold(12, cascade(folder), lanes) == expected  # the second stage has rounds of its own
    ten = [Fold(folder.model("2d", "default"), str(fold)) for fold in range(10)]
    assert hours_of_a_fold(12, ten, 4) == 4


@pytest.mark.parametrize(("arguments", "says"), [
    ({"gpus": 0}, "--gpus is 0"), ({"gpus": 2, "on": "slurm"}, "--gpus is of this machine"), ({"only_print": True}, "--on slurm"),
    ({"slurm": ["time=1"]}, "--on slurm"), ({"on": "pbs"}, "there is only"), ({"gpus": 1, "device": "cuda:1"}, "of its own"),
    ({"on": "slurm", "only_print": True, "slurm": ["gpu:1"]}, "KEY=VALUE"),
])
def test_places_that_do_not_fit_are_refused(arguments: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"gpus": None, "on": None, "slurm": (), "only_print": False, "device": "cpu"}
    with pytest.raises(AutosegError, match=says):
        place_of(**given | arguments)


def test_slurm_needs_submitit_or_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(AutosegError, match=r"pip install 'autoseg\[cluster\]'\. Or let --print"):
        place_of(None, "slurm", (), False, "auto")
    assert place_of(None, "slurm", ("time=1",), True, "auto") is not None


def test_run_json_takes_over_what_the_jobs_records_say(folder: DatasetFolder) -> None:
    task = default_task().info
    files = folder.jobs_of(task)
    write_json(folder.run_of(task), RunRecord(steps={"plan": 5.0}, whole=("plan",), ran={"plan": Ran(host="login")}))
    jobs = (Job(name="2d default fold 0", words=("train",)), Job(name="report", words=("report",)))
    write_json(files.graph_json, Graph(jobs=jobs))
    write_json(files.record_json("2d default fold 0"), JobRecord(
        state="done", host="node7", process=1, started=1.0, began="2026-01-01T10:00", seconds=60.0, code=0, machine="NVIDIA H200",
        gpu="3", slurm="17"))
    gather(folder.run_of(task), files)
    record = read_record(folder.run_of(task))
    assert record.steps == {"plan": 5.0, "2d default fold 0": 60.0} and record.whole == ("2d default fold 0", "plan")
    assert record.ran["2d default fold 0"] == Ran(host="node7", machine="NVIDIA H200", gpu="3", slurm="17")
    forget(files)
    assert not list(files.root.iterdir()) and read_record(folder.run_of(task)) == record
