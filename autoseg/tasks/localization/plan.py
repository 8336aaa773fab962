"""Plans of how volumes become projections, and of what is found there: frozen models, as in `plans_localization.json`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from autoseg.bounds import Batch, Finite, Many, PatchEdge, Percentile, PositiveMm
from autoseg.dataset import Dataset
from autoseg.intensities import WINDOW_PERCENTILES, IntensityWindow
from autoseg.plan import Frozen, Topology, TrainingImages
from autoseg.tasks.localization import INFO
from autoseg.tasks.localization.options import PlanOptions

WorldAxis = Literal["x", "y", "z"]  # left to right, front to back, feet to head
Seen = Literal["both", "maximum", "mean"]  # along what is projected away; both: the mean of maximum and mean
SEEN: tuple[Seen, ...] = ("both", "maximum", "mean")
CONFIGURATION = INFO.configurations[0]  # the folder's name, where those of segmentation are 2d, 3d_fullres, ...


class Target(Frozen):
    """The target that is to be found.

    name: as the user calls it. labels: names of the label whose middle it is, or of two between whose middles it lies; () where
    points say it. points: case to mm along the axis, in world coordinates (DICOM's frame: left, back, head); None where it is
    known not to be in the case. Of cases that have none nothing is known.
    """

    name: str
    labels: tuple[str, ...] = Field((), max_length=2)
    points: dict[str, Finite | None] = {}


class ProjectionPlans(Frozen):
    """Everything that was decided for a dataset's projections.

    dataset: its name. target: what is found. axis: of the patient, along which it is found: the projection's rows. project: that
    is projected away. slab: share of the extent along it, in its middle, that is projected. channel_names: of the images. seen:
    the channels that each of these becomes. windows: one per channel where the unit is absolute (CT); None for a channel that is
    scaled case by case, between its `percentiles`. pixel_mm: edge of the projection's square pixels. size: (rows, columns) pixels
    that training sees at a time. batch_size: projections per step. epochs: of the training, where nothing else is asked for.
    position: whether the network sees, in a channel of its own, how far each row is from the scan's ends. network: its shape.
    images: what the training images are like; None where that is not known. source: the dataset as it was planned, without cases
    that had errors. options: that planning was asked for. reasons: for each
    decision, the rule that gave it.
    """

    remedy: ClassVar[str] = f"To make it anew: autoseg_plan_and_preprocess {{dataset}} {' '.join(INFO.planner_flags)}"

    dataset: str
    planner: Literal["projection"] = "projection"
    versions: dict[str, str]
    target: Target
    axis: WorldAxis
    project: WorldAxis
    slab: float = Field(gt=0, le=1)
    channel_names: tuple[str, ...]
    seen: tuple[Seen, ...] = Field(SEEN, min_length=1)
    windows: tuple[IntensityWindow | None, ...]
    percentiles: tuple[Percentile, Percentile] = WINDOW_PERCENTILES
    pixel_mm: PositiveMm
    size: tuple[PatchEdge, PatchEdge]
    batch_size: Batch
    epochs: Many
    position: bool = False
    network: Topology
    images: TrainingImages | None = None
    source: Dataset
    options: PlanOptions = PlanOptions()
    reasons: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_entry_per_channel(self) -> ProjectionPlans:
        if len(self.windows) != len(self.channel_names):
            raise ValueError("windows and channel_names must have one entry per channel each")
        if self.axis == self.project or not self.percentiles[0] < self.percentiles[1] or self.network.dimensions != 2:
            raise ValueError("axis and project must differ, percentiles rise, and the network have two dimensions")
        return self

    @property
    def channels(self) -> int:
        """Return the number of channels of a projection: as many for each of the image's as `seen` names."""
        return len(self.seen) * len(self.channel_names)

    def without_cases(self) -> ProjectionPlans:
        """Return the plans as a model takes them along: without the images that it was trained on, and where they are stored."""
        emptied: dict[str, object] = {"folder": Path(), "training": (), "test": (), "groups": {}, "case_labels": {}}
        return self.model_copy(update={
            "source": self.source.model_copy(update=emptied), "target": self.target.model_copy(update={"points": {}}),
            "options": PlanOptions()})
