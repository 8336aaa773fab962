"""Settings of a locator's training, and when its answers count as found."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autoseg.bounds import Many, Rate
from autoseg.plan import Norm
from autoseg.tasks.localization.options import LocationSettings
from autoseg.trainers.settings import BatchSettings, Group, OptimizerSettings, SupervisionSettings


class MovingSettings(Group):
    """Settings of the augmentation that moves the level with the projection."""

    rotation: float = Field(10.0, ge=0, le=45, description="degrees to either side, at most; none where only points are known")
    scaling: float = Field(0.2, ge=0, lt=1, description="natural logarithm of the largest zoom, in or out")
    stretching: float = Field(0.1, ge=0, lt=1, description="as scaling, of the rows alone")
    shift: float = Field(0.12, ge=0, le=0.5, description="share of the size, in each direction, at most")
    mirror: bool = Field(True, description="flip columns that run from left to right; others are never flipped")


class LocalizationSettings(BatchSettings, OptimizerSettings, LocationSettings):
    """Settings of the recipe `locator`."""

    epochs: Many = Field(18, description="at most; by default the plan's; optimizer steps are epochs × iterations")
    iterations: Many = Field(25, description="optimizer steps per epoch")
    batch_size: int | None = Field(None, ge=2, le=2**16, description="projections per step; none for the plan's")

    network: Literal["unet3plus", "unet", "resunet"] | None = Field(None, description="none for the plan's")
    base_features: int | None = Field(None, ge=1, le=320, description="channels of the finest stage; none for the plan's")
    norm: Norm | None = Field(None, description="none for the plan's")

    position: bool | None = Field(
        None, description="whether the network sees how far each row is from the scan's ends: helps where scans begin "
        "and end alike and harms where they do not; none for the plan's")
    band: float = Field(7.0, ge=1, le=2**14, description="height of the band that marks the level, pixels")
    positive_weight: float = Field(1.0, gt=0, description="of the band's pixels in the binary cross-entropy, against the others")
    deep_supervision: bool = Field(False, description="compare lower decoder levels with the band, too")
    supervision: SupervisionSettings = SupervisionSettings(weights="equal", resolution="full")

    optimizer: Literal["sgd", "adam"] = Field("adam", description="SGD with Nesterov momentum, or Adam")
    learning_rate: Rate = Field(1e-3, description="at the start, after the warm-up")
    weight_decay: float = Field(0.0, ge=0, le=100, description="by which the optimizer pulls weights towards zero")

    augmentation: Literal["default", "none"] = Field(
        "default", description="intensities as in nnU-Net, and what `moving` says; or neither")
    moving: MovingSettings = MovingSettings()
    window_share: float = Field(
        0.15, ge=0, le=1, description="share of a batch that shows some rows of a scan only, so that where it ends means nothing")
    absent_share: float = Field(
        0.15, ge=0, le=1, description="share of a batch that shows a scan's rows before or after what is to be found, so that "
        "\"not there\" is learned")
