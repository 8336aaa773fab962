"""What is not there yet, and the command that makes it."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from autoseg.commands import command_line, model_flags
from autoseg.evaluation.cross_validation import missing_folds
from autoseg.evaluation.report.artefacts import Artefacts, answer


class Step(NamedTuple):
    """Something that is missing, and the command line that makes it."""

    missing: str
    line: str


def prediction_command(found: Artefacts) -> str | None:
    """The line that segments new images with what was chosen, or with the best so far; None as long as nothing is trained."""
    usable = [model for model in found.models if any(fold.state in (None, "complete") for fold in model.folds)]
    if not usable:
        return None
    arguments = ["-d", found.folder.name]
    if found.best is None and len(usable) > 1:
        final = answer(found)
        model = next((model for model in usable if final is not None and model.name == final.name), usable[0])
        arguments += model_flags(model.configuration, model.recipe)
    return "autoseg_predict -i IMAGES -o SEGMENTATIONS " + shlex.join([*arguments, *found.folder.workspace_flags])


def next_steps(found: Artefacts) -> list[Step]:
    """Everything that a finished job would have and this one lacks, in the order in which it is made."""
    if not found.models:
        folds = [str(number) for number in range(found.fold_count)]
        return [Step("no model has been trained yet", command_line(found.folder, "autoseg_train", *folds))]
    steps = [
        Step(f"{model.name}: {lack.words}", lack.command) for model in found.models
        for lack in missing_folds(found.folder, found.folder.model(model.configuration, model.recipe), found.fold_count)]
    if found.is_outdated:
        steps.append(Step("the choice was made for other weights than those there are now",
                          command_line(found.folder, "autoseg find-best")))
    if found.best is None:
        steps.append(Step("nothing has been chosen yet (models are compared once their folds are complete)",
                          command_line(found.folder, "autoseg find-best")))
    return steps
