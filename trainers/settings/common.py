"""What the settings of all recipes have in common."""

from __future__ import annotations

from pydantic import Field

from autoseg.device import Precision
from autoseg.plan import Frozen


class Group(Frozen, allow_inf_nan=False):
    """Settings of one part, named "part.setting" on the command line."""


class TrainingSettings(Frozen, allow_inf_nan=False):
    """What every training has: how long it lasts, in which precision, and its seed."""

    epochs: int = Field(1000, ge=1, description="at most; optimizer steps are epochs × iterations")
    iterations: int = Field(250, ge=1, description="optimizer steps per epoch")
    max_hours: float | None = Field(None, gt=0, description="fit the schedule into this time; epochs are then at most `epochs`")
    precision: Precision = Field(
        "auto", description="of matrix products; auto is float16 on CUDA, bfloat16 on a CPU that has it, else float32")
    seed: int = Field(12345, ge=0, lt=2**31, description="of weights, batches and augmentation")
