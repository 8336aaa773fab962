"""Plans: what was decided for a dataset. Small frozen models, one to one with `plans.json`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Normalization = Literal["ct", "zscore", "rescale_0_1", "rgb", "none"]
Norm = Literal["instance", "batch"]
Span = tuple[float, float]


class Frozen(BaseModel):
    """A model that is written to disk: unknown keys are refused and nothing changes after construction.

    remedy: what to do where its file is damaged or was written by another version; {dataset} stands for the dataset's name and
    workspace, as a command takes them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    remedy: ClassVar[str] = ""


class IntensityStatistics(Frozen):
    """Statistics of one channel's foreground intensities over all training cases, in the images' own unit (HU in CT)."""

    mean: float
    std: float
    median: float
    percentile_00_5: float
    percentile_99_5: float


class TrainingChannel(Frozen):
    """The smallest and largest value of each measure of a channel over the training images. width: high minus low."""

    low: Span
    high: Span
    width: Span


class TrainingImages(Frozen):
    """The range of each measure over the training images. spacing_mm: finest axis first; smallest and largest of each."""

    spacing_mm: tuple[Span, Span, Span]
    largest_ml: float
    channels: tuple[TrainingChannel, ...]


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
    features: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernel_sizes: tuple[tuple[int, ...], ...]
    convs_per_stage: tuple[int, ...]
    decoder_convs_per_stage: tuple[int, ...] | None = None
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
    def convs_up(self) -> tuple[int, ...]:
        """Return the number of convolutions in each decoder stage, finest first."""
        return self.decoder_convs_per_stage or self.convs_per_stage[:-1]


class Configuration(Frozen):
    """One way to see the dataset: a grid, a patch and a network. Axes are already transposed; (z, y, x), or (y, x) in 2D.

    spacing_mm: of the resampled grid, mm. In 2D, slices keep the distance that they have.
    median_shape: of the resampled training cases, voxels. patch_size: voxels of the resampled grid.
    normalization: one per channel. normalize_inside_mask: per channel, z-score over the non-zero voxels only.
    memory_values: how many values (see `autoseg.topology.values`) the memory that was planned for is taken to hold in a step;
    None where that is not known. reasons: for each decision, the rule that gave it, in words.
    """

    spacing_mm: tuple[float, ...]
    median_shape: tuple[int, ...]
    patch_size: tuple[int, ...]
    batch_size: int = Field(ge=1)
    normalization: tuple[Normalization, ...]
    normalize_inside_mask: tuple[bool, ...]
    network: Topology
    memory_values: float | None = None
    reasons: dict[str, str] = {}

    @property
    def dimensions(self) -> int:
        """Return the number of dimensions, 2 or 3."""
        return len(self.patch_size)


class Plans(Frozen):
    """The plans for a dataset: everything that was decided.

    planner: the one that decided. memory_gb: memory of the GPU that they are for, GB; None for the planner's usual one.
    orientation: order of axes x, y, z, such as "LPS", that every image is brought to before anything else: the most frequent
    among the training cases; None where no case says it. transpose: array axis of the image in this order that becomes axis 0,
    1, 2 (coarsest spacing first).
    foreground_intensities: by channel index, as a string. images: what the training images are like; None where that is not
    known.
    """

    remedy: ClassVar[str] = "To make it anew: autoseg_plan_and_preprocess {dataset}"

    dataset: str
    planner: str
    orientation: str | None = None
    transpose: tuple[int, int, int]
    versions: dict[str, str]
    foreground_intensities: dict[str, IntensityStatistics]
    memory_gb: float | None = None
    images: TrainingImages | None = None
    configurations: dict[str, Configuration]
