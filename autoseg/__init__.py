"""autoseg: from a folder of images and labels to a segmentation model.

    from autoseg import plan_and_preprocess, train, predict, predict_files, verify, evaluate

Each verb is explained where it stands, in `autoseg.api`; nothing heavy is imported before one is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoseg.api import evaluate, plan_and_preprocess, predict, predict_files, train, verify
    from autoseg.errors import AutosegError

__all__ = ["AutosegError", "evaluate", "plan_and_preprocess", "predict", "predict_files", "train", "verify"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'autoseg' has no attribute '{name}'")
    from autoseg import api

    return getattr(api, name)
