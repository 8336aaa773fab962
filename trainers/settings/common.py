"""Settings that every training has, and those of parts that several tasks use."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from autoseg.bounds import Many, Rate
from autoseg.device import Precision
from autoseg.plan import Frozen
from autoseg.settings import Group


class TrainingSettings(Frozen, allow_inf_nan=False):
    """Settings of every training: how long it lasts, in which precision, and its seed."""

    epochs: Many = Field(1000, description="at most; optimizer steps are epochs × iterations")
    iterations: Many = Field(250, description="optimizer steps per epoch")
    max_hours: float | None = Field(
        None, gt=0, le=10**5, description="fit the schedule into this time; epochs are then at most `epochs`")
    precision: Precision = Field(
        "auto", description="of matrix products; auto is float16 on CUDA, bfloat16 on a CPU that has it, else float32")
    seed: int = Field(12345, ge=0, lt=2**31, description="of weights, batches and augmentation")
    cudnn_benchmark: bool = Field(
        True, description="let cuDNN time its algorithms and take the fastest, as nnU-Net does; on CUDA only")


class PlateauSettings(Group):
    """Settings of schedule=plateau."""

    patience: Many = Field(30, description="epochs without improvement of the smoothed training loss before the rate falls")
    factor: float = Field(0.2, gt=0, lt=1, description="by which the rate then falls")
    floor: float = Field(1e-6, gt=0, description="training ends when the rate has fallen below this")
    smoothing: float = Field(0.93, ge=0, lt=1, description="of the training loss: the share that the average keeps, per epoch")
    threshold: float = Field(1e-3, ge=0, description="by how much the smoothed loss must fall to count as improved")


class OptimizerSettings(TrainingSettings):
    """Settings of a training that changes one network's weights by one optimizer."""

    optimizer: Literal["sgd", "adam"] = Field("sgd", description="SGD with Nesterov momentum, or Adam")
    learning_rate: Rate = Field(0.01, description="at the start, after the warm-up")
    momentum: float = Field(0.99, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(3e-5, ge=0, le=100, description="by which the optimizer pulls weights towards zero")
    gradient_clip: float = Field(12.0, gt=0, description="largest norm of the gradient")
    schedule: Literal["poly", "plateau"] = Field(
        "poly", description="the rate falls as (1 - share done)^0.9, or when the training loss stops falling")
    plateau: PlateauSettings = PlateauSettings()
    compile: bool = Field(
        False, description="compile the network with torch.compile: minutes at the start, and a C++ compiler is needed")
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the training over which the rate rises linearly from zero")


class BatchSettings(Frozen, allow_inf_nan=False):
    """Settings of how batches are made."""

    batch_processes: int | None = Field(
        None, ge=0, le=256, description="processes that read and augment batches; 0 for threads that read, and augmentation on "
        "the device; none for one a core on CUDA, 12 at most, and threads elsewhere")


class ExpLogSettings(Group):
    """Settings of loss=exp_log (Wong et al. 2018)."""

    gamma: float = Field(0.3, gt=0, description="exponent of both logarithms")
    dice_weight: float = Field(0.8, ge=0, description="weight of the Dice term")
    ce_weight: float = Field(0.2, ge=0, description="weight of the cross-entropy term")
    class_weights: tuple[Annotated[float, Field(ge=0)], ...] | None = Field(
        None, description="of the cross-entropy: one per class, background first (regions: one each); none for the root of how "
        "rare each label is in the training cases")


class HybridSettings(Group):
    """Settings of loss=hybrid: focal + MS-SSIM + IoU (Huang et al. 2020)."""

    focal_gamma: float = Field(2.0, ge=0, description="how much less a voxel counts the better it is predicted (Lin et al. 2017)")
    focal_weight: float = Field(1.0, ge=0, description="weight of the focal term")
    ssim_weight: float = Field(1.0, ge=0, description="weight of 1 - MS-SSIM (Wang et al. 2003)")
    iou_weight: float = Field(1.0, ge=0, description="weight of 1 - soft IoU")
    ssim_window: int = Field(11, ge=3, le=999, description="edge of the Gaussian window, voxels; shrinks with small patches")
    ssim_scales: int = Field(5, ge=1, le=5, description="resolutions that are compared, at most; fewer on small patches")


class LossSettings(Frozen, allow_inf_nan=False):
    """The loss of a labelled volume, and the settings of each of them (see `autoseg.trainers.losses`)."""

    loss: Literal["dice_ce", "exp_log", "hybrid"] = "dice_ce"
    exp_log: ExpLogSettings = ExpLogSettings()
    hybrid: HybridSettings = HybridSettings()


class SupervisionSettings(Group):
    """Settings of deep_supervision=true."""

    weights: Literal["halving", "equal"] = Field(
        "halving", description="of the decoder levels: 1, 1/2, 1/4, ... and the lowest off, or all alike; their sum is 1")
    resolution: Literal["level", "full"] = Field(
        "level", description="compare each level with the label brought down to it, or brought up itself to the full label")
