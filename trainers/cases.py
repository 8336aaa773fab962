"""Which cases a fold trains and validates on, written when it begins: splits and images may change before it goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from autoseg.errors import AutosegError, some
from autoseg.evaluation.cross_validation import state_of
from autoseg.provenance import Origin
from autoseg.workspace import FoldFolder, ModelFolder, read_model


class Stored(Protocol):
    """A preprocessed case of whatever task."""

    @property
    def name(self) -> str: ...

    @property
    def origin(self) -> str:
        """Digest of all that it was made from."""


def origin_of_cases(train: Iterable[Stored], val: Iterable[Stored]) -> Origin:
    """Return what a fold is made from: its cases by name, each with the digest of what it was preprocessed from."""
    return Origin.of(train={case.name: case.origin for case in train}, val={case.name: case.origin for case in val})


def pin_cases(folder: FoldFolder, now: Origin) -> None:
    """Write down the cases of a fold that begins now. Raises AutosegError as `changed_cases` for one that was begun before."""
    changed_cases(folder, now)
    if state_of(folder) == "missing":
        now.write(folder.cases_json)


def changed_cases(folder: FoldFolder, now: Origin) -> list[str]:
    """Return a note where images, labels or plans of a fold that was begun have changed since.

    Raises AutosegError where it was begun with other cases: it may have trained on some that it would be validated on.
    """
    if state_of(folder) == "missing" or not folder.cases_json.exists():
        return []
    begun = read_model(folder.cases_json, Origin).facts
    sides = [(set(begun[part]), set(now.facts[part])) for part in ("train", "val")]
    if other := sorted(name for then, today in sides for name in then ^ today):
        splits = ModelFolder(folder.root.parent).splits_json.name
        raise AutosegError(
            f"{folder.root} was begun with other cases than the folds have now ({some(dict.fromkeys(other))}): {splits} or the "
            "dataset changed since, and it may have trained on cases that it would now be validated on. Begin all folds of this "
            f"model again with --restart, or put {splits} and the cases back.")
    digests = now.facts["train"] | now.facts["val"]
    changed = sorted(name for name, digest in (begun["train"] | begun["val"]).items() if digests[name] != digest)
    if not changed:
        return []
    return [f"{folder.root} was begun before the images, labels or plans of {len(changed)} cases changed ({some(changed)}). To "
            "have it trained and validated on those of today, begin it again with --restart."]
