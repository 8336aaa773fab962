"""Planning of a segmentation: the rules of nnU-Net v2, from a fingerprint of the dataset."""

from autoseg.planners.segmentation.fingerprint import measure
from autoseg.planners.segmentation.planners import SUMMARIES
from autoseg.planners.segmentation.planning import chosen, counts, findings, plan, prepare

__all__ = ["SUMMARIES", "chosen", "counts", "findings", "measure", "plan", "prepare"]
