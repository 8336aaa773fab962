"""Files that may be missing or damaged, which hides nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from autoseg.errors import AutosegError
from autoseg.workspace import read_model

Value = TypeVar("Value")
ModelType = TypeVar("ModelType", bound=BaseModel)


def read_if_there(troubles: list[str], path: Path, read: Callable[[Path], Value]) -> Value | None:
    """What `read` makes of a file; None where it is missing, and where it is damaged, which is added to `troubles`."""
    if not path.exists():
        return None
    try:
        return read(path)
    except AutosegError as error:
        troubles.append(str(error))
        return None


def model_if_there(troubles: list[str], path: Path, model: type[ModelType]) -> ModelType | None:
    """A validated model from a JSON file; None as in `read_if_there`."""
    return read_if_there(troubles, path, lambda file: read_model(file, model))
