"""States of jobs, told by their records, their processes and SLURM's queue."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
import pytest

from autoseg.files import write_json, write_text
from autoseg.jobs.graph import Graph, Job
from autoseg.jobs.record import RECORD, JobRecord, as_job, read_job
from autoseg.jobs.states import JobState, job_states, last_lines, queued_jobs
from autoseg.workspace import JobsFolder

JOB = Job(name="2d default fold 0", words=("train", "D", "0"))
HERE = {"host": socket.gethostname(), "process": os.getpid(), "started": psutil.Process().create_time(),
        "began": "2026-01-01T10:00"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobsFolder:
    """Jobs of a run, and a SLURM that has job 7 queued, and job 8 running."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "squeue").write_text("#!/bin/sh\necho '7 PENDING Dependency'\necho '8 RUNNING None'\necho '9 COMPLETED None'\n")
    (tmp_path / "squeue").chmod(0o755)
    folder = JobsFolder(tmp_path / "jobs")
    write_json(folder.graph_json, Graph(jobs=(JOB,), at="2026-01-01T09:00"))
    return folder


def state(folder: JobsFolder, number: str | None = None, is_held: bool = False, **record: object) -> JobState:
    if number is not None:
        write_text(folder.id_file(JOB.name), f"{number}\n")
    if record:
        write_json(folder.record_json(JOB.name), JobRecord.model_validate({**HERE, **record}))
    return job_states(folder, is_held)[0]


def test_the_queue_says_what_waits_and_runs(folder: JobsFolder) -> None:
    assert state(folder)[1:3] == ("not run", "")
    assert state(folder, is_held=True).state == "waiting"
    assert state(folder, "7")[1:4] == ("waiting", "pending, Dependency", "7")
    assert queued_jobs([state(folder, "8")]) == {JOB.name: "8"} and state(folder, "8").state == "running"
    assert state(folder, "7", state="stopped", slurm="7").state == "waiting"  # requeued
    assert state(folder, "9", state="stopped", slurm="7")[1:3] == ("not run", "cancelled in the queue, or what it needs failed")
    assert state(folder, "9", state="failed", slurm="9", code=1).state == "failed" and not queued_jobs([state(folder)])


def test_a_record_whose_process_is_gone_was_killed(folder: JobsFolder) -> None:
    assert state(folder, state="running").state == "running"  # it is this process
    assert state(folder, state="running", started=1.0)[1:3] == ("stopped", "it was killed")
    assert state(folder, state="running", host="elsewhere", slurm="9").state == "stopped"
    assert state(folder, state="done", ended="2026-01-01T10:30").state == "done"
    assert state(folder, is_held=True, state="failed", ended="2026-01-01T08:30").state == "waiting"  # an earlier attempt


def test_without_slurm_here_what_was_submitted_is_taken_to_wait(folder: JobsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert state(folder, "7")[1:3] == ("waiting", "SLURM cannot be asked here")
    assert state(folder, "7", state="done", slurm="7", code=0).state == "done"


def test_a_job_keeps_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "job.json"
    for attempt, code in ((1, 1), (2, 0)):
        monkeypatch.setenv(RECORD, str(path))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")

        def work(code: int = code) -> int:
            running = read_job(path)
            assert running is not None and running.state == "running" and running.is_alive and RECORD not in os.environ
            return code

        assert as_job(work, None) == code
        record = read_job(path)
        assert record is not None and (record.attempts, record.code, record.gpu) == (attempt, code, "3")
        assert record.state == ("done" if code == 0 else "failed") and record.seconds > 0
    assert as_job(lambda: 5, None) == 5  # no job


def test_the_end_of_a_log_is_shown_with_its_path(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert last_lines(log) == f"Log: {log}"
    log.write_bytes(b"first\n" * 5000 + b"\n\xff last\n")
    assert last_lines(log, 2) == f"Log: {log}, which ends with\n    first\n    � last"
