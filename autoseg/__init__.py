"""autoseg: from a folder of images and labels to a segmentation model.

    from autoseg import run, predict_files
    from autoseg import verify, plan_and_preprocess, train, cross_validation, find_best, report, predict, evaluate, postprocess

Each verb is explained where it stands, in `autoseg.api`; nothing heavy is imported before one is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoseg.api import (
        cross_validation,
        evaluate,
        evaluate_anomalies,
        find_best,
        plan_and_preprocess,
        plan_projection,
        plan_slices,
        postprocess,
        predict,
        predict_anomalies,
        predict_files,
        predict_locations,
        report,
        train,
        verify,
    )
    from autoseg.api.recipes import recipes
    from autoseg.api.run import run
    from autoseg.errors import AutosegError

__all__ = [
    "AutosegError", "cross_validation", "evaluate", "evaluate_anomalies", "find_best", "plan_and_preprocess", "plan_projection",
    "plan_slices", "postprocess", "predict", "predict_anomalies", "predict_files", "predict_locations", "recipes", "report",
    "run", "train", "verify",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'autoseg' has no attribute '{name}'")
    from autoseg import api

    return getattr(api, name)
