"""How a task is called, in messages and in files. Shared code is given it and names no task itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TaskInfo:
    """The words and the files' names of a task.

    name: of the task, as model.json says it. noun: what a model of it is called; article: before the noun; plural: of the noun.
    does: what a model does with images. writes: what of them, into a folder; outputs: what a command line calls that folder.
    reference: what the outputs are compared with; "" where nothing compares them. recipe: that trains it
    where none is named. configurations: that its models may have, as -c takes them.
    usual_configuration: that of a training where none is named, if it was planned. planner: that plans for it, as --planner
    takes it; planning_flags: further flags that planning needs, as an example. averages: whether models of it can be averaged as
    an ensemble. suffix: of the names of its plans and splits in a dataset's folder. needs_labels: whether images alone are too
    little for it. is_default: whether it is meant where nothing is named.
    """

    name: str
    article: str
    noun: str
    plural: str
    does: str
    writes: str
    outputs: str
    reference: str
    recipe: str
    configurations: tuple[str, ...]
    usual_configuration: str
    planner: str
    planning_flags: tuple[str, ...] = ()
    averages: bool = False
    suffix: str = ""
    needs_labels: bool = True
    is_default: bool = False

    @property
    def a_model(self) -> str:
        """ "an anomaly detector"."""
        return f"{self.article} {self.noun}"

    @property
    def a_model_first(self) -> str:
        """ "An anomaly detector", at the start of a sentence."""
        return f"{self.a_model[0].upper()}{self.a_model[1:]}"

    @property
    def planner_flags(self) -> tuple[str, ...]:
        """The flags of autoseg_plan_and_preprocess that plan for it."""
        return () if self.is_default else ("--planner", self.planner, *self.planning_flags)

    @property
    def plans_file(self) -> str:
        """The name of its plans in a dataset's folder."""
        return f"plans{self.suffix}.json"

    @property
    def splits_file(self) -> str:
        """The name of its folds in a dataset's folder: its cases need not be those of other tasks."""
        return f"splits{self.suffix}.json"


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation of a folder gives. summary: a model that is written to `files[0]`. files: all that were written.
    shown: tables and sentences for a terminal. failed: number of the `cases` that could not be evaluated."""

    summary: Any
    files: tuple[Path, ...]
    shown: tuple[Any, ...]
    failed: int
    cases: int
