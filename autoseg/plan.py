"""Plans: what was decided for a dataset. Small frozen models, one to one with `plans.json`."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autoseg.bounds import (
    MOST_STAGES,
    Batch,
    Convolutions,
    Features,
    Finite,
    Gigabytes,
    Kernel,
    NotNegative,
    Orientation,
    PatchEdge,
    Permutation,
    PositiveMm,
    Share,
    Stride,
    Voxels,
)
from autoseg.names import name_fault

Normalization = Literal["ct", "zscore", "rescale_0_1", "rgb", "none"]
Norm = Literal["instance", "batch"]
Span = tuple[Finite, Finite]


class Frozen(BaseModel):
    """A model that is written to disk: unknown keys are refused and nothing changes after construction.

    remedy: what to do where its file is damaged or was written by another version; {dataset} stands for the dataset's name and
    workspace, as a command takes them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    remedy: ClassVar[str] = ""


class IntensityStatistics(Frozen):
    """Statistics of one channel's foreground intensities over all training cases, in the images' own unit (HU in CT)."""

    mean: Finite
    std: NotNegative
    median: Finite
    percentile_00_5: Finite
    percentile_99_5: Finite


class TrainingChannel(Frozen):
    """The smallest and largest value of each measure of a channel over the training images. width: high minus low."""

    low: Span
    high: Span
    width: Span


class TrainingImages(Frozen):
    """The range of each measure over the training images. spacing_mm: finest axis first; smallest and largest of each.
    modalities, body_parts: those that headers of DICOM series say; empty where the images are none."""

    spacing_mm: tuple[Span, Span, Span]
    largest_ml: NotNegative
    channels: tuple[TrainingChannel, ...]
    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()


class Topology(Frozen):
    """A network's shape, finest stage first. Axis order (z, y, x), or (y, x) in 2D.

    name: of the network, see `autoseg.networks`. features: channels of each stage. strides: the factors by which each stage is
    coarser than the one before it; the first stage's is 1. kernel_sizes: of each stage.
    convs_per_stage: convolutions in each encoder stage, or residual blocks of two in a residual encoder.
    decoder_convs_per_stage: convolutions in each decoder stage, one entry fewer; None for as many as the encoder's.
    norm: of the sample (instance norm) or of the batch (batch norm).
    deep_supervision: logits at every decoder level in training, not at the finest alone.
    classification_guided: a head that tells which classes a patch holds (see `autoseg.networks.unet3plus`).
    """

    name: str = "unet"
    features: tuple[Features, ...] = Field(min_length=1, max_length=MOST_STAGES)
    strides: tuple[tuple[Stride, ...], ...]
    kernel_sizes: tuple[tuple[Kernel, ...], ...]
    convs_per_stage: tuple[Convolutions, ...]
    decoder_convs_per_stage: tuple[Convolutions, ...] | None = None
    norm: Norm = "instance"
    deep_supervision: bool = True
    classification_guided: bool = False

    @model_validator(mode="after")
    def _one_entry_per_stage(self) -> Topology:
        lengths = {len(self.features), len(self.strides), len(self.kernel_sizes), len(self.convs_per_stage)}
        if len(lengths) != 1:
            raise ValueError("features, strides, kernel_sizes and convs_per_stage must have one entry per stage each")
        if self.decoder_convs_per_stage is not None and len(self.decoder_convs_per_stage) != len(self.features) - 1:
            raise ValueError("decoder_convs_per_stage must have one entry per stage but the last")
        axes = {len(of_stage) for of_stage in (*self.strides, *self.kernel_sizes)}
        if axes not in ({2}, {3}):
            raise ValueError("strides and kernel_sizes must have 2 entries in each stage, or 3 in each")
        if any(size % 2 == 0 for sizes in self.kernel_sizes for size in sizes):
            raise ValueError("kernel_sizes must be odd")
        if set(self.strides[0]) != {1}:
            raise ValueError("strides of the first stage must be 1")
        return self

    @property
    def dimensions(self) -> int:
        """Return the number of dimensions, 2 or 3."""
        return len(self.strides[0])

    @property
    def stages(self) -> int:
        """Return the number of resolutions, the finest and the coarsest included."""
        return len(self.features)

    @property
    def reduction(self) -> tuple[int, ...]:
        """Return by how much the coarsest stage is coarser than the finest, along each axis."""
        return tuple(math.prod(along) for along in zip(*self.strides, strict=True))

    @property
    def convs_up(self) -> tuple[int, ...]:
        """Return the number of convolutions in each decoder stage, finest first."""
        return self.decoder_convs_per_stage or self.convs_per_stage[:-1]


class Visibility(Frozen):
    """The share of a class or region in what the patches of a training show, over its training cases.

    random_share: share of the patches that hold it, where they are drawn anywhere in the images. training_share: the same of
    the training, which centres a third of each batch on foreground. voxels: median number of its voxels in patches that hold
    it. at_risk: whether a network may never learn to find it (see the planner's rule).
    """

    random_share: Share
    training_share: Share
    voxels: NotNegative
    at_risk: bool


