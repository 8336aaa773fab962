"""Where exports that are folders may be written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoseg.errors import AutosegError


def require_new_folder(output: Path, overwrite: bool, files: Sequence[str]) -> None:
    """Raise AutosegError where a folder cannot be made: something is there that is no such export, or is not to be replaced.
    files: patterns of all that such an export holds, by their paths in it."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    there = [path.relative_to(output) for path in output.rglob("*") if not path.is_dir()] if output.is_dir() else []
    if not there or not all(any(map(path.match, files)) for path in there):
        raise AutosegError(f"{output} is there, and holds what autoseg did not export. Name a new folder with -o: files of yours "
                           "are not replaced.")
    if not overwrite:
        raise AutosegError(f"{output} is there already. Name another folder with -o, or replace it with --overwrite.")
