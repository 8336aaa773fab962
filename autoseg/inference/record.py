"""What made the predictions in an output folder: a killed run goes on, and predictions of two kinds do not mix."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, Field, model_validator
from torch import nn

from autoseg.best import Rule
from autoseg.commands import as_flag
from autoseg.errors import AutosegError
from autoseg.image_io import file_ending, label_ending
from autoseg.inference.anomaly.settings import SearchSettings
from autoseg.inference.inputs import PredictionInput
from autoseg.inference.location.settings import LocationSettings
from autoseg.inference.model import LoadedModel
from autoseg.plan import Frozen
from autoseg.versions import versions
from autoseg.workspace import disk_error, read_model, remove_leftovers, write_json

RECORD_NAME = "autoseg_prediction.json"
PROBABILITIES_ENDING = ".b2nd"

Rows = TypeVar("Rows")


class ModelOrigin(Frozen):
    """A model that took part. weights: a digest over all its networks."""

    dataset: str
    configuration: str
    recipe: str
    folds: tuple[str, ...]
    weights: str
    mirror_axes: tuple[int, ...]


class Origin(Frozen):
    """What a prediction depends on besides its image. models: sorted, as their order changes nothing. search: of an anomaly
    detector, location: of a locator; None for others. crop_mm: of the slabs that a locator cuts out, 0 for single slices; None
    for what is no cut."""

    models: tuple[ModelOrigin, ...]
    postprocessing: tuple[Rule, ...] = ()
    search: SearchSettings | None = None
    location: LocationSettings | None = None
    crop_mm: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_one_model(cls, content: Any) -> Any:
        """Until ensembles came, an origin was the one model itself."""
        if isinstance(content, dict) and "weights" in content and "models" not in content:
            return {"models": [content]}
        return content


class Record(Frozen):
    """autoseg_prediction.json. cases: output file name to what its input was ("path, bytes, time of change" each)."""

    origin: Origin
    versions: dict[str, str]
    cases: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class RecordedFolder:
    """A folder of predictions by the same models. Every file that is there and in the record is whole."""

    def __init__(self, folder: Path, origin: Origin, overwrite: bool) -> None:
        """overwrite: make every case anew that is asked for. What these models made of other cases stays in the record; what
        others made leaves it, though the files stay, so that a later run refuses them.

        Raises AutosegError where other models' predictions are there and `overwrite` is off, or it cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, folder) from error
        remove_leftovers(folder)
        self.folder, self._overwrite = folder, overwrite
        self._record = Record(origin=origin, versions=versions())
        there = _earlier_record(folder / RECORD_NAME, overwrite)
        if there is not None and not overwrite:
            _check_same(there, origin, folder)
        if there is not None and there.origin == origin:
            self._record = self._record.model_copy(update={"cases": there.cases})
        write_json(folder / RECORD_NAME, self._record)

    @property
    def is_new(self) -> bool:
        """Whether no case was begun in it by these models."""
        return not self._record.cases

    def is_made(self, item: PredictionInput, output: Path) -> bool:
        """Whether a case's file is there, made by these models from these very images, and is to stay.

        Raises AutosegError where a file of that name is there that is not of this folder's record.
        """
        if self._overwrite or not output.exists():
            return False
        recorded = self._record.cases.get(output.name)
        if recorded is None:
            raise AutosegError(f"{item}: {output} is there, but this model did not make it. Choose another folder with "
                               "-o, or replace it with --overwrite.")
        return recorded == identity(item.images)

    def begin_file(self, item: PredictionInput, output: Path) -> None:
        """To be called before a case's file is written: what has its name goes, and the record takes the new one."""
        output.unlink(missing_ok=True)
        cases = {**self._record.cases, output.name: identity(item.images)}
        self._record = self._record.model_copy(update={"cases": cases})
        write_json(self.folder / RECORD_NAME, self._record)

    def has_table(self, table: Path, *further: Path) -> bool:
        """Whether a table of all cases is there, made by these models. With `overwrite`, what others made goes, further tables
        too. Raises AutosegError where another one is there and `overwrite` is off."""
        if self.is_new and self._overwrite:
            for path in (table, *further):
                path.unlink(missing_ok=True)
        if not table.exists():
            return False
        if self.is_new:
            raise AutosegError(f"{table} is there, but this model did not make it. Choose another folder with -o, or replace it "
                               "with --overwrite.")
        return True


    def rows_of(self, read: Callable[[], Rows]) -> Rows | None:
        """What is in a table that is there; None where it is damaged and `overwrite` begins it anew. read: raises AutosegError
        where it is damaged, which is passed on without `overwrite`."""
        try:
            return read()
        except AutosegError:
            if self._overwrite:
                return None
            raise


def remove_recorded(output: Path) -> None:
    """Remove a file that the record of its folder names, and leave any other."""
    there = _earlier_record(output.parent / RECORD_NAME, overwrite=True)
    if there is not None and output.name in there.cases:
        output.unlink(missing_ok=True)


