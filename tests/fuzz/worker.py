"""The process that reads: it takes jobs as lines of JSON and may die of any of them. `pool` starts and watches it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import warnings
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TextIO

from tests.fuzz.attempt import Change, Noise, Outcome, Target, copied, tried
from tests.fuzz.kinds import case_named, target_named

ADDRESS_BYTES = 12 * 2**30  # beyond what the process has: memory that is touched is watched from outside


class Worker:
    """Carries out jobs in a scratch folder of its own."""

    def __init__(self, scratch: Path, replies: TextIO) -> None:
        self.scratch, self.replies = scratch, replies
        self.noise = Noise(scratch / "noise.txt")
        self.good: dict[str, tuple[Target, Path, Any]] = {}

    def say(self, **content: Any) -> None:
        """Send a line to the parent."""
        self.replies.write(json.dumps(content) + "\n")
        self.replies.flush()

    def carry_out(self, job: dict[str, Any]) -> Outcome:
        """Return how the job ended. "begins" is said when its reading begins: until then nothing of the file is looked at."""
        place = self.scratch / "attempt"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        if "case" in job:
            case = case_named(job["case"], job["reader"])
            path = case.make(place)
            self.say(begins=str(place))
            return tried(partial(case.read, path), case.judge, place, self.noise)
        target, good, found = self._good(job)
        path = copied(good.parent if good.is_file() else good, place, good)
        change = target.mutate(Random(f"{job['target']}:{job['seed']}"), path)
        self.say(begins=str(place), change=change.words)
        outcome = tried(partial(target.read, path), lambda read: target.judge(found, path, read, change), place, self.noise)
        return Outcome(**outcome.as_dict() | {"change": change.words})

    def _good(self, job: dict[str, Any]) -> tuple[Target, Path, Any]:
        """Return the target with a good file and what that gives; reading it loads the libraries, too."""
        name = job["target"]
        if name not in self.good:
            target = target_named(name, job["reader"])
            folder = self.scratch / "good" / name
            folder.mkdir(parents=True)
            path = target.make(folder)
            self.good[name] = target, path, target.read(path)
            if wrong := target.judge(self.good[name][2], path, target.read(path), Change("nothing", is_sealed=True)):
                raise ValueError(f"{name}: the good file is judged to be wrong: {wrong}")
        return self.good[name]


def main() -> None:
    """Carry out the jobs on standard input until it ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    worker = Worker(Path(sys.argv[1]), replies)
    warnings.simplefilter("always", RuntimeWarning)
    warnings.simplefilter("always", UserWarning)
    import torch

    torch.set_num_threads(1)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    for line in sys.stdin:
        worker.say(outcome=worker.carry_out(json.loads(line)).as_dict())


if __name__ == "__main__":
    main()
