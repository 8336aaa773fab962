"""A segmentation model in the form of one that nnU-Net v2 trained: dataset.json, plans.json, and a checkpoint of each fold."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autoseg.errors import AutosegError
from autoseg.files import atomic_folder, write_json
from autoseg.inference.choice import Chosen
from autoseg.plan import Topology
from autoseg.preprocessing.pipeline import SMALLEST_STD
from autoseg.tasks.segmentation.exports.places import require_new_folder
from autoseg.tasks.segmentation.model import LoadedModel, ModelDescription, load_model
from autoseg.tasks.segmentation.nnunet.plans import CONVOLUTIONS, NETWORKS, NORMALIZATION, RESAMPLE, RESAMPLING
from autoseg.tasks.segmentation.nnunet.weights import their_name, with_copies
from autoseg.ways import FULL, Way, Wish, taken_way
from autoseg.workspace import ModelFolder

TRAINER, USUAL_PLANS = "nnUNetTrainer", "nnUNetPlans"
READER, REORIENTING_READER, REORIENTED = "SimpleITKIO", "SimpleITKIOWithReorient", "RAS"
FILES = ("dataset.json", "plans.json", "checkpoint_final.pth")


def export(
    chosen: Chosen, output: Path, folds: Sequence[str] | None, overwrite: bool, progress: Callable[..., Any], quiet: bool
) -> list[str]:
    """Write for each model the folder `nnUNetTrainer__PLANS__CONFIGURATION` into `output`; return what the user should know.

    The model of a cascade's first stage goes along. Raises AutosegError where nnU-Net has no equal for a model, or the folder
    cannot be written.
    """
    members = dict.fromkeys(chosen.members, folds)
    loaded = {model: load_model(model, its) for model, its in members.items()}
    for model, its in list(loaded.items()):
        stage = its.description.configuration.previous_stage
        if stage is not None and (first := model.beside(stage)) not in loaded:
            loaded[first] = load_model(first)
    targets = {model: output / _folder_name(its.description) for model, its in loaded.items()}
    for model, its in loaded.items():
        _require_equal(model, its.description)
        require_new_folder(targets[model], overwrite, FILES)
    if len(set(targets.values())) < len(targets):
        raise AutosegError("Two of the models would become one folder of nnU-Net's. Export them into two folders.")
    way = taken_way(chosen.ways, Wish()).way
    with progress(f"Exporting to {output.name}", quiet) as report:
        for count, (model, its) in enumerate(loaded.items()):
            report(count / len(loaded), targets[model].name)
            with atomic_folder(targets[model], overwrite) as folder:
                _write(its, folder, way if model in members else FULL)
    notes = [*(note for its in loaded.values() for note in _notes(its.description)), *_notes_of_way(chosen)]
    if chosen.rules:
        notes.append("nnU-Net does not know autoseg's post-processing: autoseg postprocess applies it to nnU-Net's predictions, "
                     f"with --rules {chosen.members[0].best_json}.")
    return list(dict.fromkeys(notes))


def _plans_name(its: ModelDescription) -> str:
    """Return the middle of the folder's name: nnU-Net's usual one, that which the model came with, or the model's own."""
    if its.called == "default":
        return USUAL_PLANS
    return re.sub("_{2,}", "_", its.called.rpartition("__")[2]) or USUAL_PLANS


def _folder_name(its: ModelDescription) -> str:
    return f"{TRAINER}__{_plans_name(its)}__{its.configuration_name}"


def _require_equal(model: ModelFolder, its: ModelDescription) -> None:
    """Raise AutosegError for what nnU-Net has no equal for."""
    network = its.configuration.network
    if network.name not in NETWORKS.values():
        raise AutosegError(f"{model.root} has the network {network.name}, which nnU-Net does not have. It can be exported as zip "
                           "or onnx.")
    if "__" in its.configuration_name:
        raise AutosegError(f'{model.root}: nnU-Net takes no configuration with "__" in its name ({its.configuration_name}).')


