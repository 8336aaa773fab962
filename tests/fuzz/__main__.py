"""`python -m tests.fuzz`: run the fuzzer, or repeat one attempt."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fuzz.attempt import BAD, VERDICTS, Outcome
from tests.fuzz.kinds import cases, targets
from tests.fuzz.pool import DEFAULT_READER, Job, carried_out

SHOWN = 20  # bad attempts whose details are printed as they come


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the flags say; return 1 where an attempt ended badly, else 0."""
    flags = _flags(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    known = targets(flags.reader)
    if unknown := set(flags.target) - known.keys():
        sys.exit(f"There is no target {', '.join(sorted(unknown))}. There are: {', '.join(known)}.")
    if flags.case or flags.seed is not None:
        names = list(cases(flags.reader)) if flags.case == ["all"] else flags.case
        repeated = [Job(case=name, reader=flags.reader) for name in names]
        repeated += [Job(name, flags.seed, reader=flags.reader) for name in flags.target]
        return _repeat(repeated, flags.keep)
    jobs = _jobs(flags, flags.target or list(known))
    counts: dict[str, Counter[str]] = {}
    shown = itertools.count()
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends with the table of what was done
        for job, outcome in carried_out(jobs, flags.jobs, flags.keep):
            counts.setdefault(job.target or "corpus", Counter())[outcome.verdict] += 1
            if outcome.verdict in BAD and next(shown) < SHOWN:
                print(_said(job, outcome), flush=True)
    print(table(counts))
    bad = sum(count[verdict] for count in counts.values() for verdict in BAD)
    print(
        f"{sum(count.total() for count in counts.values())} attempts, {bad} bad"
        + (f"; their files are in {flags.keep}" * bool(bad))
    )
    return int(bad > 0)


def table(counts: dict[str, Counter[str]]) -> str:
    """Return attempts per target and verdict, a line each, and their sums."""
    rows = [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]
    lines = [f"{name:<22}" + "".join(f"{count[verdict]:>10}" for verdict in VERDICTS) for name, count in rows]
    return "\n".join([f"{'':<22}" + "".join(f"{verdict:>10}" for verdict in VERDICTS), *lines])


def _flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long new attempts begin (default: an hour)")
    parser.add_argument("--attempts", type=int, help="attempts per target, in place of --seconds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at the same time")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_failures"), help="folder of the files of bad attempts")
    parser.add_argument("--reader", default=DEFAULT_READER, help="module:function that reads images")
    parser.add_argument("--target", nargs="+", default=[], help="these targets alone")
    parser.add_argument("--seed", type=int, help="with --target: this attempt alone")
    parser.add_argument("--case", nargs="+", default=[], help="these cases of the corpus alone; all for all of it")
    return parser.parse_args(arguments)


def _jobs(flags: argparse.Namespace, names: list[str]) -> Iterator[Job]:
    """Yield the corpus, then attempts at every target in turn, until the time or their number is up."""
    end = time.monotonic() + flags.seconds
    if not flags.target:
        yield from (Job(case=name, reader=flags.reader) for name in cases(flags.reader))
    for seed in itertools.count(flags.first):
        for name in names:
            if seed >= flags.first + flags.attempts if flags.attempts else time.monotonic() > end:
                return
            yield Job(name, seed, reader=flags.reader)


def _repeat(jobs: list[Job], keep: Path) -> int:
    bad = 0
    for job, outcome in carried_out(jobs, 1, keep):
        print(_said(job, outcome))
        bad += outcome.verdict in BAD
    return int(bad > 0)


def _said(job: Job, outcome: Outcome) -> str:
    seconds, peak = f"{outcome.seconds:.2f} s", f"{outcome.peak_bytes / 2**20:.0f} MiB"
    return f"{outcome.verdict} ({seconds}, {peak}): {job.command}\n  {outcome.change}\n  {outcome.details.strip()}\n"


if __name__ == "__main__":
    sys.exit(main())
