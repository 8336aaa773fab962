"""Classes of a dataset, from the names that people gave to what they drew."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoseg.errors import AutosegError, did_you_mean, some
from autoseg.layouts import IGNORE

BACKGROUND = "background"


@dataclass(frozen=True)
class Classes:
    """values: class to label value, from 1. of_name: name that was given to something drawn, to its class; other names are left
    out. notes: what was taken as one, one sentence each."""

    values: Mapping[str, int]
    of_name: Mapping[str, str]
    notes: tuple[str, ...]


def alike(name: str) -> str:
    """Return what names share that differ only by capital letters, spaces, underscores and hyphens."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def classes_of(names: Iterable[str], wanted: Sequence[str] = (), renamed: Mapping[str, str] | None = None) -> Classes:
    """Return the classes that drawn things with these names make.

    names: all that were found, one that was found several times several times. wanted: the classes in the order of their values;
    empty for all, by name ("rib 2" before "rib 10"). renamed: from names to classes; several names may become one class. Names
    that are `alike` are one.
    Raises AutosegError, listing the names that there are, for one that is not among them.
    """
    found = Counter(names)
    targets = {alike(old): new for old, new in (renamed or {}).items()}
    spellings, chosen = defaultdict[str, Counter[str]](Counter), {alike(name): name for name in [*targets.values(), *wanted]}
    for old in renamed or {}:
        _require_known(old, found, "--rename")
    for name, count in found.items():
        spellings[alike(targets.get(alike(name), name))][name] += count
    for name in wanted:
        _require_known(name, [*found, *targets.values()], "--labels")
    called = {key: chosen.get(key) or min(its, key=lambda name: (-its[name], name)) for key, its in spellings.items()}
    order = [alike(name) for name in wanted] if wanted else sorted(called, key=_by_number)
    order = sorted(dict.fromkeys(key for key in order if key in called and key != BACKGROUND), key=lambda key: key == IGNORE)
    values = {IGNORE if key == IGNORE else called[key]: value for value, key in enumerate(order, 1)}
    of_name = {name: IGNORE if key == IGNORE else called[key] for key in order for name in spellings[key]}
    notes = [f'Taken as one class "{called[key]}": {", ".join(sorted(spellings[key]))}.' for key in order
             if len(spellings[key]) > 1]
    return Classes(values, of_name, tuple(notes))


def _by_number(key: str) -> str:
    """Return what names are sorted by, so that "rib 2" comes before "rib 10"."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(9), key)


def _require_known(name: str, known: Iterable[str], flag: str) -> None:
    names = sorted(set(known))
    if alike(name) not in map(alike, names):
        raise AutosegError(f'{flag} names "{name}", but nothing that was drawn is called so.{did_you_mean(name, names)} There '
                           f"are: {some(names, 60) or 'no names at all'}.")
