"""Planning of slices for an anomaly detector: which way volumes are cut, and which slices are normal."""

from autoseg.planners.anomaly.measuring import findings, measure
from autoseg.planners.anomaly.planning import SUMMARIES, chosen, counts, plan
from autoseg.planners.anomaly.request import prepare

__all__ = ["SUMMARIES", "chosen", "counts", "findings", "measure", "plan", "prepare"]
