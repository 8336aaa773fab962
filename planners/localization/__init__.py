"""Planning of projections for a locator: which level is found, and in which picture of the volume."""

from autoseg.planners.localization.measuring import findings, measure
from autoseg.planners.localization.planning import SUMMARIES, chosen, counts, plan
from autoseg.planners.localization.request import prepare

__all__ = ["SUMMARIES", "chosen", "counts", "findings", "measure", "plan", "prepare"]
