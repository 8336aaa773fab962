"""autoseg: from a folder of images and labels to a trained model that predicts, whatever its task is.

    import autoseg
    autoseg.run("path/to/Dataset004_Hippocampus")
    autoseg.predict_files("images", "segmentations")
    model = autoseg.load()                      # stays in memory
    labels = model.predict(image)               # an array, a nibabel or SimpleITK image, or a path

Verbs (help(autoseg.train) explains one):
{verbs}

Nothing heavy is imported before a verb is used. Errors that data, settings or disk cause are AutosegError. Older names of the
verbs are in `autoseg.api.tasks`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoseg.api import (
        Model,
        convert,
        cross_validation,
        evaluate,
        export_models,
        find_best,
        import_models,
        load,
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

    __version__: str

VERBS = {
    "run": "all of it: plan, train every fold, find the best, report",
    "verify": "check a dataset",
    "convert": "make a dataset from DICOM series with SEG or RTSTRUCT",
    "plan_and_preprocess": "check a dataset, plan for it, and preprocess its cases",
    "train": "train one fold to its end, and validate it",
    "cross_validation": "pool the validation cases of all folds of a model",
    "find_best": "compare models and ensembles, and learn post-processing",
    "report": "write report.html",
    "predict_files": "predict an image or a folder of images into a folder",
    "load": "open models once, to predict any number of images in memory",
    "predict": "predict one image in memory",
    "evaluate": "compare predictions with references",
    "postprocess": "apply the rules that find_best chose to a folder of labels",
    "export_models": "write models for another machine, or for other programs",
    "import_models": "bring exported models into the workspace",
    "recipes": "list recipes, networks, losses, planners and settings",
}
__doc__ = (__doc__ or "").replace("{verbs}", "\n".join(f"    {name:<20} {words}" for name, words in VERBS.items()))

__all__ = [
    "AutosegError", "Model", "convert", "cross_validation", "evaluate", "export_models", "find_best", "import_models", "load",
    "plan_and_preprocess", "postprocess", "predict", "predict_files", "recipes", "report", "run", "train", "verify",
]


def __dir__() -> list[str]:
    return sorted([*__all__, "VERBS", "__doc__", "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from autoseg.versions import versions

        return versions()["autoseg"]
    if name in __all__:
        found = getattr(importlib.import_module("autoseg.api"), name)
    elif name.startswith(("plan_", "predict_", "evaluate_")):  # an older name of a verb
        found = getattr(importlib.import_module("autoseg.api.tasks"), name)
    else:
        raise AttributeError(f"module 'autoseg' has no attribute '{name}'")
    if not isinstance(found, type):
        from autoseg.speech import called_from_python

        found = called_from_python(found)
    globals()[name] = found  # the same function however often it is asked for
    return found
