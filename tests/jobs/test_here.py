"""Jobs side by side on this machine: one in each lane, with a GPU and cores of its own, and none that outlives the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from autoseg.errors import AutosegError
from autoseg.jobs import here
from autoseg.jobs.graph import Job
from autoseg.jobs.here import Lane, lanes_on, run_here
from autoseg.jobs.record import read_job
from autoseg.workspace import JobsFolder

LANES = (Lane("GPU 3", frozenset(), {"CUDA_VISIBLE_DEVICES": "3"}), Lane("GPU 5", frozenset(), {"CUDA_VISIBLE_DEVICES": "5"}))
PATIENCE_S = 120


class Code(Job):
    """A job that runs Python code instead of autoseg."""

    code: str

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-c", self.code]


def job(name: str, code: str, *needs: str, after: tuple[str, ...] = ()) -> Code:
    return Code(name=name, words=(), code=code, needs=needs, after=after)


@pytest.fixture
def folder(tmp_path: Path) -> JobsFolder:
    (tmp_path / "jobs").mkdir()
    return JobsFolder(tmp_path / "jobs")


@pytest.fixture(autouse=True)
def all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "SECONDS_BETWEEN_LOOKS", 0.02)
    cores = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset({0})
    for lane in LANES:
        object.__setattr__(lane, "cores", cores)


def test_jobs_run_side_by_side_each_on_a_gpu_of_its_own(folder: JobsFolder) -> None:
    # each waits until the other is there, too: one after the other they would wait for ever
    code = ("import os, time, pathlib\nhere = pathlib.Path({here!r})\n"
            "(here / ('at ' + os.environ['CUDA_VISIBLE_DEVICES'])).touch()\n"
            "until = time.monotonic() + {patience}\n"
            "while not all((here / ('at ' + gpu)).exists() for gpu in '35'):\n"
            "    assert time.monotonic() < until\n    time.sleep(0.01)")
    its = code.format(here=str(folder.root), patience=PATIENCE_S)
    ended = run_here([job("a", its), job("b", its)], folder, LANES, lambda share, text: None, False)
    assert ended == {"a": "done", "b": "done"}


def test_a_failed_job_stops_only_those_that_need_it(folder: JobsFolder, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [job("fails", "print('why'); raise SystemExit(3)"), job("works", "pass"), job("needs both", "pass", "fails", "works"),
            job("needs that", "pass", "needs both"), job("report", "pass", after=("fails", "works", "needs that"))]
    shares: list[float] = []
    ended = run_here(jobs, folder, LANES, lambda share, text: shares.append(share), True)
    assert ended == {"fails": "failed", "works": "done", "needs both": "not run", "needs that": "not run", "report": "done"}
    said = capsys.readouterr().out
    assert f"fails failed with exit code 3. Log: {folder.log('fails')}, which ends with\n    why" in said
    assert "needs both is not run: it needs fails." in said and shares[-1] == 1


RUN = """
import os, sys, pathlib
from autoseg.jobs.graph import Job
from autoseg.jobs.here import Lane, run_here
from autoseg.workspace import JobsFolder
class Sleep(Job):
    @property
    def command(self):
        code = "import time; from autoseg.jobs.record import as_job; as_job(lambda: time.sleep(600) or 0, None)"
        return [sys.executable, "-c", code]
cores = frozenset(os.sched_getaffinity(0))
run_here([Sleep(name="sleeps", words=())], JobsFolder(pathlib.Path(sys.argv[1])), [Lane("here", cores)], print, False)
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="kill -9 and cores as on Linux")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_jobs_end_with_the_run_however_it_ends(folder: JobsFolder, number: signal.Signals) -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN, str(folder.root)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # ignored in the background
    until = time.monotonic() + PATIENCE_S
    while (record := read_job(folder.record_json("sleeps"))) is None:
        assert run.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    assert record.state == "running" and record.is_alive
    run.send_signal(number)
    run.wait(PATIENCE_S)
    while record.is_alive:
        assert time.monotonic() < until, "the job outlived its run"
        time.sleep(0.05)
    after = read_job(folder.record_json("sleeps"))
    assert after is not None and after.state == "stopped" and not psutil.pid_exists(after.process)


def test_lanes_share_the_cores_and_take_the_gpus_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3, 4}, raising=False)
    assert [sorted(lane.cores) for lane in lanes_on("cpu", 2)] == [[0, 2, 4], [1, 3]]
    assert [lane.variables["OMP_NUM_THREADS"] for lane in lanes_on("cpu", 2)] == ["3", "2"]
    assert all(lane.variables["OMP_NUM_THREADS"] == "1" for lane in lanes_on("cpu", 7))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-ab")
    assert [lane.variables["CUDA_VISIBLE_DEVICES"] for lane in lanes_on("cuda", 2)] == ["4", "GPU-ab"]
    with pytest.raises(AutosegError, match="--gpus 3 was asked for, but 2 GPUs can be used"):
        lanes_on("cuda", 3)
