"""What is not there yet, and the command that makes it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from autoseg.evaluation.report.artefacts import Artefacts, Fold, Model, answer
from autoseg.workspace import DatasetFolder, Workspace


class Step(NamedTuple):
    """Something that is missing, and the command line that makes it."""

    missing: str
    line: str


def command(folder: DatasetFolder, verb: str, *arguments: str) -> str:
    """`verb` for this dataset; names the workspace where it is not the one that commands take by themselves."""
    parts = [*verb.split(), folder.name, *arguments, *_workspace(folder)]
    return shlex.join(parts)


def prediction_command(found: Artefacts) -> str | None:
    """The line that segments new images with what was chosen, or with the best so far; None as long as nothing is trained."""
    usable = [model for model in found.models if any(fold.state in (None, "complete") for fold in model.folds)]
    if not usable:
        return None
    arguments = ["-d", found.folder.name]
    if found.best is None and len(usable) > 1:
        final = answer(found)
        model = next((model for model in usable if final is not None and model.name == final.name), usable[0])
        arguments += _model(model)
    return "autoseg_predict -i IMAGES -o SEGMENTATIONS " + shlex.join([*arguments, *_workspace(found.folder)])


def next_steps(found: Artefacts) -> list[Step]:
    """Everything that a finished job would have and this one lacks, in the order in which it is made."""
    if not found.models:
        folds = [str(number) for number in range(found.fold_count)]
        return [Step("no model has been trained yet", command(found.folder, "autoseg_train", *folds))]
    steps = [step for model in found.models for step in _folds_to_do(found.folder, model)]
    if found.best is None:
        steps.append(Step("nothing has been chosen yet (models are compared once their folds are complete)",
                          command(found.folder, "autoseg find-best")))
    return steps


def _folds_to_do(folder: DatasetFolder, model: Model) -> list[Step]:
    by_state: dict[str, list[Fold]] = {}
    for fold in model.folds:
        if fold.state not in (None, "complete"):
            by_state.setdefault(str(fold.state), []).append(fold)
    return [
        Step(f"{model.name}: {_folds(folds)} {'is' if len(folds) == 1 else 'are'} {state}",
             command(folder, "autoseg_train", *(fold.name for fold in folds), *_flags(model, state)))
        for state, folds in by_state.items()]


def _folds(folds: Sequence[Fold]) -> str:
    return f"{'fold' if len(folds) == 1 else 'folds'} {', '.join(fold.name for fold in folds)}"


def _flags(model: Model, state: str) -> list[str]:
    """Those that train a further fold as the others were trained."""
    flags = _model(model)
    if state != "missing":
        return [*flags, "--continue"]
    settings = model.description.get("settings")
    if isinstance(settings, dict):
        for key, flag in (("epochs", "--epochs"), ("iterations", "--iterations"), ("max_hours", "--max-hours")):
            if settings.get(key) is not None:
                flags += [flag, f"{settings[key]:g}" if isinstance(settings[key], float) else str(settings[key])]
    return flags


def _model(model: Model) -> list[str]:
    return ["-c", model.configuration, *(["-tr", model.recipe] if model.recipe != "default" else [])]


def _workspace(folder: DatasetFolder) -> list[str]:
    root = folder.root.resolve().parent
    return [] if Workspace.at(None).root.resolve() == root else ["--workspace", str(root)]
