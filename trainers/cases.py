"""Which cases a fold trains and validates on, noted when it begins: splits and images may change before it goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from autoseg.errors import AutosegError, some
from autoseg.evaluation.cross_validation import state_of
from autoseg.plan import Frozen
from autoseg.workspace import FoldFolder, ModelFolder, read_model, write_json


class Stored(Protocol):
    """A preprocessed case, of whatever kind."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str:
        """Of all that it was made from."""


class FoldCases(Frozen):
    """cases.json. train, val: case name to a digest of what it was preprocessed from."""

    train: dict[str, str]
    val: dict[str, str]

    @classmethod
    def of(cls, train: Iterable[Stored], val: Iterable[Stored]) -> FoldCases:
        return cls(train=_digests(train), val=_digests(val))


def settle_cases(folder: FoldFolder, now: FoldCases) -> None:
    """Note the cases of a fold that begins now. Raises AutosegError as `changed_cases` for one that was begun before."""
    changed_cases(folder, now)
    if state_of(folder) == "missing":
        write_json(folder.cases_json, now)


def changed_cases(folder: FoldFolder, now: FoldCases) -> list[str]:
    """In words, where images, labels or plans of a fold that was begun have changed since; those of earlier versions do not say.

    Raises AutosegError where it was begun with other cases: it may have trained on some that it would be validated on.
    """
    if state_of(folder) == "missing" or not folder.cases_json.exists():
        return []
    begun = read_model(folder.cases_json, FoldCases)
    if (begun.train.keys(), begun.val.keys()) != (now.train.keys(), now.val.keys()):
        other = sorted((begun.train.keys() ^ now.train.keys()) | (begun.val.keys() ^ now.val.keys()))
        splits = ModelFolder(folder.root.parent).splits_json.name
        raise AutosegError(
            f"{folder.root} was begun with other cases than the folds have now ({some(other)}): {splits} or the dataset "
            "changed since, and it may have trained on cases that it would now be validated on. Begin all folds of this model "
            f"anew with --restart, or put {splits} and the cases back.")
    digests = now.train | now.val
    changed = sorted(name for name, digest in (begun.train | begun.val).items() if digests[name] != digest)
    if not changed:
        return []
    return [f"{folder.root} was begun before the images, labels or plans of {len(changed)} cases changed ({some(changed)}). To "
            "have it trained and validated on those of today, begin it anew with --restart."]


def _digests(cases: Iterable[Stored]) -> dict[str, str]:
    return {case.name: case.digest[:16] for case in sorted(cases, key=lambda case: case.name)}
