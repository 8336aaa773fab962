"""How a task is called, in messages and in files. Shared code is given it and names no task itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskInfo:
    """The words and the files' names of a task.

    name: of the task, as model.json says it. noun: what a model of it is called; article: before the noun; plural: of the noun.
    does: what a model does with an image. outputs: what a command line calls the folder of its outputs. recipe: that trains it
    where none is named. configurations: that its models may have, as -c takes them. planner: that plans for it, as --planner
    takes it; planning_flags: further flags that planning needs, as an example. averages: whether models of it can be averaged as
    an ensemble. suffix: of the names of its plans and splits in a dataset's folder. is_default: whether it is meant where nothing
    is named.
    """

    name: str
    article: str
    noun: str
    plural: str
    does: str
    outputs: str
    recipe: str
    configurations: tuple[str, ...]
    planner: str
    planning_flags: tuple[str, ...] = ()
    averages: bool = False
    suffix: str = ""
    is_default: bool = False

    @property
    def a_model(self) -> str:
        """ "an anomaly detector"."""
        return f"{self.article} {self.noun}"

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
