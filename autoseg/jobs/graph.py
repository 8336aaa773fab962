"""The graph of a run's jobs: each is an ordinary autoseg command, and names the jobs that it needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Literal

from autoseg.plan import Frozen

End = Literal["done", "failed", "not run"]


class Job(Frozen):
    """A job of a run. name: as of its step, such as "2d default fold 3". words: those of its command line after "autoseg".

    needs: names of the jobs that must have succeeded before. after: of those that must have ended, however. is_done: whether it
    had been done before the run began.
    """

    name: str
    words: tuple[str, ...]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    is_done: bool = False

    @property
    def command(self) -> list[str]:
        """Return what runs it, with this interpreter."""
        return [sys.executable, "-m", "autoseg.cli.main", *self.words]


class Graph(Frozen):
    """The content of graph.json: all jobs of a run, each after those that it waits for. at: when the run began."""

    remedy: ClassVar[str] = "Remove it: autoseg run writes it again."

    jobs: tuple[Job, ...] = ()
    at: str = ""

    def to_do(self) -> list[Job]:
        """Return the jobs that are not done; they wait for each other alone."""
        waiting = [job for job in self.jobs if not job.is_done]
        names = {job.name for job in waiting}
        return [job.model_copy(update={"needs": tuple(name for name in job.needs if name in names),
                                       "after": tuple(name for name in job.after if name in names)}) for job in waiting]


def is_ready(job: Job, ended: Mapping[str, End]) -> bool:
    """Tell whether all that a job waits for has ended."""
    return all(name in ended for name in (*job.needs, *job.after))


def lacking(job: Job, ended: Mapping[str, End]) -> list[str]:
    """Return the jobs that this one needs and that have failed, or were not run."""
    return [name for name in job.needs if ended.get(name) in ("failed", "not run")]


def renewed(jobs: Sequence[Job], is_queued: Callable[[str], bool]) -> list[Job]:
    """Return the jobs to submit: those that are not queued, and those that are but wait for one that is submitted anew."""
    fresh: dict[str, Job] = {}
    for job in jobs:
        if not is_queued(job.name) or any(name in fresh for name in (*job.needs, *job.after)):
            fresh[job.name] = job
    return list(fresh.values())


def listed(names: Iterable[str]) -> str:
    """Return names of jobs in a sentence."""
    return ", ".join(names)
