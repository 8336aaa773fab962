"""Weights files known by their content, so that what was made with others is not taken for made with those of today."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from autoseg.best import Member
from autoseg.errors import AutosegError
from autoseg.workspace import ModelFolder

BYTES_AT_ONCE = 2**20


def weights_digest(path: Path) -> str:
    """16 hexadecimal digits (BLAKE2b) of a weights file's bytes, read in pieces. Raises AutosegError."""
    digest = hashlib.blake2b(digest_size=8)
    try:
        with open(path, "rb") as file:
            while piece := file.read(BYTES_AT_ONCE):
                digest.update(piece)
    except OSError as error:
        raise AutosegError(f"{path} cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest()


def member_of(model: ModelFolder, folds: Iterable[int | str]) -> Member:
    """A model by its name and the digests of these folds' final weights. Raises AutosegError where one has none."""
    weights = {str(fold): weights_digest(model.fold(fold).checkpoint_final) for fold in folds}
    return Member(configuration=model.configuration, recipe=model.recipe, weights=weights)
