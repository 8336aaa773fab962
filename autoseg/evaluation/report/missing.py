"""What is not there yet, and the command that makes it."""

from __future__ import annotations

from typing import NamedTuple

from autoseg import commands
from autoseg.best import model_name
from autoseg.commands import command_line, model_flags, training_flags
from autoseg.evaluation.cross_validation import missing_folds
from autoseg.evaluation.report.apart import AnyModelApart
from autoseg.evaluation.report.artefacts import Artefacts, answer
from autoseg.evaluation.report.detectors import Detector
from autoseg.evaluation.report.locators import Locator
from autoseg.kinds import Kind
from autoseg.workspace import ModelFolder


class Step(NamedTuple):
    """Something that is missing, a sentence without its full stop, and the command line that makes it."""

    missing: str
    line: str


def prediction_command(found: Artefacts) -> str | None:
    """The line that segments new images with what was chosen, or with the best so far; None as long as nothing is trained."""
    model = _best_so_far(found)
    return None if model is None else commands.prediction_command(found.folder, model.configuration, model.recipe)


def next_steps(found: Artefacts) -> list[Step]:
    """Everything that a finished job would have and this one lacks, in the order in which it is made."""
    if not found.models:
        folds = [str(number) for number in range(found.fold_count)]
        return [Step("No model has been trained yet", command_line(found.folder, "autoseg_train", *folds))]
    steps = [
        Step(f"{model.name}: {lack.words}", lack.command) for model in found.models
        for lack in missing_folds(found.folder, found.folder.model(model.configuration, model.recipe), found.fold_count)]
    if found.is_outdated:
        steps.append(Step("The choice was made for other weights than those there are now",
                          command_line(found.folder, "autoseg find-best")))
    if found.best is None:
        steps.append(Step("Nothing has been chosen yet (models are compared once their folds are complete)",
                          command_line(found.folder, "autoseg find-best")))
    return steps


def steps_apart(found: Artefacts, kind: Kind) -> list[Step]:
    """What is missing of the models of a kind: one at all, or folds of them."""
    models = found.apart.get(kind)
    if models is None:
        return []
    if not models:
        first = command_line(found.folder, "autoseg_train", "0", "-tr", kind.recipe)
        return [Step(f"No {kind.noun} has been trained yet", first)]
    return [step for model in models if can_go_on(found, model) for step in _steps_of(found, kind, model)]


def can_go_on(found: Artefacts, model: AnyModelApart) -> bool:
    """Whether more of it can be trained: not of a locator for something else than what projections are planned for today."""
    its = found.location
    return not isinstance(model, Locator) or its is None or its.target_of(model) == its.plans.target


def _steps_of(found: Artefacts, kind: Kind, model: AnyModelApart) -> list[Step]:
    """Without splits, or a model.json that can be read, only of folds that were begun."""
    if model.fold_count and model.description is not None:
        return [Step(f"{model.name}: {lack.words}", lack.command)
                for lack in missing_folds(found.folder, model.folder, model.fold_count)]
    return [
        Step(f"{model.name}: fold {fold.name} is {fold.state}",
             command_line(found.folder, "autoseg_train", fold.name, *_training_flags(kind, model), "--continue"))
        for fold in model.folds if fold.state in ("unfinished", "not validated")]


def command_apart(found: Artefacts, kind: Kind, model: AnyModelApart, *flags: str) -> str | None:
    """The line that does to new images what the model does; None as long as no fold is trained."""
    return commands.command_of_kind(found.folder, kind, model.name, *flags) if model.folder.finished_folds() else None


def gate_command(found: Artefacts, detector: Detector) -> str:
    """The line that segments new images and flags those that the detector finds strange."""
    return commands.gate_command(found.folder, detector.folder, _best_so_far(found))


def _best_so_far(found: Artefacts) -> ModelFolder | None:
    """A model with final weights: that of the answer, where it is one of them."""
    usable = [model for model in found.folder.models() if model.finished_folds()]
    final = answer(found)
    named = (model for model in usable if final is not None and model_name(model.configuration, model.recipe) == final.name)
    return next(named, usable[0] if usable else None)


def _training_flags(kind: Kind, model: AnyModelApart) -> list[str]:
    """Of a damaged model.json, which the report tells, the recipe is not known."""
    return training_flags(model.folder) if model.description else model_flags(kind.configuration, model.name)