def _notes(its: ModelDescription) -> list[str]:
    notes, orientation = [], its.plans.orientation
    if orientation is not None and _reader(its) == READER:
        notes.append(f"autoseg brings every image into the axis order {orientation}, which nnU-Net has no reader for: it takes "
                     f"images as they are stored. Give it images that are stored in the order {orientation}.")
    if swapped := [axis for axis in its.mirror_axes if axis in its.swap_axes]:
        notes.append(f"nnU-Net cannot exchange left and right where it mirrors: axis {', '.join(map(str, swapped))} is left out "
                     "of its mirroring. Predict with --no-mirroring to compare.")
    return notes


def _notes_of_way(chosen: Chosen) -> list[str]:
    """Return what to do so that nnU-Net predicts in the way that find-best chose."""
    if chosen.ways is None or (way := chosen.ways.chosen_way.way) == chosen.ways.full.way:
        return []
    said = [f"find-best chose how to predict: {chosen.ways.in_words(way)}."]
    if way.axes != chosen.ways.full.way.axes:
        said.append("The checkpoints allow nnU-Net no other mirroring" + (
            "; nnU-Net takes --disable_tta, too." if not way.axes else " (with --disable_tta it mirrors nothing)."))
    if way.step != chosen.ways.full.way.step:
        said.append(f"Give nnU-Net -step_size {way.step:g}.")
    if way.skip_empty:
        said.append("nnU-Net always covers all of an image.")
    return [" ".join(said)]


def _write(model: LoadedModel, folder: Path, way: Way) -> None:
    its = model.description
    plans, dataset = _plans(its), _dataset(its)
    write_json(folder / "plans.json", plans)
    write_json(folder / "dataset.json", dataset)
    axes = tuple(axis for axis in its.mirrored(way.axes) if axis not in its.swap_axes)
    for fold, network in zip(model.folds, model.networks, strict=True):
        place = folder / f"fold_{fold}"
        place.mkdir()
        torch.save({
            "network_weights": _weights(network, its), "optimizer_state": None, "grad_scaler_state": None, "logging": {},
            "_best_ema": None, "current_epoch": 0, "trainer_name": TRAINER, "inference_allowed_mirroring_axes": axes or None,
            "init_args": {"plans": plans, "configuration": its.configuration_name, "fold": int(fold) if fold.isdigit() else fold,
                          "dataset_json": dataset},
        }, place / "checkpoint_final.pth")


def _weights(network: nn.Module, its: ModelDescription) -> dict[str, torch.Tensor]:
    """Return the weights by nnU-Net's names, each under all that it has there; heads that were not trained are zeros."""
    topology, found = its.configuration.network, dict[str, torch.Tensor]()
    for ours, values in network.state_dict().items():
        found |= dict.fromkeys(with_copies(their_name(ours, topology)), values.detach().cpu().contiguous())
    for level in range(topology.stages - 1):
        theirs = their_name(f"heads.{level}.weight", topology)
        if theirs not in found:
            shape = (its.labels.output_channels, topology.features[level], *(1,) * topology.dimensions)
            found |= {theirs: torch.zeros(shape), theirs.replace("weight", "bias"): torch.zeros(shape[0])}
    return found


def _dataset(its: ModelDescription) -> dict[str, Any]:
    """Return dataset.json. nnU-Net takes label values without gaps: those that are not used get a name."""
    labels = {name: _values(value) for name, value in its.labels.values.items()}
    named = {value for values in its.labels.values.values() for value in (values if isinstance(values, tuple) else (values,))}
    if not its.labels.has_regions:
        labels |= {f"unused_{value}": value for value in range(its.labels.output_channels) if value not in named}
    regions = {"regions_class_order": list(its.labels.regions_class_order or ())} if its.labels.has_regions else {}
    return {"name": its.dataset, "description": "Exported by autoseg.",
            "channel_names": {str(index): name for index, name in enumerate(its.channel_names)}, "labels": labels, **regions,
            "file_ending": its.file_ending}


