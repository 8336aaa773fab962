"""Names of cases for the series below a folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from autoseg.image_io.dicom.volume import Series

LONGEST = 40  # characters of each part of a name


def case_names(root: Path, series: Sequence[Series]) -> list[str]:
    """Return a name for each series, or part of one, below `root`.

    It is that of the folder directly below `root` that holds it, where that holds no other; else the folder's, followed by number
    and description. Where files lie directly in `root`, patient and date of the study take the place of the folder. Names that
    would be alike are told apart by digits made from the series' UID.
    """
    folders = [_folder_below(root, one.folder) for one in series]
    alone = Counter(folder for folder in folders if folder)
    names = [folder if folder and alone[folder] == 1 else _long_name(folder, one)
             for folder, one in zip(folders, series, strict=True)]
    times = Counter(name.lower() for name in names)
    return [name if times[name.lower()] == 1 else f"{name}_{blake2b(f'{one.uid}{one.part}'.encode(), digest_size=3).hexdigest()}"
            for name, one in zip(names, series, strict=True)]


def _folder_below(root: Path, folder: Path) -> str:
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    return parts[0] if parts else ""


def _long_name(folder: str, series: Series) -> str:
    number = f"s{int(series.number):03}" if series.number.isdecimal() else "s"
    parts = [folder] if folder else [_plain(series.patient) or "case", _plain(series.date)]
    return "_".join(part for part in (*parts, number, _plain(series.description), _plain(series.part)) if part)


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._")[:LONGEST]
