"""Plans of how a dataset's images become slices: small frozen models, one to one with `plans_anomaly.json`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from autoseg.bounds import PatchEdge
from autoseg.dataset import Dataset
from autoseg.intensities import IntensityWindow
from autoseg.plan import Frozen, TrainingImages
from autoseg.tasks.anomaly import INFO
from autoseg.tasks.anomaly.options import Axis, NormalBy, PlanOptions

CONFIGURATION = INFO.configurations[0]  # the folder's name, where those of segmentation are 2d, 3d_fullres, ...


class SlicePlans(Frozen):
    """Everything that was decided for a dataset's slices.

    dataset: its name. axis: to which slices are perpendicular in the patient (sagittal: left to right); None for pictures, which
    are one slice each. image_size: edge of the square slices, pixels (64, 128 or 256). channel_names: of a slice.
    windows: one per channel where the unit is absolute (CT); None for a channel that is scaled case by case, from its 0.5 to its
    99.5 percentile. normal_by: which slices count as normal: those of cases that case_labels says so of, those without
    foreground, or all. images: what the training images are like; None where that is not known. source: the dataset as it was
    planned, without cases that had errors. options: that planning was asked for. reasons: for each decision, the rule that gave
    it, in words.
    """

    remedy: ClassVar[str] = f"To make it anew: autoseg_plan_and_preprocess {{dataset}} {' '.join(INFO.planner_flags)}"

    dataset: str
    planner: Literal["slices"] = "slices"
    versions: dict[str, str]
    axis: Axis | None
    image_size: PatchEdge
    channel_names: tuple[str, ...]
    windows: tuple[IntensityWindow | None, ...]
    normal_by: NormalBy
    images: TrainingImages | None = None
    source: Dataset
    options: PlanOptions = PlanOptions()
    reasons: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_entry_per_channel(self) -> SlicePlans:
        if len(self.windows) != len(self.channel_names):
            raise ValueError("windows and channel_names must have one entry per channel each")
        return self

    @property
    def channels(self) -> int:
        return len(self.channel_names)

    def without_cases(self) -> SlicePlans:
        """Return the plans as a model takes them along: without the images that it was trained on, and where they are stored."""
        emptied: dict[str, object] = {"folder": Path(), "training": (), "test": (), "groups": {}, "case_labels": {}}
        return self.model_copy(update={"source": self.source.model_copy(update=emptied), "options": PlanOptions()})
