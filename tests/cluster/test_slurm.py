"""`autoseg run --on slurm` on a real SLURM of one node: a job is requeued, one cancelled, one fails; then the run is completed.

Debian's packages `slurm-wlm` and `munge` bring what `slurm.sh` starts: `apt-get install --no-install-recommends slurm-wlm munge`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autoseg.cli.main import main
from autoseg.demo import make_synthetic_dataset
from autoseg.jobs.record import read_job
from autoseg.jobs.states import JobState, job_states
from autoseg.steps import read_record
from autoseg.tasks.segmentation import INFO
from autoseg.workspace import DatasetFolder, JobsFolder

SCRIPT = Path(__file__).with_name("slurm.sh")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
SHORT = ("--epochs", "1", "--iterations", "1", "--set", "batch_size=2", "base_features=4", "validation_iterations=1", "--device",
         "cpu", "-np", "1", "--no-cheaper-ways")
PATIENCE_S = 900
FIRST, SECOND = "2d default fold 0", "2d default fold 1"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A SLURM that runs, and its configuration, for this process and those that it starts."""
    if os.environ.get("AUTOSEG_TEST_SLURM") != "1":
        pytest.skip("takes minutes, and a SLURM of its own: AUTOSEG_TEST_SLURM=1 runs it")
    if missing := [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]:
        pytest.skip(f"no SLURM is installed here: {', '.join(missing)} is not there (apt-get install slurm-wlm munge)")
    if os.getuid() != 0:
        pytest.skip("this SLURM is started as root")
    folder = tmp_path_factory.mktemp("slurm")
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    start = ["bash", str(SCRIPT), "start", str(folder)]
    started = subprocess.run(start, capture_output=True, text=True, env=environment, check=False)
    if started.returncode:
        pytest.skip(f"SLURM does not start here: {started.stderr[-300:]}")
    before = {name: os.environ.get(name) for name in ("SLURM_CONF", "OMP_NUM_THREADS")}
    os.environ.update({"SLURM_CONF": started.stdout.strip(), "OMP_NUM_THREADS": "1"})
    yield folder
    subprocess.run(["scancel", "--user", "root"], check=False)
    subprocess.run(["bash", str(SCRIPT), "stop", str(folder)], check=False)
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_dataset(tmp_path_factory.mktemp("data"), training=5, test=0, shape=(8, 24, 24))


def wait_for(there: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not there():
        assert time.monotonic() < until, f"{what} did not happen"
        time.sleep(0.3)


def states(files: JobsFolder) -> dict[str, JobState]:
    return {state.job.name: state for state in job_states(files)}


def test_a_run_through_slurm(slurm: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("submitit")
    workspace = tmp_path / "workspace"
    folder = DatasetFolder(workspace / source.name)
    files = JobsFolder(folder.root / "jobs")
    submit = ["run", str(source), "-c", "2d", "3d_fullres", "--workspace", str(workspace), *SHORT,
              "--on", "slurm", "--slurm", "mem=800"]
    assert main(submit) == 0
    assert "Submitted 12 jobs to SLURM: 2d default fold 0 (" in capsys.readouterr().out
    numbers = {name: state.slurm for name, state in states(files).items()}
    assert main(submit) == 0  # all are queued
    assert "12 jobs wait or run already" in capsys.readouterr().out
    assert {name: state.slurm for name, state in states(files).items()} == numbers
    assert main([*submit[:-4], "--gpus", "2"]) == 1 and "wait or run on SLURM" in capsys.readouterr().err

    # the first is requeued while it runs: it goes on under its number; the second is cancelled for good
    wait_for(lambda: all(read_job(files.record_json(name)) for name in (FIRST, SECOND)), "the first jobs")
    subprocess.run(["scontrol", "requeue", str(numbers[FIRST])], check=True)
    subprocess.run(["scancel", str(numbers[SECOND])], check=True)
    # and one cannot be trained, as a file lies where its folder would
    blocked = folder.model("3d_fullres", "default").fold(4).root
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("in the way")
    wait_for(lambda: all(state.state not in ("waiting", "running") for state in states(files).values()), "the end of all jobs")
    ended = states(files)
    assert {name for name, state in ended.items() if state.state != "done"} == {SECOND, "3d_fullres default fold 4", "find-best"}
    first = ended[FIRST].record
    assert first is not None and first.attempts == 2 and first.slurm == numbers[FIRST] and "core" in first.machine
    assert (ended[SECOND].state, ended["3d_fullres default fold 4"].state, ended["find-best"].state) == (
        "stopped", "failed", "not run")
    assert folder.report_html.exists() and not folder.best_of(INFO).exists()
    assert main(["jobs", source.name, "--workspace", str(workspace)]) == 0
    said = capsys.readouterr().out
    assert "Log: " in said and all(words in said for words in ("10 done", "1 stopped", "1 failed", "1 not run"))

    blocked.unlink()
    assert main(submit) == 0
    assert f"Submitted 4 jobs to SLURM: {SECOND} (" in capsys.readouterr().out  # with find-best and the report
    wait_for(lambda: all(state.state == "done" for state in states(files).values()), "the completion of the run")
    assert folder.best_of(INFO).exists()
    assert main(submit) == 0
    assert "Nothing is to be submitted" in capsys.readouterr().out
    ran = read_record(folder.root / "run.json").ran
    assert set(ran) == {*numbers, "plan"} and ran[FIRST].slurm == numbers[FIRST] and ran[SECOND].slurm != numbers[SECOND]


def test_printed_scripts_are_accepted_and_run(
    slurm: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = tmp_path / "a 50% workspace"
    files = JobsFolder(workspace / source.name / "jobs")
    assert main(["run", str(source), "-c", "2d", "--workspace", str(workspace), *SHORT, "--on", "slurm", "--print",
                 "--slurm", "time=1:00:00", "--slurm", "mem=800"]) == 0
    said = capsys.readouterr().out
    scripts = [path for path in files.root.glob("*.sh") if path != files.submit_script]
    assert f"Next: bash {files.submit_script}" in said and len(scripts) == 7
    for script in scripts:
        tested = subprocess.run(["sbatch", "--test-only", str(script)], capture_output=True, text=True, check=False)
        assert tested.returncode == 0 and "to start at" in tested.stderr, tested.stderr
    subprocess.run(["bash", str(files.submit_script)], check=True)
    wait_for(lambda: read_job(files.record_json(FIRST)) is not None, "the first job")
    # SLURM's signal before the time limit, here by hand: limits are whole minutes
    subprocess.run(["scancel", "--batch", "--signal=USR1", str(states(files)[FIRST].slurm)], check=True)
    wait_for(lambda: all(state.state not in ("waiting", "running") for state in states(files).values()), "the end of all jobs")
    assert {state.state for state in states(files).values()} == {"done"}
    record = read_job(files.record_json(FIRST))
    assert record is not None and record.attempts == 2
