"""Settings that every training has, and those of parts that several tasks use."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from autoseg.bounds import Many, Precision, Rate
from autoseg.plan import Frozen
from autoseg.settings import Group
from autoseg.trainers.settings import by_steps

PLATEAUS = 5  # so many times the patience: in fewer epochs the rate of schedule=plateau hardly falls


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

    def for_steps(self, steps: int) -> Self:
        """Return the settings with those filled in that follow from the number of optimizer steps; here none does."""
        return self

    def settled(self) -> Self:
        """Return the settings with those filled in that follow from the number of steps, as far as that is known."""
        return self if self.max_hours is not None else self.for_steps(self.epochs * self.iterations)


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
    learning_rate: Rate | None = Field(
        None, description="at the start, after the warm-up; none for what fits the number of steps: sgd 0.3 in short trainings, "
        "0.01 in long ones; adam 0.01 and 0.0003")
    momentum: float | None = Field(
        None, ge=0, lt=1, description="of sgd; none for what fits the number of steps: 0.7 in short trainings, 0.99 in long ones")
    weight_decay: float = Field(3e-5, ge=0, le=100, description="by which the optimizer pulls weights towards zero")
    gradient_clip: float = Field(12.0, gt=0, description="largest norm of the gradient")
    schedule: Literal["poly", "plateau"] | None = Field(
        "poly", description="the rate falls as (1 - share done)^0.9, or when the training loss stops falling; none for plateau "
        "where there are epochs enough for it, else poly")
    plateau: PlateauSettings = PlateauSettings()
    compile: bool = Field(
        False, description="compile the network with torch.compile: minutes at the start, and a C++ compiler is needed")
    accumulate: Many = Field(
        1, description="parts in which each batch is computed, one after the other: the same gradient in less memory")
    warmup: float | None = Field(
        None, ge=0, lt=1, description="share of the training over which the rate rises linearly from zero; none for what fits "
        "the number of steps: 0.05 in short trainings, 0 in long ones")

    def for_steps(self, steps: int) -> Self:
        """Return the settings with rate, momentum, warm-up and schedule filled in where they are None; those given stay."""
        lasts = self.max_hours is None and self.epochs >= PLATEAUS * self.plateau.patience
        chosen: dict[str, Any] = {"warmup": by_steps.warmup_for(steps), "schedule": "plateau" if lasts else "poly"}
        if self.optimizer == "sgd":
            momentum = by_steps.momentum_for(steps) if self.momentum is None else self.momentum
            chosen |= {"learning_rate": by_steps.sgd_rate_for(momentum), "momentum": momentum}
        else:
            chosen |= {"learning_rate": by_steps.adam_rate_for(steps)}
        return self.model_copy(update={key: value for key, value in chosen.items() if getattr(self, key) is None})


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
