"""How long a job's steps took, and how long the others will."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from autoseg import console, steps
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.steps import Ran, RunRecord, Step, Steps
from autoseg.workspace import read_model

JOB = (Step("plan", "plan", 10), Step("fold 0", "fold", 100), Step("fold 1", "fold", 100), Step("report", "report", 20))


class Time:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(steps, "time", time)
    return time


def test_the_share_of_a_job_is_the_time_spent_by_the_time_expected(tmp_path: Path, clock: Time) -> None:
    heard: list[float] = []
    job = Steps(tmp_path / "run.json", JOB)
    with job.run("plan", lambda share, text: heard.append(share)) as report:
        clock.now = 5
        report(0.5, "")  # 5 s spent; left: 5 of the plan, as its own half took 5, and the guesses 100 + 100 + 20
        clock.now = 10
    with job.run("fold 0", lambda share, text: heard.append(share)) as report:
        clock.now = 50
        report(0.5, "")  # 10 + 40 spent; left: 40 of this fold, 80 of the next, which is of its kind, and 20
        clock.now = 70
    with job.run("fold 1", lambda share, text: heard.append(share)) as report:
        report(0.0, "")  # 70 spent; left: 60, as fold 0 took, and 20
    assert heard[1] == pytest.approx(5 / (5 + 5 + 220))
    assert heard[3] == pytest.approx(50 / (50 + 40 + 80 + 20))
    assert heard[-1] == pytest.approx(70 / (70 + 60 + 20))


def test_a_guess_is_mended_by_what_steps_of_another_kind_took(tmp_path: Path, clock: Time) -> None:
    heard: list[float] = []
    guessed = (Step("2d fold 0", "2d", 1000, True), Step("3d fold 0", "3d", 2000, True), Step("report", "report", 5))
    with Steps(tmp_path / "run.json", guessed).run("2d fold 0", lambda share, text: heard.append(share)) as report:
        clock.now = 10
        report(0.5, "")  # 20 s instead of 1000 s: then 40 s instead of 2000 s; the report is not scaled
    assert heard[0] == 0  # nothing is known yet
    assert heard[1] == pytest.approx(10 / (10 + 10 + 40 + 5))


def test_times_of_a_step_that_was_stopped_and_done_again_add_up(tmp_path: Path, clock: Time) -> None:
    with pytest.raises(KeyboardInterrupt), Steps(tmp_path / "run.json", JOB).run("plan", lambda share, text: None):
        clock.now = 7
        raise KeyboardInterrupt
    assert read_model(tmp_path / "run.json", RunRecord) == RunRecord(steps={"plan": 7.0}, whole=())
    again = Steps(tmp_path / "run.json", JOB)
    assert again.spent_s == 7
    with again.run("plan", lambda share, text: None):
        clock.now = 10
    ran = {"plan": Ran(host=socket.gethostname())}
    assert read_model(tmp_path / "run.json", RunRecord) == RunRecord(steps={"plan": 10.0}, whole=("plan",), ran=ran)


def test_a_step_that_was_refused_before_it_began_leaves_nothing(tmp_path: Path, clock: Time) -> None:
    refused = Steps(tmp_path / "run.json", JOB)
    with pytest.raises(AutosegError), refused.run("plan", lambda share, text: None):
        raise AutosegError("nothing to segment")
    assert not (tmp_path / "run.json").exists()
    write_json(tmp_path / "run.json", before := RunRecord(steps={"plan": 10.0}, whole=("plan",)))
    with pytest.raises(AutosegError), Steps(tmp_path / "run.json", JOB).run("plan", lambda share, text: None):
        raise AutosegError("planned by another planner")
    assert read_model(tmp_path / "run.json", RunRecord) == before
    with pytest.raises(AutosegError), Steps(tmp_path / "run.json", JOB).run("fold 0", lambda share, text: None) as report:
        report(0.1, "epoch 1")
        clock.now = 4
        raise AutosegError("the disk is full")
    assert read_model(tmp_path / "run.json", RunRecord) == RunRecord(steps={"plan": 10.0, "fold 0": 4.0}, whole=("plan",))


def test_a_long_step_writes_its_time_while_it_runs_so_that_a_kill_forgets_little(tmp_path: Path, clock: Time) -> None:
    with Steps(tmp_path / "run.json", JOB).run("fold 0", lambda share, text: None) as report:
        clock.now = 20
        report(0.1, "")
        assert read_model(tmp_path / "run.json", RunRecord).steps == {"fold 0": 20.0}


def test_steps_that_another_command_finished_or_undid_are_known(tmp_path: Path, clock: Time) -> None:
    write_json(tmp_path / "run.json", RunRecord(steps={"plan": 10.0, "fold 1": 80.0}, whole=("plan", "fold 1")))
    job, heard = Steps(tmp_path / "run.json", JOB[:3]), list[float]()
    job.know({"fold 0": True, "fold 1": False})
    with job.run("fold 1", lambda share, text: heard.append(share)) as report:
        clock.now = 10
        report(0.5, "")  # 90 s of it and 10 of the plan; as much again is left of it, and nothing of fold 0
    assert heard[-1] == pytest.approx(100 / 190)


def test_steps_that_are_no_longer_part_of_the_job_do_not_count(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", RunRecord(steps={"plan": 3.0, "3d_lowres fold 0": 500.0}, whole=("plan",)))
    assert Steps(tmp_path / "run.json", JOB).spent_s == 3


def test_progress_inside_a_longer_job_goes_to_that_one(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[tuple[float, str]] = []
    with console.inside(lambda share, text: heard.append((share, text))), console.progress("Fold 0") as report:
        report(0.25, "epoch 1")
    assert heard == [(0.25, "Fold 0: epoch 1")] and capsys.readouterr().out == ""
