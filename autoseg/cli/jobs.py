"""autoseg jobs: the state of each job of a run."""

from __future__ import annotations

import argparse
from collections import Counter

from autoseg import api
from autoseg.cli.command import Command, add_dataset, add_workspace


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    jobs = api.jobs(flags.dataset, workspace=flags.workspace)
    rows = [(job.name, job.state, job.time, ", ".join(filter(None, [job.where, job.why]))) for job in jobs]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for job, row in zip(jobs, rows, strict=True):
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]).rstrip())
        for line in job.last:
            print(f"    {line}")
        if job.last and job.log is not None:
            print(f"    Log: {job.log}")
    states = Counter(job.state for job in jobs)
    print(", ".join(f"{count} {state}" for state, count in states.items()) + ".")
    return 0


COMMAND = Command(
    "jobs", "Show which jobs of a run wait, run, have failed or are done, on what, and for how long.", add_flags, run)
