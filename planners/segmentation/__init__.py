"""How a segmentation is planned: the rules of nnU-Net v2, from a fingerprint of the dataset."""

from autoseg.planners.segmentation.fingerprint import measure
from autoseg.planners.segmentation.planners import SUMMARIES
from autoseg.planners.segmentation.planning import findings, plan, prepare

__all__ = ["SUMMARIES", "findings", "measure", "plan", "prepare"]
