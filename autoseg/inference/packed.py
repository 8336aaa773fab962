"""The models that a path means: a model's folder, an archive of some, or the like of another program, written as ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from autoseg.archives import is_archive, unpack
from autoseg.errors import AutosegError
from autoseg.files import folder_of_this_process
from autoseg.workspace import ModelFolder

PLACES = ("model.json", "*/model.json", "models/*/*/model.json", "*/models/*/*/model.json")  # in an archive or its folder


class Foreign(Protocol):
    """A module that takes over another program's models."""

    def find_models(self, folder: Path) -> list[Path]:
        """Return the folders of such models that a folder is, or holds."""

    def take(self, source: Path, into: Path) -> list[ModelFolder]:
        """Write one of them as ours; return it, after the model that it goes on from where there is one."""


def model_folders(path: Path, foreign: Sequence[Foreign] = ()) -> list[ModelFolder]:
    """Return the models that a path given by a user means: a model's folder; a zip archive that `autoseg export` wrote; the
    folder of one that was unpacked; or the like of another program whose models can be taken over.

    An archive is unpacked, and another program's models are written as ours, into folders that are removed when this process
    ends. Raises AutosegError where that fails, or an archive holds no model.
    """
    is_packed = is_archive(path)
    folder = path
    if is_packed:
        folder = folder_of_this_process("models") / path.name[-80:]
        unpack(path, folder)
    found = [ModelFolder(place.parent) for pattern in PLACES for place in sorted(folder.glob(pattern))] or _taken_over(
        folder, foreign)
    if is_packed and not found:
        raise AutosegError(f"{path} holds no model: it has no model.json in one of the places {', '.join(PLACES)}, and "
                           "no fold_X/checkpoint_final.pth as nnU-Net v2 has it. Give an archive that autoseg export or "
                           "nnUNetv2_export_model_to_zip wrote, or a model's folder.")
    return [ModelFolder(path)] if not found or (path / "model.json").exists() else found


def _taken_over(folder: Path, foreign: Sequence[Foreign]) -> list[ModelFolder]:
    """Return the models of other programs in a folder, written as ours."""
    for program in foreign:
        if sources := program.find_models(folder):
            into = folder_of_this_process("models")
            return list(dict.fromkeys(model for source in sources for model in program.take(source, into)))
    return []
