"""Options that a user may give to a locator: for planning its projections, and for predicting."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from autoseg.options import option
from autoseg.plan import Frozen


class LocationSettings(Frozen, allow_inf_nan=False):
    """Settings of a prediction; a locator has those that it was trained with."""

    threshold: float = Field(
        0.5, ge=0, le=1, description="confidence below which the answer is \"not found\" and no slice: how much stronger the "
        "strongest response is than any other, 0 to 1")
    zooms: tuple[Annotated[float, Field(ge=0.5, le=2)], ...] = Field(
        (1.0, 0.88, 1.13), min_length=1, description="sizes at which a projection is looked at, of its own; the mean response "
        "counts: an answer that is not the same at each is less sure")


class PlanOptions(Frozen):
    """Options of planning; None leaves the choice to the planner. Field names are the long flags of the command line."""

    find: tuple[str, ...] = option(
        (), "the label whose middle is to be found, or two labels, between whose middles", metavar="LABEL")
    points: Path | None = option(
        None, "instead of labels: a CSV table of case and mm, in world coordinates along the axis; --find then only names what "
              "is found", metavar="CSV")
    axis: str = option("z", "x, y or z: along which a level is found (default: z, from feet to head)", metavar="AXIS")
    project: str | None = option(
        None, "x, y or z: what is projected away (default: x, left to right; y where --axis is x)", metavar="AXIS")
    slab: float | None = option(
        None, "share of the extent along that, in its middle, that is projected (default: what the labels need)", metavar="SHARE")
    channels: tuple[str, ...] | None = option(
        None, "what each channel of an image becomes along it: both (the mean of maximum and mean), maximum, mean (default: all "
              "three)", metavar="NAME")
    window: tuple[float, float] | None = option(
        None, "low and high percentile of the intensities that are told apart (default: 0.5 99.5)", metavar=("LOW", "HIGH"))
    spacing: float | None = option(
        None, "edge of the projection's square pixels, mm (default: what is found covers 16 rows)", metavar="MM")
    size: tuple[int, int] | None = option(
        None, "rows and columns, pixels, that training sees at a time (default: the median projection)",
        metavar=("ROWS", "COLUMNS"))
    depth: int | None = option(None, "stages of the network (default: at most 5)", metavar="N")


class PredictOptions(Frozen):
    """Options of predicting files. settings: values by name; see `autoseg.tasks.localization.options`. crop_mm: thickness of
    the slab around what was found, mm; 0 for the found slice alone, None for no crops."""

    settings: dict[str, Any] = option(
        {}, "how sure it must be, such as --set threshold=0.4; autoseg recipes lists them (default: as it was trained with)",
        flag="--set", metavar="KEY=VALUE", action="append")
    crop_mm: float | None = option(
        None, "write the found slice as an image into crops/, or a slab around it that is MM millimetres thick",
        flag="--crop", metavar="MM", nargs="?", const=0.0)
