"""Names that label files give their values themselves, compared with those of dataset.json."""

from __future__ import annotations

import re
from pathlib import Path

from autoseg import image_io
from autoseg.dataset import Labels


def misnamed(path: Path, labels: Labels) -> list[str]:
    """Say of each value that a label file calls by the name of other values, what each calls it.

    Names that dataset.json does not have say nothing. Raises AutosegError where the file cannot be read.
    """
    ours = {_plain(name): (name, values) for name, values in labels.foreground.items()}
    problems = []
    for value, theirs in image_io.label_names(path).items():
        name, values = ours.get(_plain(theirs), ("", (value,)))
        if value not in values:
            called = next((f'"{own}"' for own, its in labels.foreground.items() if its == (value,)), "nothing")
            problems.append(f'segment {value} is called "{theirs}", but dataset.json calls {value} {called}, and '
                            f'{"+".join(map(str, values))} "{name}"')
    return problems


def _plain(name: str) -> str:
    """Return what is equal for names that differ in case, spaces, underscores or hyphens alone."""
    return re.sub(r"[\W_]+", "", name).casefold()
