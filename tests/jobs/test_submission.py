"""Jobs through submitit, on its local executor; and what a job does when SLURM tells it that its time is over."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoseg.jobs.graph import Job
from autoseg.jobs.record import JobRecord, read_job
from autoseg.jobs.submission import submit, work_of
from autoseg.workspace import JobsFolder

PATIENCE_S = 600


def ended(folder: JobsFolder, name: str) -> JobRecord:
    """Wait for the end of a job; return its record."""
    until = time.monotonic() + PATIENCE_S
    while (record := read_job(folder.record_json(name))) is None or record.state == "running":
        assert time.monotonic() < until
        time.sleep(0.05)
    return record


def test_submitit_runs_ordinary_commands_and_their_records_say_how_they_ended(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    folder = JobsFolder(tmp_path / "jobs")
    works = Job(name="works", words=("recipes",))
    fails = Job(name="fails", words=("report", "nowhere", "--workspace", str(tmp_path)))
    ids = submit([works, fails], folder, {}, {}, cluster="local")
    assert set(ids) == {"works", "fails"}
    assert (ended(folder, "works").state, ended(folder, "works").code) == ("done", 0)
    assert (ended(folder, "fails").state, ended(folder, "fails").code) == ("failed", 1)
    assert ended(folder, "works").seconds > 0 and ended(folder, "works").machine == ""
    assert {path.parent for path in tmp_path.rglob("*.pkl")} == {folder.submitit}  # its pickles stay in its own folder


RUN = """
import sys
from autoseg.jobs.submission import Work
code = "import time; from autoseg.jobs.record import as_job; as_job(lambda: time.sleep(600) or 0, None)"
Work((sys.executable, "-c", code), sys.argv[1])()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "restarts", "requeued"), [
    (signal.SIGUSR1, "0", True), (signal.SIGUSR1, "50", False), (signal.SIGTERM, "0", False)])
def test_a_job_whose_time_is_over_ends_its_command_and_requeues_itself(
    tmp_path: Path, number: signal.Signals, restarts: str, requeued: bool
) -> None:
    said, folder = tmp_path / "said", JobsFolder(tmp_path)
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" > "{said}"\n')
    (tmp_path / "scontrol").chmod(0o755)
    record = folder.record_json("sleeps")
    job = subprocess.Popen([sys.executable, "-c", RUN, str(record)], stderr=subprocess.DEVNULL, env={
        "PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), "SLURM_JOB_ID": "17",
        "SLURM_RESTART_COUNT": restarts})
    until = time.monotonic() + PATIENCE_S
    while read_job(record) is None:
        assert job.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    job.send_signal(number)
    assert job.wait(PATIENCE_S) != 0
    after = ended(folder, "sleeps")
    assert (after.state, after.slurm) == ("stopped", "17")
    assert said.exists() == requeued and (not requeued or said.read_text() == "requeue 17\n")


def test_the_work_is_the_words_of_a_command_line(tmp_path: Path) -> None:
    work = work_of(Job(name="a b", words=("train", "D", "0")), JobsFolder(tmp_path))
    assert work.command == (sys.executable, "-m", "autoseg.cli.main", "train", "D", "0")
    assert work.record == str(tmp_path / "a_b.json")
