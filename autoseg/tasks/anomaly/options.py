"""What a user may ask of an anomaly detector: of planning its slices, predicting and evaluating it."""

from __future__ import annotations

from typing import Literal

from autoseg.options import option
from autoseg.plan import Frozen

Axis = Literal["sagittal", "coronal", "axial"]  # to which slices are perpendicular
NormalBy = Literal["case_labels", "foreground", "all"]


class PlanOptions(Frozen):
    """Options of planning; None leaves the choice to the planner. Field names are the long flags of the command line."""

    axis: str | None = option(
        None, "sagittal, coronal or axial: what slices are perpendicular to (default: the axis along which they lie farthest "
              "apart)", metavar="AXIS")
    image_size: int = option(64, "edge of the slices, pixels: 64, 128 or 256 (default: 64)", metavar="PIXELS")
    normal: Literal["auto", "case_labels", "foreground", "all"] = option(
        "auto", "which slices are normal: of cases that case_labels or their folder call so, those without foreground, or all "
                "(default: auto, the first of these that the dataset can tell)")


class PredictOptions(Frozen):
    """Options of predicting files. settings: "key=value" texts; see `autoseg.tasks.anomaly.settings`."""

    settings: tuple[str, ...] = option(
        (), "how it searches, such as --set search_steps=500; autoseg recipes lists them (default: as it was trained with)",
        flag="--set", metavar="KEY=VALUE", action="append")
