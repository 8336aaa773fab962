"""Label files that an option takes, such as --roi: those in a folder, or of a model that is named in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from autoseg.api import tasks
from autoseg.api.exchange import model_folders
from autoseg.digests import file_digest
from autoseg.options import flag_of, takes_labels
from autoseg.plan import Frozen
from autoseg.provenance import Origin
from autoseg.workspace import ModelFolder

REGIONS = "regions"  # the folder that such label files are made in
Options = TypeVar("Options", bound=Frozen)


def with_label_files(options: Options, make: Callable[[Path], Path]) -> Options:
    """Return options with a folder of label files in the place of a model.

    make: gets a model's folder, or an archive, makes the label files with it, and returns their folder. Raises AutosegError where
    the model makes none.
    """
    from autoseg.inference.checkpoints import require_task

    made = dict[str, str]()
    for name in takes_labels(type(options)):
        if (value := getattr(options, name)) is not None and (models := _models(Path(value))):
            require_task(models[0], tasks.default_task().info.name, flag_of(type(options), name))
            made[name] = str(make(Path(value)))
    return type(options).model_validate(options.model_dump() | made) if made else options


def _models(path: Path) -> list[ModelFolder]:
    """Return the models that a path means; none for a folder of label files, or what is not there."""
    return [model for model in model_folders(path) if model.model_json.is_file()] if path.exists() else []


def digest_of(path: Path) -> str:
    """Return a name that changes with the weights of the models that a path means."""
    weights = [model.fold(fold).checkpoint_final for model in _models(path) for fold in model.finished_folds()]
    return Origin.of(weights=[file_digest(file) for file in weights]).digest[:12]
