"""Jobs and what they need: as lists, as sbatch takes them, and as scripts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.errors import AutosegError
from autoseg.jobs.graph import Graph, Job, is_ready, lacking, renewed
from autoseg.jobs.scripts import write_scripts
from autoseg.jobs.slurm import dependency, read_options
from autoseg.workspace import JobsFolder

A, B = Job(name="2d default fold 0", words=("train", "D", "0")), Job(name="2d default fold 1", words=("train", "D", "1"))
BEST = Job(name="find-best", words=("find-best", "D"), needs=(A.name, B.name))
REPORT = Job(name="report", words=("report", "it's"), after=(A.name, B.name, BEST.name))


def test_jobs_that_are_done_are_not_waited_for() -> None:
    graph = Graph(jobs=(A.model_copy(update={"is_done": True}), B, BEST, REPORT))
    assert [(job.name, job.needs, job.after) for job in graph.to_do()] == [
        (B.name, (), ()), ("find-best", (B.name,), ()), ("report", (), (B.name, "find-best"))]


def test_a_job_is_ready_when_all_has_ended_and_lacks_what_failed() -> None:
    assert not is_ready(BEST, {A.name: "done"}) and is_ready(BEST, {A.name: "done", B.name: "done"})
    assert lacking(BEST, {A.name: "failed"}) == [A.name] and lacking(BEST, {B.name: "not run"}) == [B.name]
    assert not lacking(REPORT, {A.name: "failed", BEST.name: "not run"})  # it says what is there
    assert is_ready(REPORT, {A.name: "failed", B.name: "done", BEST.name: "not run"})


@pytest.mark.parametrize(("queue", "expected"), [
    ((), [A, B, BEST, REPORT]),
    ((A, B, BEST, REPORT), []),
    ((A, BEST, REPORT), [B, BEST, REPORT]),  # these wait for the fold that has gone: they wait for the new one
    ((A, B, BEST), [REPORT]),
])
def test_what_is_queued_is_not_submitted_again(queue: tuple[Job, ...], expected: list[Job]) -> None:
    assert renewed([A, B, BEST, REPORT], {job.name for job in queue}.__contains__) == expected


def test_dependencies_are_those_of_sbatch() -> None:
    ids = {A.name: "7", B.name: "8", BEST.name: "9"}
    assert dependency(A, ids) == "" and dependency(BEST, ids) == "afterok:7:8"
    assert dependency(REPORT.model_copy(update={"needs": (A.name,)}), ids) == "afterok:7,afterany:7:8:9"


def test_options_of_sbatch_are_passed_on_and_others_refused() -> None:
    assert read_options(["partition=gpu", "gres=gpu:1", "--time=1-00:00:00", "exclusive", "comment=a=b c"]) == {
        "partition": "gpu", "gres": "gpu:1", "time": "1-00:00:00", "exclusive": None, "comment": "a=b c"}
    for wrong in ("gpu:1", "=x", "time=", "a b=c", "time=1\n#SBATCH --uid=0", "Partition=x"):
        with pytest.raises(AutosegError, match="KEY=VALUE"):
            read_options([wrong])
    with pytest.raises(AutosegError, match="--slurm dependency cannot be given"):
        read_options(["dependency=afterok:1"])


@pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are bash's")
def test_printed_scripts_submit_each_job_with_the_numbers_of_those_it_waits_for(tmp_path: Path) -> None:
    folder = JobsFolder(tmp_path / "a 50% folder" / "jobs")
    script = write_scripts([B, BEST, REPORT], folder, {"partition": "two words", "exclusive": None}, {A.name: "41"}, ["40"])
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    count = 'n=$(cat "$COUNT"); n=$((n + 1)); echo $n > "$COUNT"; echo "$n;cluster"'
    for name, answer in (("sbatch", f'echo "$@" >> "$SAID"; {count}'), ("scancel", 'echo "scancel $@" >> "$SAID"')):
        (bin_folder / name).write_text(f"#!/bin/bash\n{answer}\n")
        (bin_folder / name).chmod(0o755)
    (tmp_path / "count").write_text("41")
    said = tmp_path / "said"
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=True, env={
        "PATH": f"{bin_folder}:/usr/bin:/bin", "COUNT": str(tmp_path / "count"), "SAID": str(said)})
    assert done.stdout == "Submitted 3 jobs.\n"
    assert said.read_text().splitlines() == [
        "scancel 40", "--parsable 2d_default_fold_1.sh", "--parsable --dependency=afterok:41:42 find-best.sh",
        "--parsable --dependency=afterany:41:42:43 report.sh"]
    assert folder.id_file("find-best").read_text() == "43\n"
    lines = folder.script("report").read_text().splitlines()
    assert f"#SBATCH --output='{tmp_path}/a 50%% folder/jobs/report.log'" in lines and "#SBATCH --requeue" in lines
    assert "#SBATCH --partition='two words'" in lines and "#SBATCH --exclusive" in lines
    assert f"{sys.executable} -m autoseg.cli.main report 'it'\"'\"'s' &" in lines
    for job in (B, BEST, REPORT):
        subprocess.run(["bash", "-n", str(folder.script(job.name))], check=True)
