"""What the settings of all recipes have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autoseg.device import Precision
from autoseg.plan import Frozen
from autoseg.settings import Group


class TrainingSettings(Frozen, allow_inf_nan=False):
    """What every training has: how long it lasts, in which precision, and its seed."""

    epochs: int = Field(1000, ge=1, description="at most; optimizer steps are epochs × iterations")
    iterations: int = Field(250, ge=1, description="optimizer steps per epoch")
    max_hours: float | None = Field(None, gt=0, description="fit the schedule into this time; epochs are then at most `epochs`")
    precision: Precision = Field(
        "auto", description="of matrix products; auto is float16 on CUDA, bfloat16 on a CPU that has it, else float32")
    seed: int = Field(12345, ge=0, lt=2**31, description="of weights, batches and augmentation")


class PlateauSettings(Group):
    """Of schedule=plateau."""

    patience: int = Field(30, ge=1, description="epochs without improvement of the smoothed training loss before the rate falls")
    factor: float = Field(0.2, gt=0, lt=1, description="by which the rate then falls")
    floor: float = Field(1e-6, gt=0, description="training ends when the rate has fallen below this")
    smoothing: float = Field(0.93, ge=0, lt=1, description="of the training loss: the share that the average keeps, per epoch")
    threshold: float = Field(1e-3, ge=0, description="by how much the smoothed loss must fall to count as improved")


class OptimizerSettings(TrainingSettings):
    """How one network's weights are changed."""

    optimizer: Literal["sgd", "adam"] = Field("sgd", description="SGD with Nesterov momentum, or Adam")
    learning_rate: float = Field(0.01, gt=0, description="at the start, after the warm-up")
    momentum: float = Field(0.99, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(3e-5, ge=0, description="by which the optimizer pulls weights towards zero")
    gradient_clip: float = Field(12.0, gt=0, description="largest norm of the gradient")
    schedule: Literal["poly", "plateau"] = Field(
        "poly", description="the rate falls as (1 - share done)^0.9, or when the training loss stops falling")
    plateau: PlateauSettings = PlateauSettings()
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the training over which the rate rises linearly from zero")
