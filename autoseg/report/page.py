"""The page `report.html`: a person opens it first, and it holds everything it needs: no network, no script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from autoseg.report.artefacts import DatasetArtefacts
from autoseg.report.blocks import Block, Command, Explained, Explanations, Text
from autoseg.report.data import data_section
from autoseg.report.environment import times_section, versions_section
from autoseg.report.parts import TaskReport
from autoseg.wording import counted, listed


def build_page(found: DatasetArtefacts, parts: Sequence[TaskReport]) -> str:
    """Return the HTML page about a dataset: an overview, what its tasks contribute, then its data, times and versions."""
    sections = [section for part in parts for section in part.sections]
    sections.append(data_section(found, any(part.needs_fingerprint for part in parts)))
    sections += [times_section(parts), versions_section(parts)]
    template = files("autoseg.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    return environment.from_string(template).render(
        title=found.name, made_at=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"), overview=overview(found, parts),
        sections=sections)


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
