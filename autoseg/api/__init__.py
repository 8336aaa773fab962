"""The verbs: what a command line, a notebook or another program asks of autoseg. Imports all, is imported by none but cli.

Every verb raises AutosegError for anything that data, settings or disk can cause. DATASET arguments are a path to a
dataset folder, or the name or number of one in the workspace, $AUTOSEG_RAW or $nnUNet_raw. torch is imported where a
verb needs it, so that the others answer at once.
"""

from autoseg.api.anomaly import predict_anomalies
from autoseg.api.checking import planner_for, repair, verify
from autoseg.api.demo import demo
from autoseg.api.evaluation import evaluate, evaluate_anomalies, holds_anomaly_scores
from autoseg.api.location import predict_locations
from autoseg.api.meant import meant_task
from autoseg.api.planning import plan_and_preprocess
from autoseg.api.postprocessing import postprocess
from autoseg.api.prediction import next_prediction, predict, predict_files
from autoseg.api.projection import plan_projection
from autoseg.api.recipes import recipes
from autoseg.api.reporting import report
from autoseg.api.run import run
from autoseg.api.selection import find_best
from autoseg.api.slices import plan_slices
from autoseg.api.training import cross_validation, train
from autoseg.errors import AutosegError
from autoseg.kinds import KINDS, kind_of

__all__ = [
    "KINDS", "AutosegError", "cross_validation", "demo", "evaluate", "evaluate_anomalies", "find_best", "holds_anomaly_scores",
    "kind_of", "meant_task", "next_prediction", "plan_and_preprocess", "plan_projection", "plan_slices", "planner_for",
    "postprocess", "predict", "predict_anomalies", "predict_files", "predict_locations", "recipes", "repair", "report", "run",
    "train", "verify",
]
