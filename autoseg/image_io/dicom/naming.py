"""Names of cases for the series below a folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from autoseg.image_io.dicom.volume import Series

LONGEST = 40  # characters of each part of a name


def case_names(root: Path, series: Sequence[Series]) -> list[str]:
    """Return a name for each series, or part of one, below `root`.

    It is that of the folder below `root` that holds it and no other, with the names of the folders above it; where there is none,
    that of its folder, number and description. Where files lie directly in `root`, patient and date of the study take the place
    of the folder. Names that would be alike are told apart by digits made from the series' UID.
    """
    parts = [one.folder.relative_to(root).parts if one.folder.is_relative_to(root) else () for one in series]
    shared = Counter(its[:count] for its in parts for count in range(1, len(its) + 1))
    names = [_folders_name(its, shared) or _long_name(its, one) for its, one in zip(parts, series, strict=True)]
    times = Counter(name.lower() for name in names)
    return [name if times[name.lower()] == 1 else f"{name}_{blake2b(f'{one.uid}{one.part}'.encode(), digest_size=3).hexdigest()}"
            for name, one in zip(names, series, strict=True)]


def _folders_name(parts: tuple[str, ...], shared: Mapping[tuple[str, ...], int]) -> str:
    return next(("_".join(parts[:count]) for count in range(1, len(parts) + 1) if shared[parts[:count]] == 1), "")


def _long_name(parts: tuple[str, ...], series: Series) -> str:
    number = f"s{int(series.number):03}" if series.number.isdecimal() else "s"
    begin = parts or (_plain(series.patient) or "case", _plain(series.date))
    return "_".join(part for part in (*begin, number, _plain(series.description), _plain(series.part)) if part)


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._")[:LONGEST]
