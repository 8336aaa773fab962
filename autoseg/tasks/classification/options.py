"""Options that a user may give to a classifier: for planning, and for predicting."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from autoseg.bounds import FullPath, PatchEdge, PositiveMm
from autoseg.options import option
from autoseg.plan import Frozen


class PlanOptions(Frozen):
    """Options of planning; None leaves the choice to the planner. Field names are the long flags of the command line."""

    targets: Path | None = option(
        None, "a table with the column case, the target, and covariates (default: targets.csv beside the dataset, "
              "else case_labels in dataset.json, else the folders that images lie in)", metavar="CSV")
    target: tuple[str, ...] = option(
        (), "the target column, or several columns of yes and no (default: the only one with few different texts)",
        metavar="COLUMN")
    ordered: tuple[str, ...] = option(
        (), "the classes from the lowest to the highest, where they have an order", metavar="CLASS")
    covariates: tuple[str, ...] | None = option(
        None, "columns of the table that a classifier sees beside the image; none for no column (default: all others that can "
              "be used)", metavar="COLUMN")
    view: Literal["auto", "volume", "slices"] = option(
        "auto", "how volumes are seen: whole, or slice by slice, and what slices say weighted by attention (default: auto, "
                "slices where these lie far apart)")
    roi: str | None = option(
        None, "look at the labelled region alone: labels for the dataset's own, a folder of label files named like the cases, or "
              "a model that segments it", metavar="LABELS_OR_MODEL", labels=True)
    spacing: PositiveMm | None = option(None, "edge of the voxels that volumes are seen with, mm", metavar="MM")
    edge: PatchEdge | None = option(
        None, "the longest edge of what a network sees, voxels (default: 128 in 2D, 96 in 3D)", metavar="VOXELS")
    depth: int | None = option(None, "stages of the network (default: at most 5)", metavar="N")
    pretrained: FullPath | None = option(
        None, "a trained model's folder whose encoder the training is to start from: the network and the voxels are those",
        flag="--from", metavar="MODEL")


class PredictOptions(Frozen):
    """Options of predicting files."""

    covariates: Path | None = option(
        None, "the table of the covariates that the classifier takes, with the column case", metavar="CSV")
    roi: Path | None = option(
        None, "the region that the classifier looks at, for one that was planned with --roi: a folder of label files named like "
              "the cases, or a model that segments it, into regions/", metavar="LABELS_OR_MODEL", labels=True)
    explain: bool = option(
        False, "also write, into explain/, maps of the voxels that each answer depends on (Grad-CAM and occlusion) as NIfTI and "
               "as pictures, and how much each covariate counts")
