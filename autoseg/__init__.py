"""autoseg: from a folder of images and labels to a trained model that predicts, whatever its task is.

    from autoseg import run, predict_files
    from autoseg import verify, plan_and_preprocess, train, cross_validation, find_best, report, predict, evaluate, postprocess

Each verb is explained where it stands, in `autoseg.api`; nothing heavy is imported before one is used. Older names of the verbs
are in `autoseg.api.tasks`.
"""

from __future__ import annotations

import importlib
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
    from autoseg.errors import AutosegError

__all__ = [
    "AutosegError", "cross_validation", "evaluate", "find_best", "plan_and_preprocess", "postprocess", "predict", "predict_files",
    "recipes", "report", "run", "train", "verify",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("autoseg.api"), name)
    if name.startswith(("plan_", "predict_", "evaluate_")):  # an older name of a verb
        return getattr(importlib.import_module("autoseg.api.tasks"), name)
    raise AttributeError(f"module 'autoseg' has no attribute '{name}'")
