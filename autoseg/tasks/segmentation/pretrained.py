"""The model that a training starts from: how it fits a dataset, and what a fold records of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.summary import Summary, metric_values
from autoseg.inference.checkpoints import checkpoint_files, require_task, sealed_digest
from autoseg.inference.packed import model_folders
from autoseg.plan import Configuration, Frozen, Plans
from autoseg.tasks.segmentation import INFO
from autoseg.tasks.segmentation.model import ModelDescription, StartedFrom
from autoseg.tasks.segmentation.nnunet import reading
from autoseg.workspace import FoldFolder, ModelFolder, read_model

LOST = 0.02  # mean Dice that a class may lose before it is said
FREE = {"deep_supervision", "classification_guided"}  # of the topology: they say which heads there are, and no more
NAMES = {"spacing_mm": "spacing", "patch_size": "patch"}
Match = tuple[int | None, ...]


class FoldStart(Frozen):
    """The content of a fold's `started_from.json`.

    model: that the training started from. fold: of that model. before: by validation case, the Dice of each class or region that
    both know by one name, of the model as it was; None where neither prediction nor reference holds it. skipped: why there is no
    `before`.
    """

    remedy: ClassVar[str] = "Begin this fold anew with --restart."

    model: StartedFrom
    fold: str
    before: dict[str, dict[str, float | None]] = {}
    skipped: str = ""

    def compared(self, summary: Summary) -> dict[str, tuple[float, float, int]]:
        """Return for each such class the mean Dice before and after, over the cases of a validation that have both, and their
        number."""
        found: dict[str, tuple[float, float, int]] = {}
        for key, name in summary.names.items():
            pairs = [(before, after) for case in summary.metric_per_case
                     if (before := self.before.get(case.case, {}).get(name)) is not None
                     and math.isfinite(after := metric_values([case], key, "Dice")[0])]
            if pairs:
                then, now = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
                found[name] = (then, now, len(pairs))
        return found


def start_of(fold: FoldFolder) -> Path:
    """Return the file that holds a fold's `FoldStart`."""
    return fold.root / "started_from.json"


_opened: dict[str, ModelFolder] = {}


def model_folder(path: str) -> ModelFolder:
    """Return the folder of the model that a path means: an archive or a model of nnU-Net's is opened once in a process.

    Raises AutosegError where it cannot be, or holds several models, which it lists.
    """
    if (Path(path) / "model.json").is_file():
        return ModelFolder(Path(path))
    if path not in _opened or not _opened[path].model_json.exists():
        found = model_folders(Path(path), [reading])
        if len(found) > 1:
            listed = "\n".join(f"  {'/'.join(model.root.parts[-4:])}" for model in found)
            raise AutosegError(f"{path} holds {len(found)} models, and a training starts from one. Bring them into the workspace "
                               f"(autoseg import {path}), and give the folder of one with --from. There are:\n{listed}")
        _opened[path] = found[0]
    return _opened[path]


def match_channels(ours: Sequence[str], theirs: Sequence[str]) -> Match:
    """Return for each of our channels which of theirs it is, by name; by position where no name is common; None for none."""
    names = [name.casefold() for name in theirs]
    if not {name.casefold() for name in ours} & set(names):
        return tuple(place if place < len(names) else None for place in range(len(ours)))
    free: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        free.setdefault(name, []).append(place)
    return tuple(places.pop(0) if (places := free.get(name.casefold())) else None for name in ours)


def have_same_heads(ours: Labels, theirs: Labels) -> bool:
    """Tell whether each output of a network means the same to both."""
    its, other = (list(labels.foreground.items()) for labels in (ours, theirs))
    if ours.has_regions or theirs.has_regions:
        return ours.has_regions == theirs.has_regions and its == other
    return dict(its) == dict(other)