class OutputFolder(RecordedFolder):
    """A folder of segmentations."""

    def __init__(self, folder: Path, origin: Origin, overwrite: bool, with_probabilities: bool) -> None:
        super().__init__(folder, origin, overwrite)
        self._with_probabilities = with_probabilities

    def label_path(self, item: PredictionInput) -> Path:
        """Where a case's segmentation lies: the ending is that of its image, as far as labels can be kept in it."""
        return self.folder / f"{item.name}{label_ending(file_ending(item.images[0]))}"

    def probabilities_path(self, item: PredictionInput) -> Path | None:
        """Where a case's probabilities lie; None where they are not wanted."""
        return self.folder / f"{item.name}{PROBABILITIES_ENDING}" if self._with_probabilities else None

    def is_done(self, item: PredictionInput) -> bool:
        """Whether a case's results are there. Raises AutosegError as `is_made`."""
        probabilities = self.probabilities_path(item)
        return self.is_made(item, self.label_path(item)) and (probabilities is None or probabilities.exists())

    def begin(self, item: PredictionInput) -> None:
        """To be called before a segmentation is written."""
        self.begin_file(item, self.label_path(item))


def _earlier_record(path: Path, overwrite: bool) -> Record | None:
    """What an earlier run wrote. A record that cannot be read is an error, or where it is written over, none."""
    if not path.exists():
        return None
    try:
        return read_model(path, Record)
    except AutosegError:
        if overwrite:
            return None
        raise


def _check_same(there: Record, origin: Origin, folder: Path) -> None:
    if there.origin == origin or not there.cases:
        return
    found = ", ".join(f"{what} {before} (now {now})" for what, before, now in _differences(there.origin, origin))
    raise AutosegError(f"{folder} holds predictions that another model or other options made: {found}. Choose "
                       "another folder with -o, or replace them with --overwrite.")


def _differences(there: Origin, now: Origin) -> list[tuple[str, str, str]]:
    """What differs, and its two values."""
    different = []
    if len(there.models) == len(now.models):
        for before, after in zip(there.models, now.models, strict=True):
            different += [(name, _short(getattr(before, name)), _short(getattr(after, name)))
                          for name in ModelOrigin.model_fields if getattr(before, name) != getattr(after, name)]
    else:
        different.append(("models", _names(there), _names(now)))
    if there.postprocessing != now.postprocessing:
        different.append(("post-processing", _rules(there), _rules(now)))
    if there.crop_mm != now.crop_mm:
        different.append(("crop", _crop(there), _crop(now)))
    return [*different, *_settings(there.search, now.search), *_settings(there.location, now.location)]


def _settings(there: BaseModel | None, now: BaseModel | None) -> list[tuple[str, str, str]]:
    before, after = (settings.model_dump() if settings else {} for settings in (there, now))
    return [(key, as_flag(before[key]), as_flag(after[key])) for key in before if before[key] != after.get(key, before[key])]


def origin_of(models: Sequence[tuple[LoadedModel, tuple[int, ...]]], postprocessing: Sequence[Rule]) -> Origin:
    """What an ensemble's segmentations depend on. models: each with the axes along which it mirrors."""
    origins = [_origin_of_model(model, mirror_axes) for model, mirror_axes in models]
    in_order = sorted(origins, key=lambda origin: (origin.dataset, origin.configuration, origin.recipe, origin.weights))
    return Origin(models=tuple(in_order), postprocessing=tuple(postprocessing))


def _origin_of_model(model: LoadedModel, mirror_axes: tuple[int, ...]) -> ModelOrigin:
    description = model.description
    return ModelOrigin(
        dataset=description.dataset, configuration=description.configuration_name, recipe=description.called,
        folds=model.folds, weights=networks_digest(model.networks), mirror_axes=mirror_axes,
    )


def networks_digest(networks: Iterable[nn.Module]) -> str:
    """16 hexadecimal digits (BLAKE2b) of the names and values of all weights."""
    digest = hashlib.blake2b(digest_size=8)
    for network in networks:
        for name, values in network.state_dict().items():
            digest.update(name.encode())
            digest.update(values.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def identity(images: Sequence[Path]) -> tuple[str, ...]:
    """Of each file its path, size in bytes and time of change."""
    stats = [(image.resolve(), image.stat()) for image in images]
    return tuple(f"{path}, {stat.st_size}, {stat.st_mtime_ns}" for path, stat in stats)


def _short(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def _names(origin: Origin) -> str:
    return " + ".join(f"{model.configuration} {model.recipe}" for model in origin.models)


def _crop(origin: Origin) -> str:
    return "none" if origin.crop_mm is None else f"{origin.crop_mm:g} mm" if origin.crop_mm else "one slice"


def _rules(origin: Origin) -> str:
    return ", ".join(f"{rule.kind} ({_numbers(rule)})" for rule in origin.postprocessing) or "none"


def _numbers(rule: Rule) -> str:
    """"labels 1 2, count 2"."""
    numbers = rule.model_dump(exclude={"kind"}, exclude_defaults=True)
    words = {name: " ".join(map(str, value)) if isinstance(value, tuple) else value for name, value in numbers.items()}
    return ", ".join(f"{name} {value}" for name, value in words.items())
