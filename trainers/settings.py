"""Settings of a training run: what a user may turn, with unit and meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from autoseg.commands import as_flag
from autoseg.errors import AutosegError
from autoseg.plan import Frozen, Norm

FLAGS = {"epochs": "--epochs", "iterations": "--iterations", "max_hours": "--max-hours"}
SettingsType = TypeVar("SettingsType", bound="Settings")


class Group(Frozen, allow_inf_nan=False):
    """Settings of one part, named "part.setting" on the command line."""


class ExpLogSettings(Group):
    """Of loss=exp_log (Wong et al. 2018)."""

    gamma: float = Field(0.3, gt=0, description="exponent of both logarithms")
    dice_weight: float = Field(0.8, ge=0, description="weight of the Dice term")
    ce_weight: float = Field(0.2, ge=0, description="weight of the cross-entropy term")
    class_weights: tuple[Annotated[float, Field(ge=0)], ...] | None = Field(
        None, description="of the cross-entropy: one per class, background first (regions: one each); none for the root of how "
        "rare each label is in the training cases")


class HybridSettings(Group):
    """Of loss=hybrid: focal + MS-SSIM + IoU (Huang et al. 2020)."""

    focal_gamma: float = Field(2.0, ge=0, description="how much less a voxel counts the better it is predicted (Lin et al. 2017)")
    focal_weight: float = Field(1.0, ge=0, description="weight of the focal term")
    ssim_weight: float = Field(1.0, ge=0, description="weight of 1 - MS-SSIM (Wang et al. 2003)")
    iou_weight: float = Field(1.0, ge=0, description="weight of 1 - soft IoU")
    ssim_window: int = Field(11, ge=3, description="edge of the Gaussian window, voxels; shrinks with small patches")
    ssim_scales: int = Field(5, ge=1, le=5, description="resolutions that are compared, at most; fewer on small patches")


class SupervisionSettings(Group):
    """Of deep_supervision=true."""

    weights: Literal["halving", "equal"] = Field(
        "halving", description="of the decoder levels: 1, 1/2, 1/4, ... and the lowest off, or all alike; their sum is 1")
    resolution: Literal["level", "full"] = Field(
        "level", description="compare each level with the label brought down to it, or brought up itself to the full label")


class PlateauSettings(Group):
    """Of schedule=plateau."""

    patience: int = Field(30, ge=1, description="epochs without improvement of the smoothed training loss before the rate falls")
    factor: float = Field(0.2, gt=0, lt=1, description="by which the rate then falls")
    floor: float = Field(1e-6, gt=0, description="training ends when the rate has fallen below this")
    smoothing: float = Field(0.93, ge=0, lt=1, description="of the training loss: the share that the average keeps, per epoch")
    threshold: float = Field(1e-3, ge=0, description="by how much the smoothed loss must fall to count as improved")


class Settings(Frozen, allow_inf_nan=False):
    """All settings of the recipes, with the values that `default` uses. A recipe of your own may add to them by a subclass."""

    epochs: int = Field(1000, ge=1, description="at most; optimizer steps are epochs × iterations")
    iterations: int = Field(250, ge=1, description="optimizer steps per epoch")
    validation_iterations: int | None = Field(
        None, ge=1, description="batches of the online validation after each epoch; none for a fifth of iterations")
    max_hours: float | None = Field(None, gt=0, description="fit the schedule into this time; epochs are then at most `epochs`")
    batch_size: int | None = Field(
        None, ge=1, description="patches per step; none for the plan's, or what fits where the network costs more than planned")
    patch_size: tuple[int, ...] | None = Field(
        None, min_length=2, max_length=3,
        description="voxels along z,y,x (2D: y,x), slice axis first; none for the plan's. The network's depth follows")
    foreground_share: float = Field(
        1 / 3, ge=0, le=1, description="share of each batch's patches that are centred on a foreground voxel")

    network: Literal["unet", "unet3plus", "resunet"] | None = Field(None, description="none for the plan's")
    base_features: int | None = Field(None, ge=1, le=320, description="channels of the finest stage; none for the plan's")
    norm: Norm | None = Field(None, description="none for the plan's")
    classification_guided: bool = Field(
        False, description="a head that tells which classes a patch holds and drops the others in prediction (unet3plus only)")

    loss: Literal["dice_ce", "exp_log", "hybrid"] = "dice_ce"
    exp_log: ExpLogSettings = ExpLogSettings()
    hybrid: HybridSettings = HybridSettings()
    deep_supervision: bool = Field(True, description="compare lower decoder levels with the label, too")
    supervision: SupervisionSettings = SupervisionSettings()

    optimizer: Literal["sgd", "adam"] = Field("sgd", description="SGD with Nesterov momentum, or Adam")
    learning_rate: float = Field(0.01, gt=0, description="at the start, after the warm-up")
    momentum: float = Field(0.99, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(3e-5, ge=0, description="by which the optimizer pulls weights towards zero")
    gradient_clip: float = Field(12.0, gt=0, description="largest norm of the gradient")
    schedule: Literal["poly", "plateau"] = Field(
        "poly", description="the rate falls as (1 - share done)^0.9, or when the training loss stops falling")
    plateau: PlateauSettings = PlateauSettings()
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the training over which the rate rises linearly from zero")

    augmentation: Literal["default", "elastic", "none"] = Field(
        "default", description="nnU-Net's; or rotation, scaling, elastic deformation and gamma; or none. The first two mirror")
    mirror_axes: tuple[int, ...] | None = Field(
        None, description="patch axes that are flipped in training and prediction, 0 the first; none for all, empty for no axis")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of matrix products; auto is float16 on CUDA, bfloat16 on a CPU that has it, else float32")
    seed: int = Field(12345, ge=0, lt=2**31, description="of weights, patches and augmentation")

    @property
    def validation_batches(self) -> int:
        """Batches of the online validation."""
        return self.validation_iterations or max(1, self.iterations // 5)


def parse_settings(assignments: list[str], defaults: SettingsType, **flags: object) -> SettingsType:
    """A recipe's `defaults`, changed by `key=value` texts and by flags that are not None (flags win).

    Keys of a part are written "part.setting". Tuples are written with commas ("patch_size=64,64,32"; "mirror_axes=" for no
    axis), None as "none". Raises AutosegError that names what is wrong and lists the keys there are.
    """
    known = dict(listed(defaults))
    changed: dict[str, object] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise AutosegError(f'--set takes key=value, but "{assignment}" has no "=".')
        if key not in known:
            raise AutosegError(f'There is no setting "{key}". There are: {", ".join(sorted(known))}. '
                               "`autoseg recipes` explains them.")
        changed[key] = _parse_value(type(defaults), key, text)
    changed.update({key: value for key, value in flags.items() if value is not None})
    return with_changes(defaults, changed)


def with_changes(settings: SettingsType, changed: dict[str, object]) -> SettingsType:
    """`settings` with other values for some keys, "part.setting" among them. Raises AutosegError for values that do not fit."""
    content = settings.model_dump()
    for key, value in changed.items():
        part, dot, name = key.partition(".")
        if dot:
            content[part][name] = value
        else:
            content[key] = value
    try:
        return type(settings).model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg']}" for e in error.errors())
        raise AutosegError(f"These settings do not fit: {wrong}.") from error


def listed(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Every key that --set takes, with its value."""
    for key, value in settings:
        if isinstance(value, Group):
            yield from ((f"{key}.{name}", inner) for name, inner in value)
        else:
            yield key, value


