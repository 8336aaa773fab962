"""Cases of kinds of models apart from segmentation, made and stored: what is there, whole and from the same, stays.

`<case>.b2nd` holds the array and `<case>.json` what is known of it; that is written last: where it is, the case is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.dataset import Case
from autoseg.errors import AutosegError
from autoseg.parallel import Outcome, run_parallel
from autoseg.plan import Frozen
from autoseg.preprocessing.pipeline import file_identity
from autoseg.preprocessing.store import description_path
from autoseg.workspace import read_model, remove_leftovers


class StoredDescription(Frozen):
    """`<case>.json`. digest: of all that it was made from. plans_digest: of the plans among that."""

    case: str
    digest: str
    plans_digest: str


class DigestOnly(StoredDescription, extra="ignore"):
    """Of whatever kind."""


@dataclass(frozen=True)
class CaseToMake:
    """A case, and the digest to store it with."""

    case: Case
    digest: str

    def __str__(self) -> str:
        return str(self.case)


def make_cases(
    cases: Sequence[Case], folder: Path, digest: Callable[[Case], str], make: Callable[[CaseToMake], None],
    memory_bytes: Callable[[Case], int], workers: int | None = None,
) -> Iterator[Outcome[Case]]:
    """Make what is not there yet. digest: of all that a case is made from. make: stores one, in a process of its own.
    memory_bytes: that a case takes at its peak. workers: at most so many processes.

    Yields one outcome per case, in the order in which they finish. Cases that are there already, whole and from the same files
    and plans, are left as they are.
    """
    remove_leftovers(folder)
    pending = []
    for case in cases:
        wanted = digest(case)
        if is_complete(folder, case.name, wanted):
            yield Outcome(case)
        else:
            pending.append(CaseToMake(case, wanted))
    memory = max((memory_bytes(job.case) for job in pending), default=0)
    for outcome in run_parallel(partial(_call, make), pending, memory, workers):
        yield Outcome(outcome.item.case, outcome.value, outcome.error)


def _call(make: Callable[[CaseToMake], None], job: CaseToMake) -> None:
    make(job)


def forget_outdated(cases: Sequence[Case], folder: Path, digest: Callable[[Case], str]) -> None:
    """Make incomplete what was made from other files or by other plans.

    To be called before these plans are written: a planning that is killed, or a case that then cannot be made, must not leave
    what is not so any more.
    """
    for case in cases:
        if not is_complete(folder, case.name, digest(case)):
            forget(folder, case.name)


def forget(folder: Path, case: str) -> None:
    """From here on the case is incomplete."""
    description_path(folder, case).unlink(missing_ok=True)


def is_complete(folder: Path, case: str, digest: str | None = None) -> bool:
    """Whether a case is stored whole and, where `digest` is given, was made from the same."""
    path = description_path(folder, case)
    if not (path.is_file() and array_path(folder, case).is_file()):
        return False
    try:
        return digest is None or read_model(path, DigestOnly).digest == digest
    except AutosegError:
        return False


def array_path(folder: Path, case: str) -> Path:
    """`<case>.b2nd`."""
    return folder / f"{case}.b2nd"


def identities(case: Case) -> list[list[object]]:
    """Of a case's files: what changes when one of them does."""
    return [file_identity(path) for path in (*case.images, case.label) if path is not None]
