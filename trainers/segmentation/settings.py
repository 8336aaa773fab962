"""Settings of a segmentation training: what a user may change, with unit and meaning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from autoseg.bounds import Batch, FullPath, Many
from autoseg.plan import Norm
from autoseg.trainers.settings import BatchSettings, LossSettings, OptimizerSettings, SupervisionSettings, differences

MIRRORS = ("auto", "no_swap", "no_left_right", "none")  # or axes by their numbers


def _mirror(value: object) -> object:
    if value in MIRRORS or (isinstance(value, list | tuple) and all(str(axis) in ("0", "1", "2") for axis in value)):
        return value
    raise ValueError(f"takes {', '.join(MIRRORS)}, or axes of the patch, such as 0,1")


class SegmentationSettings(LossSettings, BatchSettings, OptimizerSettings):
    """Settings of the recipes that segment, with the values of `default`. Your own recipe may add some by a subclass."""

    pretrained: FullPath | None = Field(
        None, description="--from: a trained model's folder, whose weights the training starts from; none for random ones")
    validation_iterations: Many | None = Field(
        None, description="batches of the online validation after each epoch; none for a fifth of iterations")
    batch_size: Batch | None = Field(
        None, description="patches per step; none for the plan's, or what fits where the network costs more than planned")
    patch_size: tuple[Annotated[int, Field(le=2**14)], ...] | None = Field(
        None, min_length=2, max_length=3,
        description="voxels along z,y,x (2D: y,x), slice axis first; none for the plan's. The network's depth follows")
    foreground_share: float = Field(
        1 / 3, ge=0, le=1, description="share of each batch's patches that are centred on a foreground voxel")
    sampling: Literal["even", "rare"] = Field(
        "even", description="class that such a patch is centred on: each of the case's alike, or the more often the fewer voxels "
        "it has there")

    network: Literal["unet", "unet3plus", "resunet"] | None = Field(None, description="none for the plan's")
    base_features: int | None = Field(None, ge=1, le=320, description="channels of the finest stage; none for the plan's")
    norm: Norm | None = Field(None, description="none for the plan's")
    classification_guided: bool = Field(
        False, description="a head that tells which classes a patch holds and drops the others in prediction (unet3plus only)")

    deep_supervision: bool = Field(True, description="compare lower decoder levels with the label, too")
    supervision: SupervisionSettings = SupervisionSettings()

    augmentation: Literal["default", "elastic", "none"] = Field(
        "default", description="nnU-Net's; or rotation, scaling, elastic deformation and gamma; or none. The first two mirror")
    mirror: Annotated[Literal["auto", "no_swap", "no_left_right", "none"] | tuple[int, ...], BeforeValidator(_mirror)] = Field(
        "auto", description="patch axes that are flipped in training and prediction, 0 the first, such as 0,1. auto: all; labels "
        "that planning took for left and right of one structure (sides in plans.json) change places where that axis is flipped. "
        "no_swap: all, and no label changes its place, as in nnU-Net. no_left_right: all but the axis from left to right")


def notes_on(settings: SegmentationSettings, defaults: SegmentationSettings) -> list[str]:
    """Return what the user should know of these settings: those of parts that are not in use, and a rate that will not fall."""
    has_plateau = settings.settled().schedule == "plateau"
    in_use = {
        "exp_log": settings.loss == "exp_log", "hybrid": settings.loss == "hybrid", "plateau": has_plateau,
        "supervision": settings.deep_supervision, "momentum": settings.optimizer == "sgd"}
    choose = {"exp_log": "loss=exp_log", "hybrid": "loss=hybrid", "plateau": "schedule=plateau",
              "supervision": "deep_supervision=true", "momentum": "optimizer=sgd"}
    unused = [key for key in differences(settings, defaults) if not in_use.get(key.partition(".")[0], True)]
    notes = [f"{key} changes nothing here: it is of --set {choose[key.partition('.')[0]]}." for key in unused]
    patience = settings.plateau.patience
    if has_plateau and (settings.max_hours is not None or settings.epochs <= patience):
        notes.append(f"schedule=plateau lowers the learning rate after {patience} epochs without improvement, which a short "
                     "training may not reach: it ends at its first rate then. Add --set schedule=poly for one that falls.")
    return notes