def differences(settings: Settings, other: Settings) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ, with both."""
    values, others = dict(listed(settings)), dict(listed(other))
    return {key: (value, others.get(key)) for key, value in values.items() if value != others.get(key)}


def flags_of(settings: Settings, defaults: Settings) -> tuple[str, ...]:
    """The flags of autoseg_train that give these settings; what is the recipe's default is left out."""
    changed = {key: value for key, (value, _) in differences(settings, defaults).items()}
    named = [word for key, flag in FLAGS.items() if key in changed for word in (flag, as_flag(changed.pop(key)))]
    return (*named, *(word for key, value in changed.items() for word in ("--set", f"{key}={as_flag(value)}")))


def notes_on(settings: Settings, defaults: Settings) -> list[str]:
    """What the user should know of these settings: those of parts that are not in use, and a rate that will not fall."""
    in_use = {
        "exp_log": settings.loss == "exp_log", "hybrid": settings.loss == "hybrid", "plateau": settings.schedule == "plateau",
        "supervision": settings.deep_supervision, "momentum": settings.optimizer == "sgd"}
    choose = {"exp_log": "loss=exp_log", "hybrid": "loss=hybrid", "plateau": "schedule=plateau",
              "supervision": "deep_supervision=true", "momentum": "optimizer=sgd"}
    unused = [key for key in differences(settings, defaults) if not in_use.get(key.partition(".")[0], True)]
    notes = [f"{key} changes nothing here: it is of --set {choose[key.partition('.')[0]]}." for key in unused]
    patience = settings.plateau.patience
    if settings.schedule == "plateau" and (settings.max_hours is not None or settings.epochs <= patience):
        notes.append(f"schedule=plateau lowers the learning rate after {patience} epochs without improvement, which a short "
                     "training may not reach: it ends at its first rate then. Add --set schedule=poly for one that falls.")
    return notes


def description_of(settings: type[BaseModel], key: str) -> str:
    """What a key of --set means, and which values it takes where these are named."""
    field = _field_of(settings, key)
    return field.description or ""


def choices_of(settings: type[BaseModel], key: str) -> tuple[str, ...]:
    """The names that a key of --set takes; () for numbers."""
    return _named_choices(_field_of(settings, key).annotation)


def _field_of(settings: type[BaseModel], key: str) -> Any:
    part, dot, name = key.partition(".")
    field = settings.model_fields[part]
    return field.annotation.model_fields[name] if dot else field  # type: ignore[union-attr]


def _named_choices(annotation: Any) -> tuple[str, ...]:
    found: list[str] = []
    for part in getattr(annotation, "__args__", ()):
        if isinstance(part, str):
            found.append(part)
        else:
            found.extend(_named_choices(part))
    return tuple(found)


def _parse_value(settings: type[BaseModel], key: str, text: str) -> object:
    if text.lower() == "none" and "none" not in choices_of(settings, key):
        return None
    if "tuple" in str(_field_of(settings, key).annotation):
        return tuple(part for part in text.split(",") if part)
    return text
