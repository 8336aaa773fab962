"""How projections for a locator are planned: which level is found, and in which picture of the volume."""

from autoseg.planners.localization.measuring import findings, measure
from autoseg.planners.localization.planning import SUMMARIES, plan
from autoseg.planners.localization.request import prepare

__all__ = ["SUMMARIES", "findings", "measure", "plan", "prepare"]