@dataclass(frozen=True)
class Pretrained:
    """A trained model that a training starts from. path: as the user named it. folder: of the same as a model of ours."""

    path: str
    folder: ModelFolder
    description: ModelDescription

    @classmethod
    def at(cls, path: str) -> Pretrained:
        """Return the model in a folder. Raises AutosegError where there is none that segments, or no training can start from it.
        """
        folder = model_folder(path)
        require_task(folder, INFO.name, "--from")
        checkpoint_files(folder, None, "final")
        description = read_model(folder.model_json, ModelDescription)
        if description.configuration.previous_stage is not None:
            raise AutosegError(f"{path} is the second stage of a cascade, and no training starts from one. Give another "
                               "model with --from, such as that of its first stage.")
        return cls(path, folder, description)

    @property
    def configuration(self) -> Configuration:
        return self.description.configuration

    @property
    def in_words(self) -> str:
        """Return the model in words, such as "Dataset004_Hippocampus, 3d_fullres, default"."""
        its = self.description
        return f"{its.dataset}, {its.configuration_name}, {its.called}"

    def fold_for(self, fold: str) -> str:
        """Return the fold whose weights a fold starts from: that of the same name, else the one trained on all cases, else the
        first: where both have the same cases and folds, no validation case was trained on before."""
        there = self.folder.finished_folds()
        return next(name for name in (fold, "all", *there) if name in there)

    def channels_of(self, names: Sequence[str]) -> Match:
        """Return for each channel of a dataset which of the model's it is (see `match_channels`)."""
        return match_channels(names, self.description.channel_names)

    def record(self, names: Sequence[str], labels: Labels) -> StartedFrom:
        """Return what is recorded of the model. names: of the dataset's channels."""
        its = self.description
        taken = [None if place is None else its.channel_names[place] for place in self.channels_of(names)]
        weights = {fold: sealed_digest(file) for fold, file in checkpoint_files(
            self.folder, self.folder.finished_folds(), "final").items()}
        return StartedFrom(
            dataset=its.dataset, configuration=its.configuration_name, recipe=its.called, weights=weights,
            heads="taken" if have_same_heads(labels, its.labels) else "new", channels=tuple(taken))

    def disagreements(self, plans: Plans, configuration: Configuration, names: Sequence[str]) -> list[str]:
        """Return in words in what a dataset's plans are not the model's: spacing, patch, network, axes, normalization."""
        its = self.configuration
        pairs = [(NAMES[key], getattr(its, key), getattr(configuration, key)) for key in NAMES]
        pairs += network_differences(its, configuration)
        theirs, ours = ((of.orientation or "as stored", of.transpose) for of in (self.description.plans, plans))
        pairs.append(("axis order", theirs, ours))
        for channel, place in enumerate(self.channels_of(names)):
            if place is not None:
                pairs.append((f"normalization of {names[channel]}",
                              _normalization(self.description.plans, its, place), _normalization(plans, configuration, channel)))
        return changes(pairs)


def changes(pairs: Iterable[tuple[str, object, object]]) -> list[str]:
    """Return in words which of the values differ: name, the model's, the dataset's."""
    return [f"{name} {_shown(then)} (here {_shown(now)})" for name, then, now in pairs if then != now]


def network_differences(theirs: Configuration, ours: Configuration) -> list[tuple[str, object, object]]:
    """Return name and both values of each part in which two networks have other weights."""
    fields = [name for name in type(ours.network).model_fields if name not in FREE]
    pairs = [(f"network's {name}" if name != "name" else "network", getattr(theirs.network, name), getattr(ours.network, name))
             for name in fields if name != "decoder_convs_per_stage"]
    return [*pairs, ("network's convolutions up", theirs.network.convs_up, ours.network.convs_up)]


def _normalization(plans: Plans, configuration: Configuration, channel: int) -> tuple[object, ...]:
    """Return all that the normalization of a channel depends on."""
    scheme = configuration.normalization[channel]
    masked = ("inside the mask",) if configuration.normalize_inside_mask[channel] else ()
    if scheme != "ct":
        return (scheme, *masked)
    its = plans.foreground_intensities.get(str(channel))
    return (scheme, *masked, *(() if its is None else (its.percentile_00_5, its.percentile_99_5, its.mean, its.std)))


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{entry:.4g}" if isinstance(entry, float) else str(entry).replace(" ", "") for entry in value)
    return str(value)

