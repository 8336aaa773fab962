"""Starting from a trained model: what must fit, and which weights are taken."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, many, some
from autoseg.networks import build_network
from autoseg.options import planning_command
from autoseg.plan import Configuration, Plans, Topology
from autoseg.tasks.segmentation.model import ModelDescription, StartedFrom, load_model
from autoseg.tasks.segmentation.options import PlanOptions
from autoseg.tasks.segmentation.pretrained import (
    FoldStart,
    Match,
    Pretrained,
    changes,
    have_same_heads,
    network_differences,
    start_of,
)
from autoseg.trainers.job import CasesOfFold, Job
from autoseg.trainers.segmentation.settings import SegmentationSettings
from autoseg.workspace import read_model


def notes_on_start(
    job: Job[SegmentationSettings], settings: SegmentationSettings, dataset: Dataset, plans: Plans, effective: Configuration,
    validation: Collection[str],
) -> list[str]:
    """Return what the user should know of the model that a fold starts from: what is taken of it, and cases that it knows.

    plans: of the dataset. effective: configuration with the settings in it. validation: names of the fold's validation cases.

    Raises AutosegError where plans, network or configuration are not that model's.
    """
    if settings.pretrained is None:
        return []
    model = Pretrained.at(settings.pretrained)
    _require_fitting(job, dataset, plans, effective, model)
    fold, names = model.fold_for(job.fold), dataset.channel_names
    record = model.record(names, dataset.labels)
    said = [f"Starts from fold {fold} of {model.in_words} ({model.path})",
            "its heads, too, as the labels are the same" if record.heads == "taken" else "new heads, as the labels are others"]
    said += [f"{name} takes the weights of {other}" for name, other in zip(names, record.channels, strict=True)
             if other is not None and other.casefold() != name.casefold()]
    said += [f"{name} begins with zero weights" for name, other in zip(names, record.channels, strict=True) if other is None]
    if dropped := [name for name in model.description.channel_names if name not in record.channels]:
        said.append(f"its {', '.join(dropped)} is left out")
    return [f"{'; '.join(said)}.", *_cases_known(job, model, fold, validation)]


def _cases_known(
    job: Job[SegmentationSettings], model: Pretrained, fold: str, validation: Collection[str]
) -> list[str]:
    """Return a warning where the model was trained on cases that the fold is validated on, by their names."""
    cases = model.folder.fold(fold).cases_json
    known = set(read_model(cases, CasesOfFold).facts["train"]) if cases.exists() else set()
    seen = sorted(known & set(validation))
    if not seen:
        return []
    return [f"Warning: fold {fold} of {model.in_words} was trained on cases of the same names as {len(seen)} of "
            f"{many(len(validation), 'validation case')} ({some(seen)}): their results may be too good. With the same cases and "
            f"splits, a model that has fold {job.fold} knows none of them."]


def _require_fitting(
    job: Job[SegmentationSettings], dataset: Dataset, plans: Plans, effective: Configuration, model: Pretrained
) -> None:
    """Raise AutosegError where plans, network or configuration are not the model's."""
    its = model.description
    what = f"The model {model.in_words} ({model.path}), from which the training is to start,"
    if its.configuration_name != job.configuration:
        raise AutosegError(f"{what} is of the configuration {its.configuration_name}, but {job.configuration} is to be trained. "
                           f"Give -c {its.configuration_name}.")
    anew = planning_command(job.folder, job.task, PlanOptions(planner=plans.planner, pretrained=model.path))
    if found := model.disagreements(plans, plans.configurations[job.configuration], dataset.channel_names):
        raise AutosegError(f"{what} was trained by other plans than {job.folder.name} has: {'; '.join(found)}. Let the plans "
                           f"follow it: {anew}")
    if found := changes(network_differences(model.configuration, effective)):
        raise AutosegError(f"{what} has another network than the recipe and settings make: {'; '.join(found)}. Its weights fit "
                           "no other. Leave out the settings that change the network, or choose the recipe that it was trained "
                           f"with (-tr {its.recipe}).")


def started_from(
    job: Job[SegmentationSettings], settings: SegmentationSettings, dataset: Dataset, begins: bool
) -> StartedFrom | None:
    """Return what model.json says of the model that a fold starts from; where it goes on, what was written when it began.

    Raises AutosegError where other folds started from other weights of the same name.
    """
    if settings.pretrained is None:
        return None
    own = start_of(job.fold_folder)
    if not begins and own.exists() and job.fold in job.model.begun_folds():
        return read_model(own, FoldStart).model
    now = Pretrained.at(settings.pretrained).record(dataset.channel_names, dataset.labels)
    for fold in job.model.begun_folds():
        other = start_of(job.model.fold(fold))
        then = read_model(other, FoldStart).model.weights if fold != job.fold and other.exists() else {}
        if changed := [name for name in then if now.weights.get(name, then[name]) != then[name]]:
            raise AutosegError(f"Fold {fold} of {job.model.root} started from {now.in_words} when that had other weights (fold "
                               f"{', '.join(changed)} of it was trained anew). Give this model a name of its own (--name).")
    return now


def take_weights(network: nn.Module, topology: Topology, dataset: Dataset, path: str, fold: str) -> None:
    """Give a network the weights of the model in a folder, of the fold that this one starts from (see `transferred`)."""
    model = Pretrained.at(path)
    its, labels = model.description, dataset.labels
    loaded = load_model(model.folder, [model.fold_for(fold)])
    channels = model.channels_of(dataset.channel_names)
    weights = transferred(
        network.state_dict(), loaded.networks[0].state_dict(), topology, (len(channels), labels.output_channels), its, channels,
        have_same_heads(labels, its.labels))
    network.load_state_dict(weights)


def transferred(
    own: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], topology: Topology, size: tuple[int, int],
    model: ModelDescription, channels: Match, takes_heads: bool,
) -> dict[str, torch.Tensor]:
    """Return the weights that a network starts with: the model's, its own in new heads, 0 for channels that the model has not.

    own: fresh ones, of a network with this topology and size (channels, classes). channels: the model's for each of them.
    Raises AutosegError that names what does not fit.
    """
    of_channels, of_heads = sized_by(topology, *size)
    its_heads = sized_by(model.configuration.network, len(model.channel_names), model.labels.output_channels)[1]
    fitting, wrong = {}, sorted(theirs.keys() - own.keys() - its_heads)
    for name, values in own.items():
        found = theirs.get(name)
        if name in of_heads and (found is None or not takes_heads):
            fitting[name] = values
            continue
        if found is not None and name in of_channels:
            nothing = torch.zeros_like(found[:, 0])
            found = torch.stack([nothing if place is None else found[:, place] for place in channels], dim=1)
        if found is None or found.shape != values.shape:
            wrong.append(name)
        else:
            fitting[name] = found.to(values)
    if wrong:
        raise AutosegError(f"Weights of the model {model.dataset}, {model.configuration_name}, {model.called} do not fit the "
                           f"network that is to start from them: {some(wrong)}. Choose another model with --from.")
    return fitting


def sized_by(topology: Topology, channels: int, classes: int) -> tuple[set[str], set[str]]:
    """Return the names of those weights of a network whose shape depends on the number of channels, and of classes."""
    with torch.device("meta"):
        plain, wider, more = (
            {name: values.shape for name, values in build_network(topology, *size).state_dict().items()}
            for size in ((channels, classes), (channels + 1, classes), (channels, classes + 1)))
    return ({name for name in plain if wider[name] != plain[name]}, {name for name in plain if more[name] != plain[name]})
