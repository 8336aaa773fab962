"""nnU-Net v2's plans.json and dataset.json as a `ModelDescription` of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autoseg import layouts
from autoseg.bounds import MOST_STAGES
from autoseg.dataset import load_labels
from autoseg.errors import AutosegError, some
from autoseg.plan import Configuration, IntensityStatistics, Normalization, Plans, Topology
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.workspace import read_json

NORMALIZATION: dict[str, Normalization] = {
    "CTNormalization": "ct", "ZScoreNormalization": "zscore", "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale_0_1", "RGBTo01Normalization": "rgb"}
NETWORKS = {"PlainConvUNet": "unet", "ResidualEncoderUNet": "resunet"}
CONVOLUTIONS = {"unet": "n_conv_per_stage", "resunet": "n_blocks_per_stage"}
RESAMPLING = {"data": (3, False), "seg": (1, True), "probabilities": (1, False)}  # order, is_seg
RESAMPLE = "resample_data_or_seg_to_shape"
ORIENTATION = {  # what the reader makes of an image's axes; None: as they are stored
    "SimpleITKIO": None, "SimpleITKIOWithReorient": "RAS", "NibabelIO": None, "NibabelIOWithReorient": "RAS",
    "NaturalImage2DIO": None, "Tiff3DIO": None}


class NnunetPlans:
    """plans.json and dataset.json of one model's folder, with what they inherit."""

    def __init__(self, folder: Path) -> None:
        """Read both. Raises AutosegError where one is missing or damaged."""
        self.file, self.dataset_json = folder / "plans.json", folder / "dataset.json"
        self.content = _object(read_json(self.file), self.file)
        self.dataset = _object(read_json(self.dataset_json), self.dataset_json)

    def configuration(self, name: str) -> dict[str, Any]:
        """Return a configuration with all that it inherits. Raises AutosegError where there is none of this name."""
        found = self.content.get("configurations")
        configurations = found if isinstance(found, dict) else {}
        chain: list[dict[str, Any]] = []
        wanted: Any = name
        while wanted is not None:
            if not isinstance(configurations.get(wanted), dict) or len(chain) > len(configurations):
                raise AutosegError(f"{self.file} has no configuration {wanted}, or one that inherits from itself. There are: "
                                   f"{some(configurations) or 'none'}.")
            chain.append(configurations[wanted])
            wanted = configurations[wanted].get("inherits_from")
        return {key: value for content in reversed(chain) for key, value in content.items() if key != "inherits_from"}

    def describe(
        self, name: str, recipe: str, trainer: str, mirror_axes: tuple[int, ...], has_batch_norm: bool
    ) -> ModelDescription:
        """Return what our model.json says of the model. recipe: name that it gets. Raises AutosegError that says what autoseg has
        no equal for, or what in the files is missing or wrong."""
        found = self.configuration(name)
        channels = layouts.channel_names(self.dataset, self.dataset_json)
        try:
            self._require_equal(found)
            configuration = self._configuration(found, len(channels), has_batch_norm)
            plans = Plans(
                dataset=self._required(self.content, "dataset_name"), planner=self.name, orientation=ORIENTATION[self._reader],
                transpose=self._required(self.content, "transpose_forward"), versions={},
                foreground_intensities=self._intensities(), configurations={name: configuration})
            labels = load_labels(self.dataset_json)
            return ModelDescription(
                dataset=plans.dataset, configuration_name=name, recipe=trainer, name=recipe, settings={}, versions={},
                channel_names=channels, labels=labels,
                dicom_codes=layouts.dicom_codes(self.dataset, labels.values, self.dataset_json),
                file_ending=str(layouts.required(self.dataset, "file_ending", '"file_ending": ".nii.gz"', self.dataset_json)),
                plans=plans, mirror_axes=mirror_axes, tile_sums="float16")
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}"
                              for one in error.errors()[:3])
            raise AutosegError(f"{self.file}: configuration {name} is not such as nnU-Net v2 plans it, or dataset.json does not "
                               f"fit ({wrong}).") from error
        except (TypeError, LookupError, ValueError, AttributeError, ArithmeticError) as error:
            raise AutosegError(f"{self.file}: configuration {name} cannot be read: {error!r}.") from error

    @property
    def name(self) -> str:
        """Return the name of the plans."""
        return str(self.content.get("plans_name", "nnUNetPlans"))

    @property
    def _reader(self) -> str:
        return str(self.content.get("image_reader_writer", "SimpleITKIO"))

    def _require_equal(self, found: Mapping[str, Any]) -> None:
        """Raise AutosegError for what autoseg computes in another way, or not at all."""
        if (manager := self.content.get("label_manager", "LabelManager")) != "LabelManager":
            self._refuse(f"label manager {manager}")
        if self._reader not in ORIENTATION:
            self._refuse(f"reader {self._reader}")
        if (preprocessor := found.get("preprocessor_name", "DefaultPreprocessor")) != "DefaultPreprocessor":
            self._refuse(f"preprocessor {preprocessor}")
        for kind, (order, is_seg) in RESAMPLING.items():
            function = found.get(f"resampling_fn_{kind}", RESAMPLE)
            if function != RESAMPLE:
                self._refuse(f"resampling function {function} of {kind}")
            given = found.get(f"resampling_fn_{kind}_kwargs") or {}
            usual = {"order": order, "is_seg": is_seg, "order_z": 0, "force_separate_z": None}
            if changed := {key: value for key, value in given.items() if usual.get(key, value) != value or key not in usual}:
                self._refuse(f"resampling of {kind} with {', '.join(f'{key}={value}' for key, value in changed.items())}")

    def _refuse(self, what: str) -> None:
        raise AutosegError(f"{self.file}: the model has the {what}, which autoseg has no equal for. It can be used in nnU-Net "
                           "alone.")

    def _required(self, content: Mapping[str, Any], key: str) -> Any:
        if key not in content:
            raise AutosegError(f'{self.file} has no entry "{key}", which nnU-Net v2 writes.')
        return content[key]

    def _configuration(self, found: Mapping[str, Any], channels: int, has_batch_norm: bool) -> Configuration:
        schemes = self._required(found, "normalization_schemes")
        if unknown := [name for name in schemes if name not in NORMALIZATION]:
            self._refuse(f"normalization {some(unknown)}")
        return Configuration(
            spacing_mm=self._required(found, "spacing"),
            median_shape=tuple(max(1, round(size)) for size in self._required(found, "median_image_size_in_voxels")),
            patch_size=self._required(found, "patch_size"), batch_size=self._required(found, "batch_size"),
            normalization=tuple(NORMALIZATION[name] for name in schemes[:channels]),
            normalize_inside_mask=tuple(self._required(found, "use_mask_for_norm")[:channels]),
            network=self._topology(found, "batch" if has_batch_norm else "instance"), batch_dice=found.get("batch_dice"),
            previous_stage=found.get("previous_stage"),
            reasons={"network": "As nnU-Net planned it."})

    def _topology(self, found: Mapping[str, Any], norm: str) -> Topology:
        planned = _object(found.get("architecture") or self._old_architecture(found), self.file)
        class_name = str(self._required(planned, "network_class_name"))
        network = NETWORKS.get(class_name.rpartition(".")[2])
        if network is None:
            self._refuse(f"network {class_name}")
            raise AssertionError
        its = _object(self._required(planned, "arch_kwargs"), self.file)
        self._require_usual_blocks(its, norm)
        stages = int(self._required(its, "n_stages"))
        if not 1 <= stages <= MOST_STAGES:
            raise ValueError(f"n_stages is {stages}")
        dimensions = len(self._required(found, "patch_size"))
        return Topology(
            name=network, features=_by_stage(self._required(its, "features_per_stage"), stages),
            strides=_by_axis(self._required(its, "strides"), stages, dimensions),
            kernel_sizes=_by_axis(self._required(its, "kernel_sizes"), stages, dimensions),
            convs_per_stage=_by_stage(self._required(its, CONVOLUTIONS[network]), stages),
            decoder_convs_per_stage=tuple(reversed(_by_stage(self._required(its, "n_conv_per_stage_decoder"), stages - 1))),
            norm=norm)

    def _require_usual_blocks(self, its: Mapping[str, Any], norm: str) -> None:
        """Raise AutosegError for blocks of another kind than those that nnU-Net's planners plan."""
        usual = {
            "conv_bias": (True,), "dropout_op": (None,), "nonlin_first": (None, False), "stem_channels": (None,),
            "nonlin": ("torch.nn.LeakyReLU", "torch.nn.modules.activation.LeakyReLU"), "bottleneck_channels": (None,),
            "squeeze_excitation": (None, False), "stochastic_depth_p": (None, 0, 0.0),
            "block": (None, "dynamic_network_architectures.building_blocks.residual.BasicBlockD")}
        for key, values in usual.items():
            if key in its and its[key] not in values:
                self._refuse(f"network with {key}={its[key]}")
        slope = (its.get("nonlin_kwargs") or {}).get("negative_slope", 0.01)
        eps = (its.get("norm_op_kwargs") or {}).get("eps", 1e-5)
        operation = str(its.get("norm_op", "InstanceNorm"))
        known = "InstanceNorm" if norm == "instance" else "InstanceNorm|BatchNorm"  # the trainer asks for the batch
        if slope != 0.01 or eps != 1e-5 or not re.search(known, operation):
            self._refuse(f"network with negative_slope={slope}, eps={eps}, norm_op={operation}")

    def _old_architecture(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entry `architecture` for plans that were written before there was one."""
        name = str(self._required(found, "UNet_class_name"))
        encoder = self._required(found, "n_conv_per_stage_encoder")
        base, most = self._required(found, "UNet_base_num_features"), self._required(found, "unet_max_num_features")
        return {"network_class_name": name, "arch_kwargs": {
            "n_stages": len(encoder), "features_per_stage": [min(base * 2**stage, most) for stage in range(len(encoder))],
            "strides": self._required(found, "pool_op_kernel_sizes"), "kernel_sizes": self._required(found, "conv_kernel_sizes"),
            CONVOLUTIONS.get(NETWORKS.get(name, ""), ""): encoder,
            "n_conv_per_stage_decoder": self._required(found, "n_conv_per_stage_decoder")}}

    def _intensities(self) -> dict[str, IntensityStatistics]:
        found = _object(self.content.get("foreground_intensity_properties_per_channel") or {}, self.file)
        wanted = tuple(IntensityStatistics.model_fields)
        return {channel: IntensityStatistics(**{key: values[key] for key in wanted})
                for channel, values in found.items() if isinstance(values, dict) and all(key in values for key in wanted)}


def _object(content: Any, source: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise AutosegError(f"{source} holds no JSON object where nnU-Net v2 writes one.")
    return content


def _by_stage(value: Any, stages: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,) * stages


def _by_axis(value: Any, stages: int, dimensions: int) -> tuple[Any, ...]:
    return tuple(tuple(one) if isinstance(one, list) else (one,) * dimensions for one in _by_stage(value, stages))
