"""Settings of a training run: what a user may turn, with unit and meaning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError

from autoseg.errors import AutosegError
from autoseg.plan import Frozen

FLAGS = {"epochs": "--epochs", "iterations": "--iterations", "max_hours": "--max-hours"}


class Settings(Frozen, allow_inf_nan=False):
    """All settings of the recipes, with the values that `default` uses.

    epochs, iterations: optimizer steps are epochs × iterations. validation_iterations: batches of the online
    validation after each epoch; None for a fifth of `iterations`.
    learning_rate, momentum, weight_decay: of SGD with Nesterov momentum; the rate falls as (1 - progress)^0.9.
    warmup: share of the training over which the learning rate rises linearly from zero.
    gradient_clip: largest norm of the gradient.
    foreground_share: share of each batch's patches that are centred on a foreground voxel.
    batch_size, patch_size: None for the plan's. patch_size in voxels, (z, y, x) or (y, x).
    augmentation: "default", or "none".
    mirror_axes: spatial axes along which patches are flipped, in training and prediction; None for all of them, () for
    none. 0 is the first axis of the patch.
    deep_supervision: compare lower decoder levels with the label, too.
    precision: of matrix products; "auto" is float16 on CUDA, bfloat16 on a CPU that has it, else float32.
    seed: of weights, patches and augmentation.
    max_hours: fit the schedule into this time; the epochs are then at most `epochs`.
    """

    epochs: int = Field(1000, ge=1)
    iterations: int = Field(250, ge=1)
    validation_iterations: int | None = Field(None, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.99, ge=0, lt=1)
    weight_decay: float = Field(3e-5, ge=0)
    warmup: float = Field(0.0, ge=0, lt=1)
    gradient_clip: float = Field(12.0, gt=0)
    foreground_share: float = Field(1 / 3, ge=0, le=1)
    batch_size: int | None = Field(None, ge=1)
    patch_size: tuple[int, ...] | None = None
    augmentation: Literal["default", "none"] = "default"
    mirror_axes: tuple[int, ...] | None = None
    deep_supervision: bool = True
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    seed: int = 12345
    max_hours: float | None = Field(None, gt=0)

    @property
    def validation_batches(self) -> int:
        """Batches of the online validation."""
        return self.validation_iterations or max(1, self.iterations // 5)


def parse_settings(assignments: list[str], **flags: object) -> Settings:
    """Settings from `key=value` texts and from flags that are not None (flags win).

    Tuples are written with commas ("patch_size=64,64,32"; "mirror_axes=" for no axis), None as "none".
    Raises AutosegError that names what is wrong and lists the keys there are.
    """
    values: dict[str, object] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise AutosegError(f'--set takes key=value, but "{assignment}" has no "=".')
        if key not in Settings.model_fields:
            raise AutosegError(f'There is no setting "{key}". There are: {", ".join(sorted(Settings.model_fields))}.')
        values[key] = _parse_value(key, text)
    values.update({key: value for key, value in flags.items() if value is not None})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg']}" for e in error.errors())
        raise AutosegError(f"These settings do not fit: {wrong}.") from error


def flags_of(settings: Settings) -> tuple[str, ...]:
    """The flags of autoseg_train that give these settings; what is the default is left out."""
    defaults = Settings()
    changed = {key: value for key, value in settings if value != getattr(defaults, key)}
    named = [word for key, flag in FLAGS.items() if key in changed for word in (flag, _written(changed.pop(key)))]
    return (*named, *(word for key, value in changed.items() for word in ("--set", f"{key}={_written(value)}")))


def _written(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def _parse_value(key: str, text: str) -> object:
    if key in ("patch_size", "mirror_axes") and text.lower() != "none":
        return tuple(part for part in text.split(",") if part)
    return None if text.lower() == "none" and key != "augmentation" else text
