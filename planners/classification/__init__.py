"""Planning of classifiers: what is told of each case, and how cases are seen."""

from autoseg.planners.classification.measuring import findings, measure
from autoseg.planners.classification.planning import SUMMARIES, chosen, counts, plan
from autoseg.planners.classification.request import prepare

__all__ = ["SUMMARIES", "chosen", "counts", "findings", "measure", "plan", "prepare"]