class Configuration(Frozen):
    """One way to see the dataset: a grid, a patch and a network. Axes are already transposed; (z, y, x), or (y, x) in 2D.

    spacing_mm: of the resampled grid, mm. In 2D, slices keep the distance that they have.
    median_shape: of the resampled training cases, voxels. patch_size: voxels of the resampled grid.
    normalization: one per channel. normalize_inside_mask: per channel, z-score over the non-zero voxels only.
    previous_stage: the configuration whose segmentation the network sees behind the image's channels, one channel for each label
    value (a cascade); None for the image alone.
    batch_dice: whether the Dice of the loss counts a batch as one image, as nnU-Net does where a patch shows little of it: in 2D,
    and at full resolution beside a coarser grid; None in plans of earlier versions, where 2D does.
    memory_values: how many values (see `autoseg.topology.values`) the memory that was planned for is taken to hold in a step;
    None where that is not known. visibility: of each class or region that a training case holds, by name; empty in plans of
    earlier versions. reasons: for each decision, the rule that gave it, in words.
    """

    spacing_mm: tuple[PositiveMm, ...]
    median_shape: tuple[Voxels, ...]
    patch_size: tuple[PatchEdge, ...]
    batch_size: Batch
    normalization: tuple[Normalization, ...]
    normalize_inside_mask: tuple[bool, ...]
    network: Topology
    previous_stage: str | None = None
    batch_dice: bool | None = None
    memory_values: NotNegative | None = None
    visibility: dict[str, Visibility] = {}
    reasons: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_entry_per_axis(self) -> Configuration:
        if {len(self.spacing_mm), len(self.median_shape), len(self.patch_size)} != {self.network.dimensions}:
            raise ValueError("spacing_mm, median_shape, patch_size and the network's strides must have one entry per axis each")
        if any(size % by for size, by in zip(self.patch_size, self.network.reduction, strict=True)):
            raise ValueError(f"patch_size must be divisible by what the network's strides come to, {self.network.reduction}")
        if self.previous_stage is not None and (fault := name_fault(self.previous_stage)):
            raise ValueError(f"previous_stage must be the name of a configuration: {fault}")
        if len(self.normalization) != len(self.normalize_inside_mask):
            raise ValueError("normalization and normalize_inside_mask must have one entry per channel each")
        return self

    @property
    def pools_batch(self) -> bool:
        """Tell whether the Dice of the loss counts a batch as one image."""
        return self.dimensions == 2 if self.batch_dice is None else self.batch_dice

    @property
    def dimensions(self) -> int:
        """Return the number of dimensions, 2 or 3."""
        return len(self.patch_size)


class Emptiness(Frozen):
    """The signs that a part of an image holds no object, as no labelled voxel of the training has the like around it.

    levels: of each channel, the value, in the image's own unit, that something near an object reaches; None where the unit
    differs from image to image, so that only what is constant is empty; () where nothing is known to be. near_mm: how far "near"
    is. reason: in words.
    """

    levels: tuple[Finite | None, ...] = ()
    near_mm: PositiveMm
    reason: str


class Sides(Frozen):
    """Left and right of the patient, as mirroring must know them.

    axis: of the transposed array (0, 1, 2), along which all training cases run from left to right or from right to left; None
    where that is not known of all. pairs: names of labels or regions that are each other's mirror image along it. reason: in
    words; empty where no label is named by a side.
    """

    axis: Annotated[int, Field(ge=0, le=2)] | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    reason: str = ""


class Plans(Frozen):
    """The plans for a dataset: everything that was decided.

    planner: the one that decided. memory_gb: memory of the GPU that they are for, GB; None for the planner's usual one.
    orientation: order of axes x, y, z, such as "LPS", that every image is brought to before anything else: the most frequent
    among the training cases; None where no case says it. transpose: array axis of the image in this order that becomes axis 0,
    1, 2 (coarsest spacing first).
    foreground_intensities: by channel index, as a string. images: what the training images are like; None where that is not
    known. sides: left and right; empty: what holds no object; None in plans of earlier versions. pretrained: folder of the model
    that they follow, as a training is to start from it; None for plans of the dataset's own.
    """

    remedy: ClassVar[str] = "To make it anew: autoseg_plan_and_preprocess {dataset}"

    dataset: str
    planner: str
    orientation: Orientation | None = None
    transpose: Permutation
    versions: dict[str, str]
    foreground_intensities: dict[str, IntensityStatistics]
    memory_gb: Gigabytes | None = None
    images: TrainingImages | None = None
    sides: Sides | None = None
    empty: Emptiness | None = None
    pretrained: str | None = None
    configurations: dict[str, Configuration]
