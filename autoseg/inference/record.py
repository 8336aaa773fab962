"""What made the segmentations in an output folder: a killed run goes on, and two models do not mix."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import Field

from autoseg.errors import AutosegError
from autoseg.image_io import file_ending, label_ending
from autoseg.inference.inputs import PredictionInput
from autoseg.inference.model import LoadedModel
from autoseg.plan import Frozen
from autoseg.versions import versions
from autoseg.workspace import read_model, write_json

RECORD_NAME = "autoseg_prediction.json"
PROBABILITIES_ENDING = ".b2nd"


class Origin(Frozen):
    """What a segmentation depends on besides its image. weights: a digest over all networks."""

    dataset: str
    configuration: str
    recipe: str
    folds: tuple[str, ...]
    weights: str
    mirror_axes: tuple[int, ...]


class Record(Frozen):
    """autoseg_prediction.json. cases: output file name to what its input was ("path, bytes, time of change" each)."""

    origin: Origin
    versions: dict[str, str]
    cases: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class OutputFolder:
    """A folder of segmentations by one model. Every file that is there and in the record is whole."""

    def __init__(self, folder: Path, origin: Origin, overwrite: bool, with_probabilities: bool) -> None:
        """Raises AutosegError where another model's segmentations are there and `overwrite` is off."""
        self._folder, self._overwrite, self._with_probabilities = folder, overwrite, with_probabilities
        self._record = Record(origin=origin, versions=versions())
        if (folder / RECORD_NAME).exists() and not overwrite:
            there = read_model(folder / RECORD_NAME, Record)
            _check_same(there, origin, folder)
            self._record = self._record.model_copy(update={"cases": there.cases})
        write_json(folder / RECORD_NAME, self._record)

    def label_path(self, item: PredictionInput) -> Path:
        """Where a case's segmentation lies: the ending is that of its image, as far as labels can be kept in it."""
        return self._folder / f"{item.name}{label_ending(file_ending(item.images[0]))}"

    def probabilities_path(self, item: PredictionInput) -> Path | None:
        """Where a case's probabilities lie; None where they are not wanted."""
        return self._folder / f"{item.name}{PROBABILITIES_ENDING}" if self._with_probabilities else None

    def is_done(self, item: PredictionInput) -> bool:
        """Whether a case's results are there, made by this model from these very files.

        Raises AutosegError where a file of that name is there that is not of this folder's record.
        """
        output, probabilities = self.label_path(item), self.probabilities_path(item)
        recorded = self._record.cases.get(output.name)
        if not output.exists():
            return False
        if recorded is None and not self._overwrite:
            raise AutosegError(f"{item}: {output} is there, but this model did not make it. Choose another folder with "
                               "-o, or replace it with --overwrite.")
        return recorded == _identity(item.images) and (probabilities is None or probabilities.exists())

    def begin(self, item: PredictionInput) -> None:
        """To be called before a segmentation is written: what has its name goes, and the record takes the new one."""
        output = self.label_path(item)
        output.unlink(missing_ok=True)
        cases = {**self._record.cases, output.name: _identity(item.images)}
        self._record = self._record.model_copy(update={"cases": cases})
        write_json(self._folder / RECORD_NAME, self._record)


def _check_same(there: Record, origin: Origin, folder: Path) -> None:
    different = [name for name in Origin.model_fields if getattr(there.origin, name) != getattr(origin, name)]
    if not (different and there.cases):
        return
    found = ", ".join(f"{name} {_short(getattr(there.origin, name))} (now {_short(getattr(origin, name))})"
                      for name in different)
    raise AutosegError(f"{folder} holds segmentations that another model or other options made: {found}. Choose "
                       "another folder with -o, or replace them with --overwrite.")


def origin_of(model: LoadedModel, mirror_axes: tuple[int, ...]) -> Origin:
    """What a model's segmentations depend on."""
    digest = hashlib.blake2b(digest_size=8)
    for network in model.networks:
        for name, values in network.state_dict().items():
            digest.update(name.encode())
            digest.update(values.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    description = model.description
    return Origin(
        dataset=description.dataset, configuration=description.configuration_name, recipe=description.recipe,
        folds=model.folds, weights=digest.hexdigest(), mirror_axes=mirror_axes,
    )


def _identity(images: Sequence[Path]) -> tuple[str, ...]:
    """Of each file its path, size in bytes and time of change."""
    stats = [(image.resolve(), image.stat()) for image in images]
    return tuple(f"{path}, {stat.st_size}, {stat.st_mtime_ns}" for path, stat in stats)


def _short(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
