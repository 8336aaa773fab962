"""Options that a user may give to an anomaly detector: for planning its slices, and for predicting."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from autoseg.bounds import Many, Rate
from autoseg.options import option
from autoseg.plan import Frozen


class SearchSettings(BaseModel):
    """Written as part of model.json. `lambda_` is called "lambda" in files and on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, validate_by_name=True, validate_by_alias=True,
                              allow_inf_nan=False)

    lambda_: float = Field(0.1, ge=0, le=1, alias="lambda",
                           description="weight of the discrimination score; the residual has 1 - lambda (Schlegl et al. 2017)")
    search_steps: int = Field(
        5000, ge=0, le=10**7, description="updates of a slice's latent vector, at most; 0 scores the first proposal")
    search_rate: Rate = Field(
        0.05, description="Adam's rate in the search; 0.02 takes more updates, 0.2 ends at higher scores")
    restarts: Many = Field(1, description="searches from another first proposal each; the best one counts")
    patience: Many = Field(100, description="updates without improvement after which the search of a slice ends")
    tolerance: float = Field(0.001, ge=0, lt=1, description="share by which the loss must fall to count as improved")
    clip_latent: bool = Field(
        True, description="keep latent vectors in the cube from -1 to 1 that training drew them from (Lipton and Tripathi 2017)")
    start: Literal["auto", "encoder", "random"] = Field(
        "auto", description="first proposal: the encoder's, random ones, or the encoder's where the model has one")


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
    """Options of predicting files. settings: values by name; see `autoseg.tasks.anomaly.options`."""

    settings: dict[str, Any] = option(
        {}, "how it searches, such as --set search_steps=500; autoseg recipes lists them (default: as it was trained with)",
        flag="--set", metavar="KEY=VALUE", action="append")
