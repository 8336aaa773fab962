"""What is not there yet, and the command that makes it."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from autoseg.commands import command_line, model_flags
from autoseg.evaluation.cross_validation import missing_folds
from autoseg.evaluation.report.artefacts import Artefacts, answer
from autoseg.evaluation.report.detectors import Detector


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


def anomaly_steps(found: Artefacts) -> list[Step]:
    """What is missing of the anomaly detectors: one at all, or the end of folds that were begun."""
    if found.anomaly is None:
        return []
    if not found.anomaly.detectors:
        first = command_line(found.folder, "autoseg_train", "0", "-tr", "anogan")
        return [Step("no anomaly detector has been trained yet", first)]
    return [
        Step(f"{detector.name}: fold {fold.name} is {fold.state}",
             command_line(found.folder, "autoseg_train", fold.name, *_training_flags(detector), "--continue"))
        for detector in found.anomaly.detectors for fold in detector.folds if fold.state in ("unfinished", "not validated")]


def anomaly_prediction_command(found: Artefacts, detector: Detector) -> str | None:
    """The line that scores new images; None as long as no fold is trained."""
    if not detector.folder.finished_folds():
        return None
    return "autoseg_predict -i IMAGES -o ANOMALIES " + shlex.join(
        ["-d", found.folder.name, "-tr", detector.name, *found.folder.workspace_flags])


def gate_command(found: Artefacts, detector: Detector) -> str:
    """The line that segments new images and flags those that the detector finds strange."""
    return "autoseg_predict -i IMAGES -o SEGMENTATIONS " + shlex.join(
        ["--gate", str(detector.folder.root), *found.folder.workspace_flags])


def _training_flags(detector: Detector) -> list[str]:
    recipe = detector.description.recipe if detector.description else detector.name
    return ["-tr", recipe, *(["--name", detector.name] if recipe != detector.name else [])]
