"""Jobs submitted by submitit. Its files, pickles among them, stay in the run's own folder: it runs what this workspace wrote."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from autoseg.errors import AutosegError
from autoseg.files import write_text
from autoseg.jobs.graph import Job
from autoseg.jobs.record import RECORD
from autoseg.jobs.slurm import MOST_RESTARTS, Options, dependency, header
from autoseg.workspace import JobsFolder


@dataclass(frozen=True)
class Work:
    """A job's command line, as submitit runs it: a list of words, and no code. Raises SystemExit with its exit code.

    Shortly before the time limit SLURM sends SIGUSR1: then the command is ended, as by Ctrl-C, and the job is requeued.
    """

    command: tuple[str, ...]
    record: str

    def __call__(self) -> None:
        process = subprocess.Popen(self.command, env={**os.environ, RECORD: self.record})
        received: list[int] = []

        def end(number: int, frame: FrameType | None) -> None:
            received.append(number)
            process.terminate()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGUSR1, end)
        code = process.wait()
        if signal.SIGUSR1 in received:
            if int(os.environ.get("SLURM_RESTART_COUNT", "0")) < MOST_RESTARTS:
                subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False)
            sys.exit(1)
        if code:
            sys.exit(code if code > 0 else 128 - code)


def work_of(job: Job, folder: JobsFolder) -> Work:
    """Return a job's work."""
    return Work(tuple(job.command), str(folder.record_json(job.name).absolute()))


def require_submitit(cluster: str = "slurm") -> Any:
    """Return submitit's module. Raises AutosegError where it, or the cluster's commands, are not here."""
    try:
        import submitit
    except ImportError as error:
        raise AutosegError("--on slurm needs submitit: pip install 'autoseg[cluster]'. Or let --print write the sbatch scripts, "
                           "which needs neither submitit nor SLURM here.") from error
    if cluster == "slurm" and (shutil.which("sbatch") is None or shutil.which("srun") is None):
        raise AutosegError("--on slurm submits jobs, but this machine has no sbatch. Run it where jobs are submitted from (a "
                           "login node), or let --print write the sbatch scripts, and submit them there.")
    return submitit


def submit(
    jobs: Sequence[Job], folder: JobsFolder, options: Options, known: Mapping[str, str], cluster: str = "slurm"
) -> dict[str, str]:
    """Submit jobs, and write down the number of each; return the numbers. known: those of queued jobs that they may wait for.

    cluster: "slurm", or "local" for processes of this machine, which wait for nothing. Raises AutosegError with what sbatch said.
    """
    submitit = require_submitit(cluster)
    ids = dict(known)
    for job in jobs:
        if cluster == "slurm":
            executor = submitit.SlurmExecutor(folder.submitit, python=f"exec {shlex.quote(sys.executable)}")
            executor.update_parameters(time=None, wckey=None, use_srun=False, stderr_to_stdout=True,
                                       additional_parameters=_parameters(job, folder, options, ids))
        else:
            executor = submitit.LocalExecutor(folder.submitit)
        try:
            ids[job.name] = str(executor.submit(work_of(job, folder)).job_id)
        except (RuntimeError, OSError, submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            raise AutosegError(f"{job.name} could not be submitted: {_words(error)}") from error
        if cluster == "slurm":
            write_text(folder.id_file(job.name), f"{ids[job.name]}\n")
    return {job.name: ids[job.name] for job in jobs}


def _parameters(job: Job, folder: JobsFolder, options: Options, ids: Mapping[str, str]) -> dict[str, object]:
    condition = dependency(job, ids)
    words = {**header(job, folder, options), **({"dependency": condition} if condition else {})}
    return {"job_name" if key == "job-name" else key: True if value is None else value for key, value in words.items()}


def _words(error: BaseException) -> str:
    """Return what sbatch said, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if "sbatch: " in line]
    return " ".join(said or lines[-1:])
