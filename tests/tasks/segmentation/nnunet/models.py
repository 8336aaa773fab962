"""Models as nnU-Net v2 writes them, small, made from our own network: a folder with plans.json, dataset.json, fold_0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoseg.dataset import Labels
from autoseg.networks import build_network
from autoseg.plan import Topology
from autoseg.tasks.segmentation.nnunet.weights import their_name, with_copies

LABELS = Labels(values={"background": 0, "organ": 1, "lesion": 2})
RESAMPLING = {
    f"resampling_fn_{kind}{ending}": value
    for kind, order, is_seg in (("data", 3, False), ("seg", 1, True), ("probabilities", 1, False))
    for ending, value in (("", "resample_data_or_seg_to_shape"),
                          ("_kwargs", {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}))}


def architecture(network: str = "PlainConvUNet") -> dict[str, Any]:
    """Entry `architecture` of a network of two stages, 4 and 8 features."""
    blocks = {"n_conv_per_stage": [2, 1]} if network == "PlainConvUNet" else {"n_blocks_per_stage": [1, 2]}
    return {"network_class_name": f"dynamic_network_architectures.architectures.unet.{network}", "arch_kwargs": {
        "n_stages": 2, "features_per_stage": [4, 8], "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[1, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2]],
        **blocks, "n_conv_per_stage_decoder": [3], "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d", "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None, "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True}},
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"]}


def plans() -> dict[str, Any]:
    """A plans.json of one configuration."""
    statistics = {"max": 9.0, "mean": 4.0, "median": 4.0, "min": 1.0, "percentile_00_5": 1.0, "percentile_99_5": 8.0, "std": 2.0}
    return {
        "dataset_name": "Dataset001_Tiny", "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": statistics},
        "configurations": {"3d_fullres": {
            "data_identifier": "nnUNetPlans_3d_fullres", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
            "patch_size": [4, 8, 8], "median_image_size_in_voxels": [4.0, 6.0, 5.0], "spacing": [3.0, 1.0, 1.0],
            "normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False], "batch_dice": True,
            "architecture": architecture(), **RESAMPLING}}}


DATASET = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1, "lesion": 2}, "numTraining": 3,
           "file_ending": ".nii.gz"}
TOPOLOGY = Topology(
    features=(4, 8), strides=((1, 1, 1), (1, 2, 2)), kernel_sizes=((1, 3, 3), (3, 3, 3)), convs_per_stage=(2, 1),
    decoder_convs_per_stage=(3,))


def checkpoint(
    topology: Topology = TOPOLOGY, prefix: str = "", seed: int = 0, input_channels: int = 1, **changes: Any
) -> dict[str, Any]:
    """The content of a checkpoint as nnU-Net's trainer saves it, numpy's numbers included."""
    torch.manual_seed(seed)
    network = build_network(topology, input_channels, LABELS.output_channels)
    weights = {f"{prefix}{name}": value for ours, value in network.state_dict().items()
               for name in with_copies(their_name(ours, topology))}
    return {
        "network_weights": weights, "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(1000)}}},
        "grad_scaler_state": None, "logging": {"mean_fg_dice": [np.float32(0.5), np.float64(0.25)], "epoch": [np.int64(3)]},
        "_best_ema": np.float32(0.5), "current_epoch": 2, "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cpu")},
        "inference_allowed_mirroring_axes": (0, 1, 2), **changes}


def write_model(
    folder: Path, folds: dict[str, Any] | None = None, changed_plans: dict[str, Any] | None = None,
    dataset: dict[str, Any] | None = None,
) -> Path:
    """Write a model's folder into another, and return it. folds: content of each fold's final checkpoint, None for the usual."""
    model = folder / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    for fold, content in (folds or {"0": None}).items():
        (model / f"fold_{fold}").mkdir(parents=True)
        torch.save(content or checkpoint(), model / f"fold_{fold}" / "checkpoint_final.pth")
    (model / "plans.json").write_text(json.dumps(changed_plans or plans()))
    (model / "dataset.json").write_text(json.dumps(dataset or DATASET))
    return model
