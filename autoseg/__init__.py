"""autoseg: from a folder of images and labels to a trained model that segments, scores anomalies, or finds a level.

    from autoseg import run, predict_files
    from autoseg import verify, plan_and_preprocess, train, cross_validation, find_best, report, predict, evaluate, postprocess

Each verb is explained where it stands, in `autoseg.api`; nothing heavy is imported before one is used. `plan_slices`,
`plan_projection`, `predict_anomalies`, `predict_locations` and `evaluate_anomalies` are older names of the same verbs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoseg.api import (
        cross_validation,
        evaluate,
        find_best,
        plan_and_preprocess,
        postprocess,
        predict,
        predict_files,
        recipes,
        report,
        run,
        train,
        verify,
    )
    from autoseg.api.tasks import evaluate_anomalies, plan_projection, plan_slices, predict_anomalies, predict_locations
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
    from autoseg.api import tasks

    return getattr(tasks if name in tasks.ALIASES else api, name)
