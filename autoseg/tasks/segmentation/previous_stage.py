"""Predictions of a cascade's first stage that its second is trained on: of each case by the fold that had not seen it.

They lie on the grid of the second stage, beside the fold that made them, each with the digest of weights and images that it was
made from, and are made where one is missing or was made from others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from autoseg.bounds import whole_number
from autoseg.console import ShowProgress
from autoseg.digests import file_digest
from autoseg.errors import AutosegError, many, some
from autoseg.files import remove_leftovers
from autoseg.preprocessing import store
from autoseg.preprocessing.store import Part, StoredCase, StoredDescription
from autoseg.provenance import Origin, read_origin
from autoseg.tasks.segmentation import INFO
from autoseg.tasks.segmentation.model import load_model
from autoseg.tasks.segmentation.predictor import Predictor, require_same_grid
from autoseg.tasks.segmentation.store import StoredVolume
from autoseg.workspace import ModelFolder

StoredPrediction = StoredCase[StoredDescription]


def with_previous(
    volumes: Mapping[str, StoredVolume], second: ModelFolder, stage: str, patch_size: tuple[int, ...], device: torch.device,
    report: ShowProgress,
) -> dict[str, StoredVolume]:
    """Return preprocessed cases, by name, with the first stage's predictions; those that are missing are made.

    second: the model of the second stage. stage: configuration of the first. patch_size: that is read. report: gets the share of
    the predictions that is done. Raises AutosegError where no finished fold of the first stage had a case to validate on, or the
    case is not preprocessed for it.
    """
    first = second.beside(stage)
    folds = folds_of(first, volumes)
    waiting = {fold: [name for name in names if _stored(first, fold, second, volumes[name]) is None]
               for fold, names in folds.items()}
    total, done = sum(map(len, waiting.values())), 0
    for fold, names in waiting.items():
        if names:
            remove_leftovers(first.fold(fold).for_stage(second.configuration))
            predictor = Predictor([load_model(first, [fold], device=device)], device)
        for name in names:
            report(0.0, f"predictions of {stage}: case {done + 1}/{total}")
            _make(predictor, first, fold, second, volumes[name], patch_size)
            done += 1
    found = {name: (fold, _stored(first, fold, second, volumes[name])) for fold, names in folds.items() for name in names}
    if gone := [name for name, (_, stored) in found.items() if stored is None]:
        raise AutosegError(f"The predictions of {stage} for {some(gone)} are gone again from {first.root}: another process works "
                           "there. Let it end, and try again.")
    return {name: replace(volumes[name], previous=stored) for name, (_, stored) in found.items()}


def weights_of(second: ModelFolder, stage: str) -> Origin:
    """Return what the predictions of the first stage are made from: the weights of its folds."""
    first = second.beside(stage)
    return Origin.of(model=f"{stage} {first.recipe}", weights={
        fold: file_digest(first.fold(fold).checkpoint_final) for fold in _numbered(first)})


def has_other_weights(second: ModelFolder, stage: str, folds: Iterable[str]) -> bool:
    """Tell whether one of these folds was trained on predictions by other weights of the first stage than those there are now."""
    now, then = weights_of(second, stage).facts["weights"], [read_origin(second.fold(fold).previous_json) for fold in folds]
    return any(now.get(fold, digest) != digest for origin in then if origin and isinstance(origin.facts.get("weights"), dict)
               for fold, digest in origin.facts["weights"].items())


def folds_of(first: ModelFolder, cases: Iterable[str]) -> dict[str, list[str]]:
    """Return of each finished fold those of the cases that it validated on. Raises AutosegError where no fold had one of them."""
    fold_of: dict[str, str] = {}
    for fold in _numbered(first):
        begun = read_origin(first.fold(fold).cases_json)
        validated = begun.facts.get("val") if begun else None
        for name in validated if isinstance(validated, dict) else ():
            fold_of.setdefault(name, fold)
    found = defaultdict(list)
    missing = []
    for name in cases:
        if name in fold_of:
            found[fold_of[name]].append(name)
        else:
            missing.append(name)
    if missing:
        raise AutosegError(f"No finished fold of {first.root} validated on {many(len(missing), 'case')}: {some(missing)}. Each "
                           "case needs a prediction by a fold that did not train on it: train all folds of that model first.")
    return dict(found)


def _numbered(model: ModelFolder) -> list[str]:
    return [fold for fold in model.finished_folds() if whole_number(fold) is not None]


def _origin(first: ModelFolder, fold: str, volume: StoredVolume) -> str:
    """Return the digest of what a prediction is made from: weights, and images and plans of the second stage's case."""
    return Origin.of(weights=file_digest(first.fold(fold).checkpoint_final), case=volume.origin).digest


def _stored(first: ModelFolder, fold: str, second: ModelFolder, volume: StoredVolume) -> StoredPrediction | None:
    """Return a prediction that is there, whole, and made from what there is today; else None."""
    folder = first.fold(fold).for_stage(second.configuration)
    if not store.is_complete(folder, volume.name, _origin(first, fold, volume)):
        return None
    try:
        stored = store.opened(StoredCase(folder, store.read_description(folder, volume.name, StoredDescription)))
    except AutosegError:
        return None  # damaged
    return stored if stored.description.shapes[""] == (1, *volume.shape) else None


def _make(
    predictor: Predictor, first: ModelFolder, fold: str, second: ModelFolder, volume: StoredVolume, patch_size: tuple[int, ...]
) -> None:
    """Predict a case by a fold of the first stage, on the grid of the second, and store it."""
    (member,) = predictor.members
    data, properties = member.read_preprocessed(_images(first), volume.name)
    require_same_grid([properties, volume.properties])
    labels = predictor.description.labels
    segmented = np.zeros(volume.shape, np.int8 if max(labels.known_values) <= 127 else np.int16)
    for row, logits in member.rows(data, properties, shape=volume.shape):
        segmented[row] = labels.from_logits(logits[:, None])[0]
    if _stored(first, fold, second, volume) is None:  # another fold may have made it by now
        description = StoredDescription(
            case=volume.name, shapes={}, origin=_origin(first, fold, volume), plans=volume.description.plans)
        store.write_case(first.fold(fold).for_stage(second.configuration), description, [
            Part("", segmented[np.newaxis], patch_size)])


def _images(model: ModelFolder) -> Path:
    return model.dataset.preprocessed(INFO.stored_as(model.configuration))
