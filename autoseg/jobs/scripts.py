"""Jobs as sbatch scripts, and a script that submits them with their dependencies: for sites without submitit."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoseg.files import write_text
from autoseg.jobs.graph import Job
from autoseg.jobs.record import RECORD
from autoseg.jobs.slurm import MOST_RESTARTS, WARNED_S, Options, dependency, header
from autoseg.workspace import JobsFolder

SCRIPT = """#!/bin/bash
# {name}: one job of a run. submit.sh submits it with the others.
{header}

export {variable}={record}

again() {{ # {warned} s before the time limit: end, and go on in a new job of the same number
    kill "$job"
    wait "$job"
    if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {restarts} ]; then scontrol requeue "$SLURM_JOB_ID"; fi
    exit 1
}}
trap again USR1
trap 'kill "$job"' TERM

{command} &
job=$!
wait "$job"
code=$?
while kill -0 "$job" 2> /dev/null; do wait "$job"; code=$?; done
exit "$code"
"""
SUBMIT = """#!/bin/bash
# Submits the jobs of a run, each with those that it waits for. Their numbers go into files, where autoseg finds them.
set -euo pipefail
cd {folder}
submit() {{ # SCRIPT ID_FILE OPTION...
    local id
    id=$(sbatch --parsable "${{@:3}}" "$1") || exit 1
    id=${{id%%;*}}
    echo "$id" > "$2"
    echo "$id"
}}
{cancel}
{lines}
echo {done}
"""


def job_script(job: Job, folder: JobsFolder, options: Options) -> str:
    """Return the sbatch script of a job."""
    lines = [f"#SBATCH --{key}" + ("" if value is None else f"={shlex.quote(value)}")
             for key, value in header(job, folder, options).items()]
    return SCRIPT.format(
        name=job.name, header="\n".join(lines), variable=RECORD, record=shlex.quote(str(folder.record_json(job.name).absolute())),
        warned=WARNED_S, restarts=MOST_RESTARTS, command=shlex.join(job.command))


def submit_script(jobs: Sequence[Job], folder: JobsFolder, known: Mapping[str, str], superseded: Sequence[str]) -> str:
    """Return the script that submits jobs. known: numbers of queued jobs that they may wait for. superseded: those to cancel."""
    variables = dict(known)
    lines = []
    for number, job in enumerate(jobs):
        variables[job.name] = f"$job{number}"
        condition = dependency(job, variables)
        its = [shlex.quote(path.name) for path in (folder.script(job.name), folder.id_file(job.name))]
        lines.append(f"job{number}=$(submit {' '.join(its)}" + (f' "--dependency={condition}")' if condition else ")"))
    cancel = f"scancel {' '.join(superseded)}" if superseded else ""
    return SUBMIT.format(folder=shlex.quote(str(folder.root.absolute())), cancel=cancel, lines="\n".join(lines),
                         done=shlex.quote(f"Submitted {len(jobs)} jobs."))


def write_scripts(
    jobs: Sequence[Job], folder: JobsFolder, options: Options, known: Mapping[str, str], superseded: Sequence[str]
) -> Path:
    """Write the scripts of jobs, and the one that submits them, whose path it returns."""
    for job in jobs:
        write_text(folder.script(job.name), job_script(job, folder, options))
    write_text(folder.submit_script, submit_script(jobs, folder, known, superseded))
    return folder.submit_script