def _values(value: int | tuple[int, ...]) -> int | list[int]:
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    return value


def _reader(its: ModelDescription) -> str:
    """Return the reader that gives the images in the order of axes that the model takes, as far as nnU-Net has one."""
    return REORIENTING_READER if set(its.plans.orientation or "") == set(REORIENTED) else READER


def _transpose(its: ModelDescription) -> list[int]:
    """Return the array axis, as the reader gives it, that becomes axis 0, 1, 2."""
    orientation = its.plans.orientation
    if orientation is None or _reader(its) == READER:
        return list(its.plans.transpose)
    return [2 - REORIENTED.index(orientation[2 - axis]) for axis in its.plans.transpose]


def _plans(its: ModelDescription) -> dict[str, Any]:
    transpose = _transpose(its)
    shape = ([1] * 3 + list(its.configuration.median_shape))[-3:]
    spacing = ([1.0] * 3 + list(its.configuration.spacing_mm))[-3:]
    return {
        "dataset_name": its.dataset, "plans_name": _plans_name(its), "original_median_spacing_after_transp": spacing,
        "original_median_shape_after_transp": shape, "image_reader_writer": _reader(its), "transpose_forward": transpose,
        "transpose_backward": [transpose.index(axis) for axis in range(3)], "experiment_planner_used": "autoseg",
        "label_manager": "LabelManager", "configurations": _configurations(its),
        "foreground_intensity_properties_per_channel": {
            channel: found.model_dump() | {"std": max(found.std, SMALLEST_STD)}
            for channel, found in its.plans.foreground_intensities.items()}}


def _configurations(its: ModelDescription) -> dict[str, Any]:
    """Return the configuration of plans.json, of a cascade's second stage with the name of the first, whose plans lie beside."""
    name, ours = its.configuration_name, its.configuration
    theirs = {ours: theirs for theirs, ours in NORMALIZATION.items()}
    kwargs = {f"resampling_fn_{kind}_kwargs": {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}
              for kind, (order, is_seg) in RESAMPLING.items()}
    found: dict[str, Any] = {
        "data_identifier": f"{_plans_name(its)}_{name}", "preprocessor_name": "DefaultPreprocessor",
        "batch_size": ours.batch_size,
        "patch_size": list(ours.patch_size), "median_image_size_in_voxels": list(ours.median_shape),
        "spacing": list(ours.spacing_mm), "normalization_schemes": [theirs[scheme] for scheme in ours.normalization],
        "use_mask_for_norm": list(ours.normalize_inside_mask),
        **{f"resampling_fn_{kind}": RESAMPLE for kind in RESAMPLING}, **kwargs,
        "architecture": _architecture(ours.network), "batch_dice": ours.pools_batch}
    if ours.previous_stage is not None:
        found["previous_stage"] = ours.previous_stage
    return {name: found}


def _architecture(topology: Topology) -> dict[str, Any]:
    dimensions = topology.dimensions
    names = {ours: theirs for theirs, ours in NETWORKS.items()}
    norm = f"instancenorm.InstanceNorm{dimensions}d" if topology.norm == "instance" else f"batchnorm.BatchNorm{dimensions}d"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{names[topology.name]}",
        "arch_kwargs": {
            "n_stages": topology.stages, "features_per_stage": list(topology.features),
            "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
            "kernel_sizes": [list(sizes) for sizes in topology.kernel_sizes],
            "strides": [list(strides) for strides in topology.strides],
            CONVOLUTIONS[topology.name]: list(topology.convs_per_stage),
            "n_conv_per_stage_decoder": list(reversed(topology.convs_up)), "conv_bias": True,
            "norm_op": f"torch.nn.modules.{norm}", "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": None,
            "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True}},
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"]}
