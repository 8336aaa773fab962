"""Kinds of models: those that segment, and those that are planned, trained and used apart from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["segmentation", "anomaly", "localization"]


@dataclass(frozen=True)
class Kind:
    """Models that do something else than segment, from plans of their own.

    task: what they do, as model.json says it. configuration: their folder's name under `preprocessed` and `models`, where those
    of segmentation are 2d, 3d_fullres, ...; also the name of their planner and plans. recipe: that trains them.
    article, noun, plural, short: what they are called. does: what one does with images. answers: what it writes.
    planning: further flags that planning needs, as an example.
    """

    task: Task
    configuration: str
    recipe: str
    article: str
    noun: str
    plural: str
    short: str
    does: str
    answers: str
    planning: tuple[str, ...] = ()

    @property
    def planner_flags(self) -> tuple[str, ...]:
        """Of autoseg_plan_and_preprocess, that plan for it."""
        return ("--planner", self.configuration, *self.planning)

    @property
    def called(self) -> str:
        """"an anomaly detector"."""
        return f"{self.article} {self.noun}"

    @property
    def called_first(self) -> str:
        """"An anomaly detector"."""
        return f"{self.called[0].upper()}{self.called[1:]}"


ANOMALY = Kind(
    "anomaly", "slices", "anogan", "an", "anomaly detector", "anomaly detectors", "detector", "scores images", "SCORES")
LOCATION = Kind(
    "localization", "projection", "locator", "a", "locator", "locators", "locator", "finds a level in images", "LOCATIONS",
    planning=("--find", "LABEL"))
KINDS = (ANOMALY, LOCATION)


def kind_of(configuration: str | None) -> Kind | None:
    """The kind whose models lie under this configuration; None for those that segment."""
    return next((kind for kind in KINDS if kind.configuration == configuration), None)


def kind_for(task: str) -> Kind | None:
    """The kind that does this; None for segmentation."""
    return next((kind for kind in KINDS if kind.task == task), None)
