"""The overview at the top of the page: the results, how to use them, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.report.artefacts import DatasetArtefacts
from autoseg.report.blocks import Block, Command, Explained, Explanations, Text
from autoseg.report.parts import TaskReport
from autoseg.wording import counted, listed


def overview(found: DatasetArtefacts, parts: Sequence[TaskReport]) -> list[Block]:
    """Return the results of every task, the commands that use them, and what is missing or damaged."""
    blocks: list[Block] = [Explanations([_data(found), *(entry for part in parts for entry in part.overview)])]
    for purpose, line in (command for part in parts for command in part.commands):
        blocks += [Text(f"{purpose}, type:"), Command(line)]
    steps = [step for part in parts for step in part.missing]
    if steps:
        blocks.append(Text("Not everything is there yet. What is missing, and the command that makes it:", is_note=True))
    for step in steps:
        blocks += [Text(f"{step.missing}:"), Command(step.line)]
    troubles = [*found.troubles, *(trouble for part in parts for trouble in part.troubles)]
    return [*blocks, *(Text(trouble, is_note=True) for trouble in dict.fromkeys(troubles))]


def _data(found: DatasetArtefacts) -> Explained:
    if found.dataset is None:
        return Explained("Dataset", found.name)
    names = list(found.dataset.labels.foreground)
    classes = f", {counted(len(names), 'class', 'classes')}" if names else ""
    return Explained("Data", f"{counted(len(found.dataset.training), 'training case')}{classes}", listed(names, 8))
