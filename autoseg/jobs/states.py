"""The states of a run's jobs, told by their records, by what SLURM has queued, and by processes that are alive."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from autoseg.jobs.graph import Graph, Job
from autoseg.jobs.record import JobRecord, read_job
from autoseg.jobs.slurm import read_id
from autoseg.slurm_queue import queued
from autoseg.workspace import JobsFolder, read_model

LINES = 8  # of a log, that a message shows
State = Literal["waiting", "running", "done", "failed", "stopped", "not run"]


class JobState(NamedTuple):
    """A job's state. why: a word about it. slurm: its number where it is queued. record: its own, if it ever began."""

    job: Job
    state: State
    why: str = ""
    slurm: str | None = None
    record: JobRecord | None = None


def read_graph(folder: JobsFolder) -> Graph:
    """Return the jobs of the latest run; an empty graph where there was none. Raises AutosegError where the file is damaged."""
    return read_model(folder.graph_json, Graph) if folder.graph_json.exists() else Graph()


def job_states(folder: JobsFolder, is_held: bool = False) -> list[JobState]:
    """Return the state of each job of the latest run. is_held: whether a run of this machine works on them now."""
    graph = read_graph(folder)
    ids = {job.name: its for job in graph.jobs if not job.is_done and (its := read_id(folder.id_file(job.name))) is not None}
    there, states = queued(ids.values()), []
    for job in graph.jobs:
        record = read_job(folder.record_json(job.name))
        if is_held and record is not None and record.state != "running" and record.ended <= graph.at and not job.is_done:
            states.append(JobState(job, "waiting", record=record))  # the record is of an earlier attempt
        else:
            states.append(_state(job, record, ids.get(job.name), there, is_held))
    return states


def queued_jobs(states: Sequence[JobState]) -> dict[str, str]:
    """Return the numbers of the jobs that wait or run on a cluster, by name."""
    return {state.job.name: state.slurm for state in states if state.slurm and state.state in ("waiting", "running")}


def _state(
    job: Job, record: JobRecord | None, number: str | None, there: Mapping[str, tuple[str, str]] | None, is_held: bool
) -> JobState:
    if job.is_done:
        return JobState(job, "done", record=record)
    if number is not None and there is not None and number in there:
        said, reason = there[number]
        why = f"{said.lower()}{f', {reason}' if reason not in ('None', '') else ''}"
        return JobState(job, "waiting" if said in ("PENDING", "REQUEUED") else "running", why, number, record)
    if number is not None and there is None and (record is None or record.slurm != number or record.state == "running"):
        return JobState(job, "waiting", "SLURM cannot be asked here", number, record)
    if record is None or (number is not None and record.slurm != number):
        if is_held:
            return JobState(job, "waiting", record=record)
        cancelled = "cancelled in the queue, or what it needs failed" if number is not None else ""
        return JobState(job, "not run", cancelled, record=record)
    if record.state == "running" and not record.is_alive:
        return JobState(job, "stopped", "it was killed", record=record)
    return JobState(job, record.state, record=record)


def last_lines(log: Path, lines: int = LINES) -> str:
    """Return the end of a job's log, with its path, for a message."""
    said = tail(log, lines)
    return f"Log: {log}" + (", which ends with\n" + "\n".join(f"    {line}" for line in said) if said else "")


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a text file that are not empty; none where it is not there."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip()[:300] for line in text.splitlines() if line.strip()][-lines:]
