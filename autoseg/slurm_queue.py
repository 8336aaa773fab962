"""SLURM's queue: which jobs wait or run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence

OVER = ("CANCELLED", "COMPLETED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "PREEMPTED",
        "REVOKED")  # states of jobs that squeue may still list


def queued(ids: Iterable[str]) -> dict[str, tuple[str, str]] | None:
    """Return state and reason of those of the jobs that wait or run; None where SLURM cannot be asked here."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    return _squeue("--jobs", ",".join(wanted))


def _squeue(*arguments: str) -> dict[str, tuple[str, str]] | None:
    if shutil.which("squeue") is None:
        return None
    try:
        done = subprocess.run(["squeue", "--noheader", "--format", "%i %T %r", *arguments], capture_output=True, text=True,
                              timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:  # of a single job that SLURM has forgotten, it says so
        return {} if "Invalid job id" in done.stderr else None
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return {words[0]: (words[1], words[2] if len(words) > 2 else "") for words in lines
            if len(words) > 1 and words[1] not in OVER}


def cancel(ids: Sequence[str]) -> None:
    """Cancel jobs that wait."""
    if ids:
        subprocess.run(["scancel", *ids], capture_output=True, check=False, timeout=60)
