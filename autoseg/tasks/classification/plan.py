"""Plans of what a classifier tells and of how it sees a case: frozen models, as in `plans_classification.json`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from autoseg.bounds import Batch, Many, Orientation, PatchEdge, Percentile, PositiveMm
from autoseg.dataset import Dataset
from autoseg.intensities import WINDOW_PERCENTILES, IntensityWindow
from autoseg.plan import Frozen, Topology, TrainingImages
from autoseg.tasks.classification import INFO
from autoseg.tasks.classification.options import PlanOptions

CONFIGURATION = INFO.configurations[0]
Kind = Literal["classes", "ordered", "labels"]
View = Literal["picture", "volume", "slices"]
Sampling = Literal["even", "balanced"]
Loss = Literal["cross_entropy", "weighted", "focal"]
UNKNOWN = -1  # of a yes/no target


class Target(Frozen):
    """The target that a classifier tells.

    kind: one of several classes; one of classes in an order, the lowest first; or several labels, each yes or no. name: of the
    column, or "class". classes: names, of labels those of their columns. of_case: case to the number of its class, (1,), or of
    labels to 0, 1 or -1 (not known) each, (L,).
    """

    kind: Kind
    name: str
    classes: tuple[str, ...] = Field(min_length=1)
    of_case: dict[str, tuple[int, ...]] = {}

    @model_validator(mode="after")
    def _two_classes(self) -> Target:
        if self.kind != "labels" and len(self.classes) < 2:
            raise ValueError("there must be two classes at least")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes must have different names")
        return self

    @property
    def outputs(self) -> int:
        """Return the number of logits: one per class or label, and one fewer for classes in an order."""
        return len(self.classes) - (self.kind == "ordered")

    @property
    def is_binary(self) -> bool:
        """Tell whether there are two classes, of which the second is the one that is looked for."""
        return self.kind != "labels" and len(self.classes) == 2

    def words(self, case: str) -> list[str]:
        """Return the classes of a case, or the labels that it has, for splits and counts."""
        values = self.of_case[case]
        return ([name for name, value in zip(self.classes, values, strict=True) if value == 1] if self.kind == "labels"
                else [self.classes[values[0]]])

    def counts(self) -> dict[str, int]:
        """Return how many cases have each class or label."""
        found = [word for case in self.of_case for word in self.words(case)]
        return {name: found.count(name) for name in self.classes}


class Covariate(Frozen):
    """A column of the table that a classifier sees. kind: a number, or one of `categories`. has_missing: whether a training case
    has no value of it; then the network is told where it is missing."""

    name: str
    kind: Literal["number", "category"]
    categories: tuple[str, ...] = ()
    has_missing: bool = False


class TableStamp(Frozen):
    """The table that targets were read from. digest: of its content."""

    path: Path
    digest: str


class ClassPlans(Frozen):
    """Everything that was decided for a dataset's classifiers.

    dataset: its name. target: what is told. covariates: that are seen beside the image; cells: case to their texts, "" where
    missing. table: that both were read from; None for case_labels. view: a picture (2D), a volume (3D), or the slices of a
    volume (2D each). orientation: order of axes that volumes are brought to; None where no case says it. channel_names: of the
    images. windows: one per channel where the unit is absolute (CT); None for a channel that is scaled case by case, between its
    `percentiles`. spacing_mm: (z, y, x) of what is seen; None for pictures, which are scaled to fit. size: (z, y, x) voxels that
    are seen, z = 1 for pictures. roi: None for the foreground of the image, "labels", or a folder of label files. network: its
    shape; only the encoder is used. batch_size, epochs: of the training. sampling, loss: how rare classes are learned.
    images: what the training images are like. source: the dataset as it was planned. options: that planning was asked for.
    reasons: for each decision, the rule that gave it.
    """

    remedy: ClassVar[str] = f"To make it anew: autoseg_plan_and_preprocess {{dataset}} {' '.join(INFO.planner_flags)}"

    dataset: str
    planner: Literal["classification"] = "classification"
    versions: dict[str, str]
    target: Target
    covariates: tuple[Covariate, ...] = ()
    cells: dict[str, tuple[str, ...]] = {}
    table: TableStamp | None = None
    view: View
    orientation: Orientation | None = None
    channel_names: tuple[str, ...]
    windows: tuple[IntensityWindow | None, ...]
    percentiles: tuple[Percentile, Percentile] = WINDOW_PERCENTILES
    spacing_mm: tuple[PositiveMm, PositiveMm, PositiveMm] | None = None
    size: tuple[PatchEdge, PatchEdge, PatchEdge]
    roi: str | None = None
    network: Topology
    batch_size: Batch
    epochs: Many
    sampling: Sampling = "even"
    loss: Loss = "cross_entropy"
    images: TrainingImages | None = None
    source: Dataset
    options: PlanOptions = PlanOptions()
    reasons: dict[str, str] = {}

    @model_validator(mode="after")
    def _fitting(self) -> ClassPlans:
        if len(self.windows) != len(self.channel_names):
            raise ValueError("windows and channel_names must have one entry per channel each")
        if (self.view == "picture") != (self.spacing_mm is None) or (self.view == "picture" and self.size[0] != 1):
            raise ValueError("pictures have no spacing_mm and one slice, volumes have a spacing_mm")
        if self.network.dimensions != (3 if self.view == "volume" else 2):
            raise ValueError("the network must have three dimensions for volumes, else two")
        if not self.percentiles[0] < self.percentiles[1]:
            raise ValueError("percentiles must rise")
        return self

    @property
    def seen(self) -> tuple[int, ...]:
        """Return the size of what a network sees: (z, y, x), or (y, x) for pictures."""
        return self.size[1:] if self.view == "picture" else self.size

    def without_cases(self) -> ClassPlans:
        """Return the plans as a model takes them along: without the cases that it was trained on, and where they are stored."""
        emptied: dict[str, object] = {"folder": Path(), "training": (), "test": (), "groups": {}, "case_labels": {}}
        return self.model_copy(update={
            "source": self.source.model_copy(update=emptied), "target": self.target.model_copy(update={"of_case": {}}),
            "cells": {}, "table": None, "options": PlanOptions(), "roi": "labels" if self.roi else None})
