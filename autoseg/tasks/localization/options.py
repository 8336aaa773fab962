"""What a user may ask of planning projections for a locator."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from autoseg.plan import Frozen


class PlanOptions(Frozen):
    """Options of planning; None leaves the choice to the planner. Field names are the long flags of the command line."""

    find: tuple[str, ...] = Field(
        (), description="the label whose middle is to be found, or two labels, between whose middles")
    points: Path | None = Field(
        None, description="instead of labels: a CSV table of case and mm, in world coordinates along the axis; --find then only "
                          "names what is found")
    axis: str = Field("z", description="x, y or z: along which a level is found (default: z, from feet to head)")
    project: str | None = Field(
        None, description="x, y or z: what is projected away (default: x, left to right; y where --axis is x)")
    slab: float | None = Field(
        None, description="share of the extent along that, in its middle, that is projected (default: what the labels need)")
    channels: tuple[str, ...] | None = Field(
        None, description="what each channel of an image becomes along it: both (the mean of maximum and mean), maximum, mean "
                          "(default: all three)")
    window: tuple[float, float] | None = Field(
        None, description="low and high percentile of the intensities that are told apart (default: 0.5 99.5)")
    spacing: float | None = Field(
        None, description="edge of the projection's square pixels, mm (default: what is found covers 16 rows)")
    size: tuple[int, int] | None = Field(
        None, description="rows and columns, pixels, that training sees at a time (default: the median projection)")
    depth: int | None = Field(None, description="stages of the network (default: at most 5)")
