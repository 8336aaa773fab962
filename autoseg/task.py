"""Names of a task, in messages and in files. Shared code is given it and names no task itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TaskInfo:
    """The words of a task, and the names of its files.

    name: of the task, as model.json says it. noun: the word for a model of it; article: before the noun; plural: of the noun.
    does: what a model does with images. writes: what it writes of them into a folder; outputs: the command line's name of that
    folder. reference: what the outputs are compared with; "" where nothing compares them. recipe: the one that trains it where
    none is named. configurations: those that its models may have, as -c takes them; shared: those whose
    preprocessed cases are another's, with the name of that. usual_configuration: the one that is trained
    where none is named, if it was planned. planner: the one that plans for it, as --planner takes it; planning_flags: further
    flags that planning needs, as an example. averages: whether its models can be averaged as an ensemble. suffix: of the names of
    its plans and splits in a dataset's folder. needs_labels: whether images alone are too little for it. is_default: whether it
    is meant where no task is named.
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
    shared: tuple[tuple[str, str], ...] = ()

    def stored_as(self, configuration: str) -> str:
        """Return the configuration under whose name the preprocessed cases of this one are stored."""
        return dict(self.shared).get(configuration, configuration)

    @property
    def a_model(self) -> str:
        """Return the noun with its article, such as "a model"."""
        return f"{self.article} {self.noun}"

    @property
    def a_model_first(self) -> str:
        """Return the noun with its article for the start of a sentence, such as "A model"."""
        return f"{self.a_model[0].upper()}{self.a_model[1:]}"

    @property
    def planner_flags(self) -> tuple[str, ...]:
        """Return the flags of autoseg_plan_and_preprocess that plan for it."""
        return () if self.is_default else ("--planner", self.planner, *self.planning_flags)

    @property
    def plans_file(self) -> str:
        """Return the name of its plans in a dataset's folder."""
        return f"plans{self.suffix}.json"

    @property
    def splits_file(self) -> str:
        """Return the name of its folds in a dataset's folder: its cases need not be those of other tasks."""
        return f"splits{self.suffix}.json"


@dataclass(frozen=True)
class Evaluated:
    """The result of evaluating a folder. summary: a model that is written to `files[0]`. files: all that were written. shown:
    tables and sentences for a terminal. failed: number of the `cases` that could not be evaluated."""

    summary: Any
    files: tuple[Path, ...]
    shown: tuple[Any, ...]
    failed: int
    cases: int
