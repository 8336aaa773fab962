"""What a user may ask of planning a segmentation."""

from __future__ import annotations

from pydantic import Field

from autoseg.plan import Frozen


class PlanOptions(Frozen):
    """Options of planning; None leaves the choice to the planner. Field names are the long flags of the command line."""

    configurations: tuple[str, ...] | None = Field(
        None, description="what to preprocess: 2d 3d_fullres 3d_lowres (default: all that were planned)")
    planner: str = Field("default", description="which planner (default: default; autoseg recipes lists them)")
    memory_gb: float | None = Field(None, description="GPU memory to plan for, GB (default: what the planner is made for)")
