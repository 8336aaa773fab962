"""The verbs: what a command line, a notebook or another program asks of autoseg. Imports all, is imported by none but cli.

Every verb raises AutosegError for anything that data, settings or disk can cause. DATASET arguments are a path to a
dataset folder, or the name or number of one in the workspace, $AUTOSEG_RAW or $nnUNet_raw. A verb's module is imported when the
verb is first used, and torch where the verb needs it, so that the others answer at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from autoseg.threads import let_threads_sleep

if TYPE_CHECKING:
    from autoseg.api.converting import convert
    from autoseg.api.demonstration import demo
    from autoseg.api.dicom import verify_dicom
    from autoseg.api.evaluation import evaluate
    from autoseg.api.exchange import import_models
    from autoseg.api.exporting import export_models
    from autoseg.api.job_runs import jobs
    from autoseg.api.listing import recipes
    from autoseg.api.loading import Model, load, predict
    from autoseg.api.planning import plan_and_preprocess, planner_for, repair, seen, verify
    from autoseg.api.postprocessing import postprocess
    from autoseg.api.prediction import next_prediction, predict_files
    from autoseg.api.reporting import report
    from autoseg.api.running import run
    from autoseg.api.selection import find_best
    from autoseg.api.tasks import evaluation_flags, export_formats, planning_flags, prediction_flags, task_infos
    from autoseg.api.training import cross_validation, train
    from autoseg.distributed import is_main_process
    from autoseg.errors import AutosegError, did_you_mean, require_not_empty, system_error
    from autoseg.jobs.record import as_job
    from autoseg.options import Flag, given_options
    from autoseg.output import allow_any_encoding
    from autoseg.settings import read_assignments

MODULES = {
    "AutosegError": "autoseg.errors", "require_not_empty": "autoseg.errors", "system_error": "autoseg.errors",
    "Flag": "autoseg.options", "given_options": "autoseg.options",
    "allow_any_encoding": "autoseg.output", "as_job": "autoseg.jobs.record",
    "jobs": "autoseg.api.job_runs", "did_you_mean": "autoseg.errors",
    "convert": "autoseg.api.converting", "cross_validation": "autoseg.api.training",
    "demo": "autoseg.api.demonstration", "evaluate": "autoseg.api.evaluation",
    "export_formats": "autoseg.api.tasks", "export_models": "autoseg.api.exporting", "import_models": "autoseg.api.exchange",
    "is_main_process": "autoseg.distributed",
    "evaluation_flags": "autoseg.api.tasks", "find_best": "autoseg.api.selection", "next_prediction": "autoseg.api.prediction",
    "plan_and_preprocess": "autoseg.api.planning", "planner_for": "autoseg.api.planning", "planning_flags": "autoseg.api.tasks",
    "postprocess": "autoseg.api.postprocessing", "load": "autoseg.api.loading",
    "Model": "autoseg.api.loading", "predict": "autoseg.api.loading",
    "predict_files": "autoseg.api.prediction", "prediction_flags": "autoseg.api.tasks", "read_assignments": "autoseg.settings",
    "recipes": "autoseg.api.listing",
    "repair": "autoseg.api.planning", "report": "autoseg.api.reporting", "run": "autoseg.api.running",
    "task_infos": "autoseg.api.tasks", "train": "autoseg.api.training", "seen": "autoseg.api.planning",
    "verify": "autoseg.api.planning", "verify_dicom": "autoseg.api.dicom",
}

__all__ = [
    "AutosegError", "Flag", "Model", "allow_any_encoding", "as_job", "convert", "cross_validation", "demo", "did_you_mean",
    "evaluate", "evaluation_flags", "export_formats", "export_models", "find_best", "given_options",
    "import_models", "is_main_process", "jobs", "load", "next_prediction", "plan_and_preprocess", "planner_for",
    "planning_flags", "postprocess", "predict", "predict_files", "prediction_flags", "read_assignments", "recipes", "repair",
    "report", "require_not_empty", "run", "seen", "system_error", "task_infos", "train", "verify", "verify_dicom",
]

let_threads_sleep()


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(MODULES[name]), name)
