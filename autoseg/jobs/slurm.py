"""Jobs as sbatch takes them: their options, and what they wait for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoseg.errors import AutosegError
from autoseg.jobs.graph import Job
from autoseg.workspace import JobsFolder, short_name

OURS = ("array", "chdir", "dependency", "error", "job-name", "kill-on-invalid-dep", "open-mode", "output", "parsable", "signal",
        "test-only", "wrap")  # options of sbatch that autoseg gives itself
WARNED_S = 120  # before a time limit ends a job, SLURM sends the signal after which it is requeued
MOST_RESTARTS = 50  # of one job by itself: one that never gets anywhere within its time limit must not go on for ever
Options = dict[str, str | None]


def read_options(given: Sequence[str]) -> Options:
    """Return the options of sbatch that "KEY=VALUE" or "KEY" ask for; None stands for no value. Raises AutosegError for another
    form, and for those that autoseg gives itself."""
    options: Options = {}
    for word in given:
        match = re.fullmatch(r"-{0,2}([a-z][a-z0-9-]*)(?:=(.+))?", word)
        if match is None or "\n" in word:
            raise AutosegError(f'--slurm takes an option of sbatch as KEY=VALUE, such as partition=gpu, and not "{word}".')
        if match[1] in OURS:
            raise AutosegError(f"--slurm {match[1]} cannot be given: autoseg gives sbatch that option itself.")
        options[match[1]] = match[2]
    return options


def header(job: Job, folder: JobsFolder, options: Options) -> Options:
    """Return the options of sbatch for a job, but its dependency."""
    return {
        "job-name": short_name(job.name), "output": _literal(folder.log(job.name)), "open-mode": "append", "requeue": None,
        "kill-on-invalid-dep": "yes", "signal": f"B:USR1@{WARNED_S}", "chdir": str(Path.cwd()), **options}


def _literal(path: Path) -> str:
    """Return a path in which sbatch puts no job's number in the place of %j and the like."""
    return str(path.absolute()).replace("%", "%%")


def dependency(job: Job, ids: Mapping[str, str]) -> str:
    """Return what sbatch's --dependency takes; "" for nothing. ids: the number of each job to wait for, or a variable with it."""
    conditions = [(kind, [ids[name] for name in names]) for kind, names in (("afterok", job.needs), ("afterany", job.after))]
    return ",".join(":".join([kind, *its]) for kind, its in conditions if its)


def read_id(path: Path) -> str | None:
    """Return the number under which a job was submitted; None where it was not."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return None
    return text if re.fullmatch("[0-9]{1,12}", text) else None
