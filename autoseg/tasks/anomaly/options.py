"""What a user may ask of planning slices for an anomaly detector."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autoseg.plan import Frozen

Axis = Literal["sagittal", "coronal", "axial"]  # to which slices are perpendicular
NormalBy = Literal["case_labels", "foreground", "all"]


class PlanOptions(Frozen):
    """Options of planning; None leaves the choice to the planner. Field names are the long flags of the command line."""

    axis: str | None = Field(
        None, description="sagittal, coronal or axial: what slices are perpendicular to (default: the axis along which they lie "
                          "farthest apart)")
    image_size: int = Field(64, description="edge of the slices, pixels: 64, 128 or 256 (default: 64)")
    normal: Literal["auto", "case_labels", "foreground", "all"] = Field(
        "auto", description="which slices are normal: of cases that case_labels or their folder call so, those without "
                            "foreground, or all (default: auto, the first of these that the dataset can tell)")
