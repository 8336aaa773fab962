"""Parts that a task contributes to the page, and the commands that make what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from autoseg.commands import command_line, model_flags, prediction_command, training_flags
from autoseg.evaluation.cross_validation import missing_folds
from autoseg.reporting.artefacts import AnyModel
from autoseg.reporting.blocks import Block, Command, Explained, Section, Text
from autoseg.steps import RunRecord
from autoseg.task import TaskInfo
from autoseg.workspace import DatasetFolder


class MissingStep(NamedTuple):
    """Something that is missing, a sentence without its full stop, and the command line that makes it."""

    missing: str
    line: str


@dataclass(frozen=True)
class TaskReport:
    """Parts that a task adds to the page of a dataset that was planned for it.

    sections: in their order. overview: entries at the top of the page. commands: below them, pairs of a purpose ("To segment new
    images") and a command line. missing: what is not there yet. models: for training times and versions. versions: package
    versions of other stages, by name ("planned"). troubles: damaged files, in words. needs_fingerprint: whether the task is
    planned from fingerprint.json. run: how long each step of `autoseg run` for it took.
    """

    sections: Sequence[Section]
    overview: Sequence[Explained] = ()
    commands: Sequence[tuple[str, str]] = ()
    missing: Sequence[MissingStep] = ()
    models: Sequence[AnyModel] = ()
    versions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    troubles: Sequence[str] = ()
    needs_fingerprint: bool = False
    run: RunRecord | None = None


def steps_as_notes(steps: Sequence[MissingStep]) -> list[Block]:
    """Show inside a section what is missing, each with the command that makes it."""
    return [block for step in steps for block in (Text(f"{step.missing}:", is_note=True), Command(step.line))]


def missing_of(folder: DatasetFolder, model: AnyModel) -> list[MissingStep]:
    """Return the folds that a model lacks; without splits, or with a damaged model.json, only those that were begun."""
    if model.fold_count and model.description is not None:
        return [MissingStep(f"{model.name}: {lack.words}", lack.command)
                for lack in missing_folds(folder, model.folder, model.fold_count)]
    flags = (training_flags(model.folder) if model.description is not None
             else model_flags(model.folder.configuration, model.folder.recipe))
    return [MissingStep(f"{model.name}: fold {fold.name} is {fold.state}",
                        command_line(folder, "autoseg_train", fold.name, *flags, "--continue"))
            for fold in model.folds if fold.state in ("unfinished", "not validated")]


def missing_of_all(folder: DatasetFolder, task: TaskInfo, models: Sequence[AnyModel]) -> list[MissingStep]:
    """Return what the models of a task lack: one at all, or folds of them."""
    if not models:
        first = command_line(folder, "autoseg_train", "0", "-tr", task.recipe)
        return [MissingStep(f"No {task.noun} has been trained yet", first)]
    return [step for model in models for step in missing_of(folder, model)]


def usage(folder: DatasetFolder, task: TaskInfo, tasks: Sequence[TaskInfo], model: AnyModel, *flags: str) -> str | None:
    """Return the line that applies the model to new images; None as long as no fold is trained. tasks: all that there are."""
    its = model.folder
    return prediction_command(folder, task, tasks, its.configuration, its.recipe, *flags) if its.finished_folds() else None
