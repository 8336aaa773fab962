"""Cases of kinds of models apart from segmentation, made and stored: what is there, whole and from the same, stays.

`<case>.b2nd` holds the array and `<case>.json` what is known of it; that is written last: where it is, the case is whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from autoseg.dataset import Case
from autoseg.errors import AutosegError
from autoseg.parallel import Outcome, run_parallel
from autoseg.plan import Frozen
from autoseg.preprocessing.pipeline import file_identity
from autoseg.preprocessing.store import description_path, open_array, write_array
from autoseg.workspace import read_model, remove_leftovers, write_json


class StoredDescription(Frozen):
    """`<case>.json`. digest: of all that it was made from. plans_digest: of the plans among that."""

    case: str
    digest: str
    plans_digest: str


DescriptionType = TypeVar("DescriptionType", bound=StoredDescription)


@dataclass(frozen=True)
class StoredApart(ABC, Generic[DescriptionType]):
    """One case on disk."""

    folder: Path
    description: DescriptionType

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int, int]:
        """Of the stored array."""

    @property
    def name(self) -> str:
        return self.description.case

    @property
    def digest(self) -> str:
        """Of all that it was made from: files and plans."""
        return self.description.digest

    @property
    def plans_digest(self) -> str:
        """Of the plans that made it."""
        return self.description.plans_digest

    def read_stored(self) -> np.ndarray:
        """All of the array, of `shape`, float32. Raises AutosegError as `opened`."""
        return np.asarray(self.opened()[:], np.float32)

    def opened(self) -> np.ndarray:
        """The array, not read yet. Raises AutosegError where the file is missing or damaged, or of another shape."""
        array: np.ndarray = open_array(array_path(self.folder, self.name), self.shape)
        return array


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


def write_case(folder: Path, description: StoredDescription, array: np.ndarray) -> None:
    """Store a case, its array as float16; an older version of it is replaced. array: of four axes.

    Raises AutosegError where the disk is full or the folder cannot be written.
    """
    forget(folder, description.case)
    write_array(array_path(folder, description.case), array.astype(np.float16), array.shape[1:], {})
    write_json(description_path(folder, description.case), description)


def read_description(folder: Path, case: str, kind: type[DescriptionType], planner: str) -> DescriptionType:
    """Of a stored case. planner: its name, which is also that of what it makes. Raises AutosegError where it is not whole."""
    path = description_path(folder, case)
    if not path.is_file():
        raise AutosegError(f"case {case}: {folder} holds no complete {planner} of it. "
                           f"Run autoseg_plan_and_preprocess with --planner {planner} again; it goes on where it stopped.")
    return read_model(path, kind)


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
