"""Names of files that are nearly right."""

from __future__ import annotations

import re
from pathlib import Path

from autoseg import layouts
from autoseg.dataset import Case

NUMBER = re.compile(r"_\d{1,5}$")


def naming_remedy(case: Case, path: Path) -> str | None:
    """Return what to rename so that the missing file `path` of a case is there; None where no file's name is near.

    Near are the case's name without a channel or with one of other digits, in other letters, or with another ending.
    """
    label = case.label
    if label is not None and path != label and label.exists() and layouts.CHANNEL_SUFFIX.match(case.name) and (
            path.parent / label.name).exists():
        plain = NUMBER.sub("", case.name)
        return (f"Labels have no channel number: rename {label.name} in {label.parent.name} to "
                f"{label.name.replace(case.name, plain)}.")
    wanted = case.name.lower()
    for file in layouts.visible_files(path.parent):
        stem = layouts.stem(file).lower()
        is_channel = path != label and bool(re.fullmatch(re.escape(case.name) + r"_\d{4}", layouts.stem(file)))
        same_ending = file.name.endswith(path.name.removeprefix(layouts.stem(path)))
        if wanted in (stem, NUMBER.sub("", stem)) and not (is_channel and same_ending):
            return f"There is {file.name}: rename it to {path.name}" + (
                "." if file.name.lower().endswith(path.name.lower().removeprefix(layouts.stem(path).lower()))
                else ", converted, or correct file_ending in dataset.json (all files need the same).")
    return None
